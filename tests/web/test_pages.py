"""The tab's pages in a real Chromium: what a person reads and does there, and what hostile values cannot."""

from __future__ import annotations

import http.server
from dataclasses import asdict, replace
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from airflow_provider_nanostt.web.pages import (
    batch_page,
    failed_page,
    quiet_page,
    select,
    text_page,
    waiting_page,
)
from airflow_provider_nanostt.web.views import BatchQuery, Failed, Text, Waiting
from airflow_provider_nanostt.workflow.batch.manifest_row import ManifestRow
from tests.browser import HOSTILE, serving, violations

pytestmark = pytest.mark.anywhere

NONCE = "bm9uY2U"
NOON = 1_795_780_800.0  # 2026-11-27 12:00 UTC
ARABIC = "صباح الخير، شركة الميناء للطرود. كيف يمكنني مساعدتك؟"
STATUSES = ("written", "skipped", "duplicate", "failed", "not_started", "elsewhere", "no_match", "waiting")


def rows(count=10_000):
    """A batch of which every fiftieth recording failed, and the first few show what there can be."""
    made = [
        ManifestRow(
            number,
            f"s3://recordings/inbox/call-{number:05}.mp3",
            f"call-{number:05}",
            status="failed" if number % 50 == 49 else "written",
            files={} if number % 50 == 49 else {"json": "s3://recordings/out/a.json"},
            run_id=f"stt_{number}",
            language="en",
            charged_minutes=None if number % 50 == 49 else number % 977 / 10,
            cost_usd=None if number % 50 == 49 else number % 991 / 1000,
            speakers=["Agent", "Customer", "Lead", "Guest"][: number % 5],
            error="NanoGPT could not read the recording: " + "it has no sound. " * 12 if number % 50 == 49 else None,
        )
        for number in range(count)
    ]
    made[1] = replace(made[1], name="مكالمة خدمة العملاء 42", language="ar", speakers=["المتحدث 1", "المتحدث 2"])
    made[2] = replace(made[2], name="Café Müller")
    made[3] = replace(made[3], name="w" * 300, speakers=["n" * 80] * 9)
    for number, status in enumerate(STATUSES, 10):
        made[number] = replace(made[number], status=status)
    return made


ROWS = rows()


def address(query):
    return "/batch?" + urlencode({**asdict(query), "theme": "dark"})


def batch(query=BatchQuery(), of=ROWS, **how):  # noqa: B008  it is frozen
    return batch_page(select(of, query), NONCE, address, lambda number: f"/row/{number}", **how)


def waiting(**changes):
    view = Waiting(
        ["stt_1", "stt_2"], "Elevenlabs-STT", NOON - 240, NOON + 600, 0.1234, 12.5, None, "s3://b/out/.nanostt/x.json"
    )
    return waiting_page(replace(view, **changes), NONCE, now=NOON)


def failed(**changes):
    return failed_page(replace(Failed("Fix the key, then clear.", "stt_9", 0.0345, 1.15, False), **changes), NONCE)


def text(value="Good morning.", **changes):
    return text_page(replace(Text(value, "Elevenlabs-STT", "en", 0.0345, 1.15), **changes), NONCE)


PAGES = {
    "batch": batch,
    "one recording": lambda: batch(of=ROWS[:1]),
    "nothing found": lambda: batch(BatchQuery(text="lighthouse", status="failed")),
    "failures": lambda: batch(BatchQuery(status="failed", text="sound", sort="cost", descending=True, page=2)),
    "waiting": waiting,
    "waiting, nothing known": lambda: waiting_page(Waiting(), NONCE),
    "waiting batch": lambda: waiting(run_ids=[f"stt_{'f' * 40}{n}" for n in range(40)], items=1200, record=None),
    "failed": lambda: failed(has_manifest=True),
    "failed, nothing known": lambda: failed_page(Failed(), NONCE),
    "tried again": lambda: failed(state="up_for_retry", next_step=None),
    "text": lambda: text(f"{'Good morning, Harbour Parcels. ' * 60}\n{ARABIC}\n{'w' * 400}", is_cut=True),
    "arabic": lambda: text(ARABIC * 20, language="ar"),
    "silence": lambda: text("", language=None),
    "quiet": lambda: quiet_page("This task has no transcript.", NONCE),
}


FIRST = ("failures", "waiting", "failed", "arabic")
LONG = pytest.mark.long


class Site(http.server.BaseHTTPRequestHandler):
    """Serves the batch for any query, as the tab does, and a page for each row."""

    asked_for: list[str] = []  # noqa: RUF012

    def do_GET(self):
        self.asked_for.append(self.path)
        parts = urlsplit(self.path)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.path == "/batch":
            query = BatchQuery(
                given.get("status", ""),
                given.get("text", ""),
                given.get("sort", "number"),
                given.get("descending") == "True",
                int(given.get("page", 1)),
            )
            body = batch(query, theme=given.get("theme", ""))
        elif parts.path == "/waiting":
            body = waiting()
        else:
            body = text(f"The transcript of {parts.path}")
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    with serving(Site) as address:
        yield address


def names(view):
    return view.locator("tbody .c-name").all_inner_texts()


def facts(view):
    """What a page says of a task, by label."""
    labels = view.locator("dt").all_inner_texts()
    return dict(zip(labels, (" ".join(one.split()) for one in view.locator("dd").all_inner_texts()), strict=True))


class TestSelect:
    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize(
        ("column", "value"),
        [
            ("number", lambda row: row.number),
            ("name", lambda row: row.name.lower()),
            ("minutes", lambda row: row.charged_minutes),
            ("cost", lambda row: row.cost_usd),
            ("language", lambda row: row.language),
            ("speakers", lambda row: len(row.speakers) or None),
            ("error", lambda row: row.error and row.error.lower()),
        ],
    )
    def test_every_column_sorts_and_missing_values_come_last(self, column, value, descending):
        """All rows are there once, in order, equal ones by number; those without a value at the end either way."""
        made = ROWS[100:400]
        query = BatchQuery(sort=column, descending=descending)
        found = [row for page in (1, 2, 3) for row in select(made, replace(query, page=page)).rows]
        assert sorted(row.number for row in found) == [row.number for row in made]
        known = [row for row in found if value(row) is not None]
        assert found[: len(known)] == known
        assert known == sorted(sorted(known, key=lambda row: row.number), key=value, reverse=descending)

    def test_statuses_sort_by_what_there_is_to_do(self):
        """What was written comes first; the order is the one of the bar."""
        found = select(ROWS[10:18], BatchQuery(sort="status")).rows
        assert [row.status for row in found] == [
            "written", "skipped", "duplicate", "failed", "not_started", "elsewhere", "no_match", "waiting",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("typed", "number"),
        [("CALL-00123", 123), ("cafe muller", 2), ("العملاء", 1), ("inbox/call-00777.mp3", 777), ("stt_4321", 4321)],
    )
    def test_search_needs_neither_case_nor_accents(self, typed, number):
        """Name, address and run id are searched, every word of what is typed."""
        found = select(ROWS, BatchQuery(text=typed))
        assert [row.number for row in found.rows] == [number]
        assert found.found == 1

    def test_errors_and_speakers_are_searched(self):
        """So that all recordings with one fault can be listed."""
        assert select(ROWS, BatchQuery(text="no SOUND")).found == 200
        assert select(ROWS, BatchQuery(text="guest")).found > 1000

    def test_sums_are_of_the_whole_batch(self):
        """Whatever is filtered, counts, cost and minutes tell of everything."""
        whole, some = select(ROWS, BatchQuery()), select(ROWS, BatchQuery(status="failed", text="call"))
        assert (some.counts, some.cost_usd, some.charged_minutes) == (
            whole.counts, whole.cost_usd, whole.charged_minutes,
        )  # fmt: skip
        assert sum(some.counts.values()) == 10_000
        assert whole.cost_usd == pytest.approx(sum(row.cost_usd or 0 for row in ROWS))

    @pytest.mark.parametrize(("asked", "shown"), [(-3, 1), (0, 1), (7, 7), (101, 100), (10**9, 100)])
    def test_a_page_that_is_not_there_is_the_nearest(self, asked, shown):
        """And the query says which one that is."""
        found = select(ROWS, BatchQuery(page=asked))
        assert (found.query.page, found.pages, len(found.rows)) == (shown, 100, 100)

    def test_nothing_is_one_empty_page(self):
        """A batch of nothing, or a search that finds nothing."""
        for found in (select([], BatchQuery()), select(ROWS, BatchQuery(text="lighthouse"))):
            assert (found.rows, found.found, found.pages) == ([], 0, 1)

    def test_an_unknown_column_is_the_number(self):
        """Whatever an address says."""
        assert select(ROWS, BatchQuery(sort="__class__")).query.sort == "number"


class TestBatch:
    @pytest.fixture
    def view(self, visit, site):
        """The first page of 10,000 rows; no script runs."""
        return visit(url=f"{site}/batch", java_script_enabled=False)

    def test_totals_and_outcomes_are_told_in_words(self, view):
        """Cost, minutes and how many of each outcome; the bar says the same to who cannot see it."""
        table = select(ROWS, BatchQuery())
        assert view.locator("h1").inner_text() == "10,000 recordings"
        assert view.locator(".sum li").all_inner_texts() == [
            f"${table.cost_usd:,.2f}", f"{table.charged_minutes:,.2f} minutes charged",
        ]  # fmt: skip
        legend = [" ".join(one.split()) for one in view.locator(".legend li").all_inner_texts()]
        assert legend[:2] == ["All 10,000", f"Written {table.counts['written']:,}"]
        assert len(legend) == 1 + len(table.counts)
        said = view.get_by_role("img").get_attribute("aria-label")
        assert said.startswith(f"Outcomes: {table.counts['written']:,} written, 1 skipped, ")
        assert view.locator("rect").count() == len(table.counts)
        assert min(one.bounding_box()["width"] for one in view.locator("rect").all()) >= 3  # one of 10,000 is seen

    def test_a_row_says_what_became_of_a_recording(self, view):
        """Status, name, minutes, cost, language, speakers, error; what is not known stays empty."""
        cells = view.locator("tbody tr").nth(4).locator("td").all_inner_texts()
        assert cells == ["5", "Written", "call-00004", "0.40", "$0.0040", "en", "Agent, Customer, Lead +1", ""]
        cells = view.locator("tbody tr").nth(49).locator("td").all_inner_texts()
        assert cells[:7] == ["50", "Failed", "call-00049", "", "", "en", "Agent, Customer, Lead +1"]
        view.click("tbody tr >> nth=49 >> summary")
        assert " ".join(view.locator("tbody tr").nth(49).locator(".c-error").inner_text().split()) == (
            ROWS[49].error.strip()
        )

    @pytest.mark.parametrize(
        "column",
        [
            "Name",
            "Cost",
            *(
                pytest.param(one, marks=LONG)
                for one in ("Minutes", "Speakers", "Error", "Status", "Language", "Number")
            ),
        ],
    )
    def test_headings_sort(self, view, column):
        """A click sorts, another one the other way, and the heading says which."""
        heading = view.get_by_role("columnheader", name=column)
        heading.get_by_role("link").click()
        first, way = names(view), heading.get_attribute("aria-sort")
        heading.get_by_role("link").click()
        assert {way, heading.get_attribute("aria-sort")} == {"ascending", "descending"}
        assert view.locator("th[aria-sort]").count() == 1
        if column not in {"Language", "Error"}:  # which are the same nearly everywhere
            assert names(view) != first

    def test_search_filter_sort_and_pages_go_together(self, view):
        """Each keeps what the others have chosen, and the theme; another choice begins on the first page."""
        view.fill("[name=text]", "sound")
        view.press("[name=text]", "Enter")
        assert "100 of 200" in view.locator(".find").inner_text()
        view.locator(".legend a", has_text="Failed").click()
        assert view.locator(".legend [aria-current]").inner_text().startswith("Failed")
        view.get_by_role("columnheader", name="Name").get_by_role("link").click()
        view.get_by_role("columnheader", name="Name").get_by_role("link").click()
        assert names(view)[0] == "call-09999"
        view.click("text=Next")
        assert view.locator(".pages [aria-current=page]").inner_text() == "2"
        assert names(view)[-1] == "call-00049"
        view.fill("[name=text]", "call-09")
        view.click("button")
        assert names(view)[0] == "call-09999"
        query = dict(parse_qsl(urlsplit(view.url).query))
        assert query == {
            "status": "failed", "sort": "name", "descending": "True", "theme": "dark", "text": "call-09",
        }  # fmt: skip
        view.click("text=Clear")
        assert "100 of 201" in view.locator(".find").inner_text()

    def test_pages(self, view):
        """Ten thousand rows are a hundred pages; the first, the last and those near by are one click away."""
        assert len(names(view)) == 100
        assert view.locator(".pages a, .pages span").all_inner_texts() == ["1", "2", "3", "…", "100", "Next"]
        view.click(".pages >> text='100'")
        assert names(view)[-1] == "call-09999"
        view.click("text=Previous")
        assert view.locator(".pages a, .pages span").all_inner_texts() == [
            "Previous", "1", "…", "97", "98", "99", "100", "Next",
        ]  # fmt: skip

    def test_a_row_opens_its_page_and_back_is_where_one_was(self, view):
        """The name is a link; going back shows the same rows."""
        view.click(".pages >> text='3'")
        before = names(view)
        view.click("text=call-00204")
        assert "The transcript of /row/204" in view.locator("main").inner_text()
        view.go_back()
        assert names(view) == before

    def test_a_row_without_a_page_is_no_link(self, visit):
        """Where there is nothing to open, nothing invites to."""
        shown = visit(batch_page(select(ROWS, BatchQuery()), NONCE, address, lambda n: "" if n == 1 else "/r"))
        assert shown.locator("tbody tr").nth(0).locator(".c-name a").count() == 1
        assert shown.locator("tbody tr").nth(1).locator(".c-name a").count() == 0

    def test_keyboard(self, view):
        """From the top by tabulator to filter, search, headings and rows; what has the focus is outlined."""
        seen = []
        for _ in range(22):
            view.keyboard.press("Tab")
            focus = view.locator(":focus")
            seen.append(focus.inner_text().split("\n")[0] or focus.get_attribute("name"))
            style = focus.evaluate("e => [getComputedStyle(e).outlineStyle, getComputedStyle(e).outlineWidth]")
            assert style == ["solid", "2px"], seen
        assert seen[0].startswith("All")
        assert "text" in seen
        assert {"Search", "Name", "call-00000"} <= set(seen)


class TestWaiting:
    def test_says_what_is_known(self, visit):
        """Runs, model, when it was submitted and is expected, in UTC and from now; cost and record."""
        view = visit(waiting())
        assert facts(view) == {
            "Runs": "stt_1 stt_2",
            "Model": "Elevenlabs-STT",
            "Submitted": "2026-11-27 11:56:00 UTC 4 min ago",
            "Expected": "2026-11-27 12:10:00 UTC in 10 min",
            "Cost so far": "$0.1234 for 12.50 minutes",
            "Record": "s3://b/out/.nanostt/x.json A retry or a clear finds there what is paid for, and does not pay "
            "again.",
        }

    def test_what_is_not_known_is_not_made_up(self, visit):
        """Nothing but that no cost is known; times that no calendar has are left out."""
        for view in (Waiting(), Waiting(submitted_at=1e300, expected_at=float("nan"))):
            assert facts(visit(waiting_page(view, NONCE))) == {"Cost so far": "not known yet"}

    def test_a_late_job_and_many_runs(self, visit):
        """A time that has passed is said to have; of many runs a dozen are named."""
        view = visit(waiting(expected_at=NOON - 300, run_ids=[f"stt_{n}" for n in range(1200)], items=1200))
        assert facts(view)["Expected"] == "2026-11-27 11:55:00 UTC 5 min ago; such jobs take longer at times"
        assert facts(view)["Runs"].endswith("stt_11 and 1,188 more")
        assert facts(view)["Recordings"] == "1,200"

    def test_refreshes_itself_until_told_not_to(self, visit, site):
        """Every 20 seconds; not once it is switched off, which outlives a reload."""
        view = visit(url="about:blank")
        view.clock.install()
        view.goto(f"{site}/waiting")
        visits = lambda: view.seen["requests"].count(f"{site}/waiting")  # noqa: E731
        view.clock.fast_forward(19_000)
        assert visits() == 1
        with view.expect_navigation():
            view.clock.fast_forward(2_000)
        assert visits() == 2
        view.uncheck("#refresh")
        view.clock.fast_forward(60_000)
        view.reload()
        assert not view.is_checked("#refresh")
        view.clock.fast_forward(60_000)
        assert visits() == 3
        assert view.seen["errors"] == []

    def test_refreshes_without_javascript_too(self, visit):
        """Then the browser does it, and no dead switch is shown."""
        view = visit(waiting(), java_script_enabled=False)
        assert view.locator("head meta[http-equiv=refresh]").get_attribute("content") == "20"
        assert view.locator("#refresh:visible").count() == 0


class TestFailed:
    def test_says_what_to_do_and_what_happened_to_the_money(self, visit):
        """The next step of the task itself, the charge and the run."""
        view = visit(failed())
        assert "This task has failed" in view.locator("h1").inner_text()
        assert view.locator(".note").inner_text() == "Fix the key, then clear."
        told = facts(view)
        assert told["Charged"] == "$0.0345 for 1.15 minutes"
        assert told["Run"].startswith("stt_9 ")

    @pytest.mark.parametrize(
        ("known", "said"),
        [
            ({"cost_usd": None, "charged_minutes": None}, "NanoGPT has not said what it costs"),
            ({"cost_usd": None, "charged_minutes": None, "run_id": None}, "No charge is known"),
            ({"cost_usd": 0.0, "charged_minutes": 0.0}, "$0 for 0.00 minutes"),
        ],
    )
    def test_an_unknown_charge_is_not_called_none(self, visit, known, said):
        """Nothing known, a job without a price, and a price of nothing are three things."""
        assert said in facts(visit(failed(**known)))["Charged"]

    @pytest.mark.parametrize(
        ("state", "said"),
        [
            ("failed", "Mend that first"),
            ("up_for_retry", "Nothing by hand"),
            ("upstream_failed", "the tasks before this one"),
        ],
    )
    def test_there_is_always_something_to_do(self, visit, state, said):
        """Also where the task has left no word."""
        assert said in visit(failed(state=state, next_step=None)).locator(".note").inner_text()

    def test_a_batch_points_to_its_manifest(self, visit):
        """What was written is not lost with the task."""
        assert "What was written is kept" in visit(failed(has_manifest=True)).locator("main").inner_text()


class TestText:
    def test_text_is_read_in_paragraphs(self, visit):
        """Nothing is lost, long texts are cut at sentences, and model, language, minutes and cost stand above."""
        long = "Good morning, Harbour Parcels. " * 60
        view = visit(text(f"First line.\n{long}"))
        parts = view.locator(".text p").all_inner_texts()
        assert parts[0] == "First line."
        assert len(parts) > 2
        assert " ".join(" ".join(parts[1:]).split()) == long.strip()
        assert view.locator(".sum li").all_inner_texts() == [
            "Elevenlabs-STT", "en", "1.15 minutes charged", "$0.0345",
        ]  # fmt: skip
        assert view.locator(".note").count() == 0

    def test_right_to_left(self, visit):
        """An Arabic paragraph runs from the right, beside an English one that does not."""
        view = visit(text(f"Good morning.\n{ARABIC}", language="ar"))
        ways = view.evaluate("[...document.querySelectorAll('.text p')].map(p => getComputedStyle(p).direction)")
        assert ways == ["ltr", "rtl"]
        assert view.locator(".text").get_attribute("lang") == "ar"

    def test_a_cut_text_says_so(self, visit):
        """And where the rest is."""
        assert "XCom" in visit(text(is_cut=True)).locator(".note").inner_text()

    def test_silence_is_said(self, visit):
        """A transcript without a word is no empty page."""
        assert "Nothing was said" in visit(text(" \n ")).locator(".text").inner_text()

    def test_what_is_no_character_is_replaced(self, visit):
        """A NUL or half a surrogate pair does not break the page."""
        assert visit(text("a\x00b \ud83d c")).locator(".text p").inner_text() == "a\ufffdb \ufffd c"


EVIL, OTHER = " ".join(HOSTILE), " ".join(HOSTILE[::-1])


def hostile_batch(query, opened):
    """A batch with hostile values wherever a manifest or an address could have put them."""
    row = ManifestRow(
        0,
        EVIL,
        OTHER,
        EVIL,
        "failed",
        {EVIL: OTHER},
        run_id=EVIL,
        model=OTHER,
        language=EVIL,
        charged_minutes=1.0,
        cost_usd=1.0,
        speakers=[EVIL, OTHER] * 3,
        words=1,
        error=EVIL,
        error_type=EVIL,
    )
    nameless = replace(row, number=1, name="", error="<b onclick=hacked>", status=EVIL)
    table = replace(select([row, nameless], BatchQuery()), query=query, counts={EVIL: 1, "failed": 1}, pages=3)
    return batch_page(table, NONCE, address, opened, theme=EVIL)


HOSTILE_PAGES = {
    "batch": lambda: hostile_batch(BatchQuery(EVIL, "", EVIL), lambda number: f"/row/{number}"),
    "search": lambda: hostile_batch(BatchQuery(text=EVIL), lambda _: ""),
    "waiting": lambda: waiting_page(Waiting([EVIL, OTHER], EVIL, NOON, NOON, 1.0, 1.0, 1, EVIL), NONCE, theme=EVIL),
    "failed": lambda: failed_page(Failed(EVIL, OTHER, 1.0, 1.0, True, EVIL), NONCE, theme=EVIL),
    "text": lambda: text_page(Text(EVIL, OTHER, EVIL, 1.0, 1.0, True), NONCE, theme=EVIL),
    "quiet": lambda: quiet_page(EVIL, NONCE, theme=EVIL),
}


class TestHostile:
    @pytest.mark.parametrize("name", HOSTILE_PAGES)
    def test_hostile_values_are_only_text(self, visit, name):
        """Markup in any value runs nothing, loads nothing, leads nowhere, and is shown as it is."""
        view = visit(HOSTILE_PAGES[name]())
        assert view.evaluate("window.hacked") is None
        assert view.locator("main :is(img, style, iframe, base), [onload], [onerror], [onclick]").count() == 0
        assert view.locator("script").count() == view.locator("script[nonce]").count() == (name == "waiting")
        assert view.seen["requests"] == [view.url]
        assert view.seen["dialogs"] == view.seen["errors"] == view.seen["console"] == []
        links = view.evaluate("[...document.querySelectorAll('[href], [src], [action]')].map(e => e.href || e.action)")
        assert {urlsplit(link).scheme for link in links} <= {"file"}
        texts = view.evaluate("document.querySelector('main').textContent")
        typed = view.evaluate("[...document.querySelectorAll('[name=text]')].map(e => e.value).join()")
        assert "".join(EVIL.split()) in "".join((texts + typed).split())

    def test_the_policy_stops_what_escaping_would_have_missed(self, visit, site):
        """Even markup put into a page unescaped runs nothing, loads nothing and changes no address."""
        planted = (
            f"<script>window.hacked = 1</script><img src='{site}/planted' onerror='window.hacked = 1'>"
            f"<style>body {{ color: rgb(1, 2, 3) !important }}</style><link rel=stylesheet href='{site}/planted'>"
            f"<iframe srcdoc='<script>top.hacked = 1</script>'></iframe><base href='{site}/'>"
            "<a id=planted href='javascript:window.hacked=1'>x</a>"
        )
        for make in (batch, waiting):
            view = visit(make().replace("<main>", f"<main>{planted}", 1))
            view.click("#planted")
            assert view.evaluate("window.hacked") is None
            assert view.evaluate("getComputedStyle(document.body).color") != "rgb(1, 2, 3)"
            assert view.evaluate("document.baseURI").startswith("file:")
        assert "/planted" not in Site.asked_for


class TestLooks:
    @pytest.mark.parametrize(("scheme", "width"), [("light", 1100), ("dark", 360)])
    @pytest.mark.parametrize("name", [name if name in FIRST else pytest.param(name, marks=LONG) for name in PAGES])
    def test_axe_finds_nothing(self, visit, name, width, scheme):
        """No fault of accessibility at all, contrast included."""
        view = visit(PAGES[name](), color_scheme=scheme, viewport={"width": width, "height": 740})
        assert [(one["id"], one["nodes"][0]["html"]) for one in violations(view)] == []

    @pytest.mark.parametrize("name", PAGES)
    def test_a_page_scrolls_only_down(self, visit, name):
        """From a phone's width on, nothing sticks out, not even a name without end."""
        view = visit(PAGES[name]())
        for width in (360, 480, 735, 740, 800, 1000):
            view.set_viewport_size({"width": width, "height": 740})
            assert view.evaluate("document.documentElement.scrollWidth") == width

    def test_theme(self, visit):
        """Airflow's theme holds where it is known, else the system's."""
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = visit(batch(theme="dark"), color_scheme="light").evaluate(ground)
        light = visit(batch(theme="light"), color_scheme="dark").evaluate(ground)
        assert dark != light
        assert visit(batch(), color_scheme="dark").evaluate(ground) == dark
        assert visit(batch(theme="pink"), color_scheme="light").evaluate(ground) == light
