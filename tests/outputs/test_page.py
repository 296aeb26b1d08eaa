"""The HTML page, opened in a real Chromium: what a person can do with it, and what a hostile transcript cannot."""

from __future__ import annotations

import base64
import gzip
import html
import http.server
import io
import math
import re
import struct
import wave
from dataclasses import replace

import pytest

from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.words import read_segments
from airflow_provider_nanostt.outputs.html.page import is_right_to_left, page, playable
from tests.browser import HOSTILE, serving, violations

from .talk import talk

pytest.importorskip("playwright.sync_api")
from local_chromium import ChromiumUnavailableError, ensure_chromium

SECONDS = 12


def conversation() -> Transcript:
    """Three people; each word is spoken in a third of a second."""
    lines = [
        ("Agent", "Good morning, Harbour Parcels. How can I help?"),
        ("Customer", "My parcel has not come. The café can take it."),
        ("Agent", "Thank you. Which PARCEL is it?"),
        (None, "(typing)"),
        ("Lead", "I have the parcels here 👋 on my desk."),
        ("Customer", "Good."),
    ]
    words, clock = [], 0.0
    for speaker, line in lines:
        for text in [line] if speaker is None else line.split():
            kind = "audio_event" if speaker is None else "word"
            words += [
                Word(text, round(clock, 2), round(clock + 0.3, 2), kind, speaker),
                Word(" ", clock, clock, "spacing"),
            ]
            clock += 0.33
    return Transcript(
        "".join(word.text for word in words).strip(),
        read_segments(None, words),
        tuple(words),
        language="en",
        model="Elevenlabs-STT",
        cost=0.0345,
        charged_minutes=1.15,
        run_id="run_1",
    )


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves ``files`` by name, whole or the piece that was asked for."""

    files: dict[str, tuple[str, bytes]] = {}  # noqa: RUF012  the tests fill it
    asked_for: list[str] = []  # noqa: RUF012

    def do_GET(self):
        self.asked_for.append(self.path)
        kind, data = self.files.get(self.path.lstrip("/"), ("", b""))
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        body = data[first : int(asked[2]) + 1 if asked and asked[2] else None]
        self.send_response(404 if not data else 206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(data)}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    """A web server with a recording; returns its address."""
    tone = [int(8000 * math.sin(number / 8)) for number in range(8000 * SECONDS)]
    memory = io.BytesIO()
    with wave.open(memory, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(8000)
        writer.writeframes(struct.pack(f"<{len(tone)}h", *tone))
    Pages.files = {"talk.wav": ("audio/wav", memory.getvalue())}
    with serving(Pages) as address:
        yield address


def shown(view):
    """The paragraphs that can be seen."""
    return view.locator(".x:visible").all_inner_texts()


def count(view):
    return view.locator("#count").inner_text()


def matched(view, name="match"):
    """The text that a highlight of this name covers."""
    return view.evaluate("name => [...(CSS.highlights.get(name) || [])].map(String)", name)


def point_of(view, word):
    """The middle of a word on the screen."""
    return view.evaluate(
        """word => { for (const x of document.querySelectorAll('.x')) {
             const walk = document.createTreeWalker(x, NodeFilter.SHOW_TEXT);
             for (let node = walk.nextNode(); node; node = walk.nextNode()) {
               const at = node.data.indexOf(word);
               if (at < 0) continue;
               const range = document.createRange();
               range.setStart(node, at); range.setEnd(node, at + word.length);
               const box = range.getBoundingClientRect();
               return [box.x + box.width / 2, box.y + box.height / 2];
             } } }""",
        word,
    )


def start_of(transcript, text):
    return next(word.start for word in transcript.words if word.text == text)


class TestReading:
    def test_every_segment_is_a_paragraph_with_its_speaker_and_time(self, visit):
        """Texts, names and times are shown as they are in the transcript, sounds in brackets."""
        transcript = conversation()
        view = visit(page(transcript, title="Late parcel"))
        expected = [segment.text.replace("(typing)", "[typing]") for segment in transcript.segments]
        assert shown(view) == expected
        assert view.locator(".p b").all_inner_texts() == [segment.speaker for segment in transcript.segments]
        assert view.locator(".t").all_inner_texts() == [f"0:{int(s.start):02}" for s in transcript.segments]
        assert view.locator(".x i").all_inner_texts() == ["[typing]"]
        assert view.title() == view.locator("h1").inner_text() == "Late parcel"
        assert view.seen["errors"] == view.seen["console"] == []

    def test_facts_are_at_the_foot(self, visit):
        """Model, minutes, cost and run can be read off; the language is named in words."""
        view = visit(page(conversation(), title="t"))
        assert view.locator("footer dd").all_inner_texts() == ["Elevenlabs-STT", "1.15 min", "$0.0345", "run_1"]
        assert view.locator(".sum span").all_inner_texts()[0] == "English"

    def test_without_audio_nothing_invites_to_play(self, visit):
        """Times are plain text and there is no player."""
        view = visit(page(conversation(), title="t"))
        assert view.locator("audio").count() == view.locator("button.t").count() == 0
        assert "data-w" not in view.content().partition("<main")[2]

    def test_text_without_segments_becomes_paragraphs(self, visit):
        """A model that gives only text still makes a page to read, in parts, with nothing lost."""
        text = talk(700, speakers=()).text
        view = visit(page(Transcript(f"First line.\n{text}"), title="t"))
        parts = shown(view)
        assert parts[0] == "First line."
        assert len(parts) > 3
        assert " ".join(parts[1:]) == text
        assert view.locator(".t, .p b").count() == 0

    def test_silence_is_said(self, visit):
        """A transcript without a word is a page that says so."""
        assert "Nothing was said" in visit(page(Transcript(""), title="t")).locator("main").inner_text()

    def test_without_javascript_the_text_is_there(self, visit):
        """Where no script runs the page is still whole to read and shows no dead controls."""
        view = visit(page(conversation(), title="t", downloads={"a.txt": "a"}), java_script_enabled=False)
        assert "Which PARCEL is it?" in view.locator("main").inner_text()
        assert view.locator("button:visible, input:visible").count() == 0

    @pytest.mark.parametrize(
        ("language", "direction"), [("ar", "rtl"), ("he-IL", "rtl"), ("fa", "rtl"), ("ur", "rtl"), ("de", "ltr")]
    )
    def test_language_and_direction_are_declared(self, visit, language, direction):
        """The text has its language, and runs the way that language is written; the page's own words stay English."""
        view = visit(page(replace(conversation(), language=language), title="t"))
        assert view.locator("html").get_attribute("lang") == view.locator("main").get_attribute("lang") == language
        assert view.locator("html").get_attribute("dir") == direction
        assert view.evaluate("getComputedStyle(document.querySelector('main')).direction") == direction
        assert view.locator(".bar").get_attribute("lang") == "en"


class TestSearch:
    def test_finds_and_counts_without_case_and_accents(self, visit):
        """Typing finds every place, whatever case or accents are typed or said."""
        view = visit(page(conversation(), title="t"))
        view.fill("#q", "parcel")
        assert count(view) == "1 of 4"
        assert sorted(matched(view, "hit")) == ["PARCEL", "Parcel", "parcel", "parcel"]
        view.fill("#q", "CAFE")
        assert (count(view), matched(view)) == ("1 of 1", ["café"])
        view.fill("#q", "lighthouse")
        assert (count(view), matched(view)) == ("no match", [])

    def test_accents_that_are_letters_of_their_own_do_not_shift_the_place(self, visit):
        """Where folding changes lengths, what is marked is still what was found."""
        view = visit(page(Transcript("Cafe\u0301 … ﬁrst, the İstanbul office 👋 and naïve ones."), title="t"))
        for typed, found in (("cafe", "Cafe\u0301"), ("first", "ﬁrst"), ("istanbul", "İstanbul"), ("naive", "naïve")):
            view.fill("#q", typed)
            assert matched(view) == [found]

    def test_keys(self, visit):
        """``/`` goes to the search, Enter forward, Shift+Enter back, round the ends; Escape clears, then leaves."""
        view = visit(page(conversation(), title="t"))
        view.keyboard.press("/")
        view.keyboard.type("parcel")
        seen = [count(view)]
        for key in ("Enter", "Enter", "Shift+Enter", "Shift+Enter", "Shift+Enter", "Enter"):
            view.keyboard.press(key)
            seen.append(count(view))
        assert seen == [f"{number} of 4" for number in (1, 2, 3, 2, 1, 4, 1)]
        assert matched(view) == ["Parcel"]
        view.keyboard.press("Escape")
        assert (view.input_value("#q"), count(view), matched(view, "hit")) == ("", "", [])
        view.keyboard.press("Escape")
        assert view.evaluate("document.activeElement === document.body")

    def test_a_far_match_is_brought_into_view(self, visit):
        """In a long transcript the match is on the screen, below the bar, though nothing between was ever laid out."""
        transcript = talk(6000)
        words = list(transcript.segments)
        words[-1] = replace(words[-1], text="There is the lighthouse.")
        view = visit(page(replace(transcript, segments=tuple(words), words=()), title="t"))
        view.fill("#q", "lighthouse")
        view.wait_for_timeout(300)
        _, y = point_of(view, "lighthouse")
        assert view.locator(".bar").bounding_box()["height"] < y < 800

    def test_without_the_highlight_api_the_match_is_selected(self, visit):
        """An older browser shows the place by selecting it."""
        view = visit(page(conversation(), title="t"), script="delete window.Highlight")
        view.fill("#q", "cafe")
        assert count(view) == "1 of 1"
        assert view.evaluate("String(getSelection())") == "café"
        assert view.seen["errors"] == []


class TestSpeakers:
    def test_one_speaker_alone(self, visit):
        """A click on a name shows that speaker only, search and copy keep to it, and a second click shows all."""
        view = visit(page(conversation(), title="t"))
        view.click(".only >> text=Customer")
        assert shown(view) == ["My parcel has not come. The café can take it.", "Good."]
        view.fill("#q", "parcel")
        assert count(view) == "1 of 1"
        view.click(".only >> text=Customer")
        assert len(shown(view)) == 5
        assert count(view).endswith("of 4")

    def test_next_turn(self, visit):
        """The arrow beside a name, or the speaker's number, goes from turn to turn of that speaker and round."""
        view = visit(page(conversation(), title="t"))
        focused = "document.activeElement.querySelector('.x')?.textContent"
        view.click("[aria-label='Next turn of Customer']")
        assert view.evaluate(focused).startswith("My parcel")
        view.keyboard.press("2")
        assert view.evaluate(focused) == "Good."
        view.keyboard.press("2")
        assert view.evaluate(focused).startswith("My parcel")

    def test_paragraph_by_paragraph(self, visit):
        """j and k go through the paragraphs."""
        view = visit(page(conversation(), title="t"))
        for key in "jjk":
            view.keyboard.press(key)
        assert view.evaluate("document.activeElement.querySelector('b').textContent") == "Agent"
        assert view.evaluate("document.activeElement === document.querySelector('.p')")

    def test_single_keys_can_be_turned_off(self, visit):
        """Who speaks to the computer, or types by chance, can do without keys of one character."""
        view = visit(page(conversation(), title="t"))
        view.keyboard.press("?")
        assert view.locator("dialog").is_visible()
        view.uncheck("#single")
        view.keyboard.press("Escape")
        assert not view.locator("dialog").is_visible()
        view.keyboard.press("/")
        assert view.evaluate("document.activeElement.id") != "q"


class TestPlaying:
    @pytest.fixture
    def view(self, visit, site):
        return visit(page(conversation(), title="t", audio_url=f"{site}/talk.wav"))

    def until(self, view, condition):
        view.wait_for_function(
            f"() => {{ const audio = document.querySelector('audio'); return {condition}; }}", timeout=10_000
        )

    @pytest.mark.parametrize("word", ["morning,", "café", "typing", "desk."])
    def test_a_click_on_a_word_plays_from_it(self, view, word):
        """Also behind a sound, and behind a character outside the basic plane."""
        start = start_of(conversation(), "(typing)" if word == "typing" else word)
        begin = "addEventListener('loadedmetadata', event => { window.began = event.target.currentTime; }, true)"
        view.evaluate(f"() => {{ {begin}; }}")
        view.mouse.click(*point_of(view, word))
        self.until(view, f"window.began !== undefined && !audio.paused && audio.currentTime > {start + 0.05}")
        assert view.evaluate("window.began") == pytest.approx(start)

    def test_a_click_on_a_time_plays_the_paragraph(self, view):
        """The player starts where the paragraph does, and the paragraph and its words are marked as they are heard."""
        start = conversation().segments[2].start
        view.click(".t >> nth=2")
        self.until(view, f"audio.currentTime > {start + 0.1}")
        assert view.locator(".p.now .x").inner_text().startswith("Thank you.")
        view.wait_for_function("() => String([...CSS.highlights.get('word')][0]) === 'PARCEL'", timeout=5000)

    def test_selecting_text_does_not_play(self, view):
        """A drag over words is for copying them."""
        view.mouse.move(*point_of(view, "morning"))
        view.mouse.down()
        view.mouse.move(*point_of(view, "help"))
        view.mouse.up()
        assert "Harbour" in view.evaluate("String(getSelection())")
        assert view.evaluate("document.querySelector('audio').paused")

    def test_keys(self, view):
        """p plays from the paragraph in focus and pauses; the arrows go five seconds back and forward."""
        view.keyboard.press("j")
        view.keyboard.press("j")
        view.keyboard.press("p")
        start = conversation().segments[1].start
        self.until(view, f"!audio.paused && audio.currentTime >= {start}")
        view.keyboard.press("p")
        self.until(view, "audio.paused")
        before = view.evaluate("document.querySelector('audio').currentTime")
        view.keyboard.press("ArrowRight")
        self.until(view, f"Math.abs(audio.currentTime - {before + 5}) < 0.05")
        view.keyboard.press("ArrowLeft")
        self.until(view, f"Math.abs(audio.currentTime - {before}) < 0.05")

    def test_only_the_recording_is_fetched_and_only_when_played(self, view, site):
        """No request leaves the page until somebody plays; then the recording's, and no other."""
        view.fill("#q", "parcel")
        view.click("#theme")
        view.click(".only >> nth=0")
        view.click(".only >> nth=0")
        assert view.seen["requests"] == [view.url]
        view.click(".t >> nth=0")
        self.until(view, "audio.currentTime > 0")
        assert set(view.seen["requests"][1:]) == {f"{site}/talk.wav"}

    @pytest.mark.parametrize(
        "address",
        [
            "javascript:alert(1)",
            "data:audio/wav;base64,",
            "s3://bucket/a.wav",
            "file:///a.wav",
            "//host/a.wav",
            "http://",
            "https://user:pw@host/a.wav",
            "http://a b/c",
            "http://[::1",
            "https://host:x/a",
            "https://ho'st/a.wav",
            "https://host;x/a.wav",
            "",
            None,
        ],
    )
    def test_only_web_addresses_are_played(self, address):
        """Whatever is not http or https makes a page without a player."""
        assert playable(address) is None
        text = page(conversation(), title="t", audio_url=address)
        assert "<audio" not in text
        assert "media-src" not in text

    @pytest.mark.parametrize(
        ("address", "played"),
        [
            ("HTTPS://My_Bucket.Example.com/a.wav#t=3", "https://my_bucket.example.com/a.wav"),
            ("http://127.0.0.1:8080/ü b.wav?sig=a%2Fb", "http://127.0.0.1:8080/%C3%BC%20b.wav?sig=a%2Fb"),
            ("https://bücher.example/a.wav", "https://xn--bcher-kva.example/a.wav"),
        ],
    )
    def test_web_addresses_are_played_as_browsers_write_them(self, address, played):
        """Signatures stay as they are; what an address cannot hold is encoded, and only that."""
        assert playable(address) == played

    def test_an_address_cannot_widen_the_policy(self):
        """What separates rules in a policy, or ends an attribute, is encoded in it; the query is not part of it."""
        text = page(conversation(), title="t", audio_url='https://host/a b;script-src *,"\'><x>.wav?key=1;2&b="')
        policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1])
        rules = policy.split("; ")
        assert [rule.split()[0] for rule in rules] == [
            "default-src", "style-src", "script-src", "media-src", "base-uri", "form-action",
        ]  # fmt: skip
        assert rules[3] == "media-src https://host/a%20b%3Bscript-src%20*%2C%22'%3E%3Cx%3E.wav"
        assert policy.count(";") == policy.count("; ")
        source = html.unescape(re.search(r'<audio[^>]* src="([^"]*)"', text)[1])
        assert source == "https://host/a%20b;script-src%20*,%22'%3E%3Cx%3E.wav?key=1;2&b=%22"


class TestTaking:
    def test_downloads_are_exactly_the_texts(self, visit):
        """Every file comes out of the page as it was put in, to the last byte."""
        files = {
            "call.srt": "1\r\n00:00:00,000 --> 00:00:01,000\r\n</script><!-- é 👋 \u2028\r\n",
            "call.json": '{"text": "</script><script>window.hacked = 1</script>"}',
            'a"b<c>.txt': "".join(map(chr, range(0xD800))),
        }
        view = visit(page(conversation(), title="t", downloads=files))
        assert view.locator("[data-get]").all_inner_texts() == ["SRT", "JSON", "TXT"]
        for number, text in enumerate(files.values()):
            with view.expect_download() as coming:
                view.locator("[data-get]").nth(number).click()
            with open(coming.value.path(), encoding="utf-8", newline="") as file:  # noqa: PTH123  newline
                assert file.read() == text
        assert view.seen["errors"] == view.seen["console"] == []

    def test_copies(self, visit):
        """One paragraph with its speaker and time, or the whole of what is shown."""
        view = visit(page(conversation(), title="t"), permissions=["clipboard-read", "clipboard-write"])
        clipboard = "navigator.clipboard.readText()"
        view.locator(".c").nth(4).click()
        assert view.evaluate(clipboard) == "Customer, 0:11\nGood."
        view.keyboard.press("j")
        view.keyboard.press("c")
        view.click("#copy")
        lines = view.evaluate(clipboard).split("\n\n")
        assert len(lines) == 5
        assert lines[0] == "Agent, 0:00\nGood morning, Harbour Parcels. How can I help?"
        view.click(".only >> text=Lead")
        view.click("#copy")
        assert view.evaluate(clipboard) == "Lead, 0:08\nI have the parcels here 👋 on my desk.\n"


class TestHostile:
    def hostile(self):
        words, segments, clock = [], [], 0.0
        for number, text in enumerate(HOSTILE):
            words += [Word(part, clock, clock + 1, "word", text) for part in text.split()]
            words.append(Word(f"({text})", clock, clock + 1, "audio_event", text))
            segments.append(Segment(HOSTILE[number - 1], clock, clock + 1, f"{text} ({text})"))
            clock += 1
        return Transcript("".join(HOSTILE), tuple(segments), tuple(words), "en", HOSTILE[0], 1.0, 1.0, HOSTILE[1])

    def test_a_hostile_transcript_is_only_text(self, visit, site):
        """Markup in texts, names, title, model, run and files runs nothing, loads nothing, and is shown as it is."""
        text = page(
            self.hostile(),
            title=HOSTILE[1],
            audio_url=f"{site}/talk.wav?{HOSTILE[2]}",
            downloads={HOSTILE[1]: HOSTILE[0]},
        )
        view = visit(text)
        assert shown(view) == [f"{line} [{line}]" for line in HOSTILE]
        assert [name.inner_text() for name in view.locator(".p b").all()] == [
            HOSTILE[number - 1] for number in range(5)
        ]
        assert view.locator("h1").inner_text() == view.title() == HOSTILE[1]
        assert [view.locator("footer dd").nth(at).inner_text() for at in (0, 3)] == list(HOSTILE[:2])
        view.fill("#q", "<script>")
        assert count(view) == "1 of 6"
        view.wait_for_timeout(200)
        assert view.evaluate("window.hacked") is None
        assert view.locator("main img, main svg, main script, main style").count() == 0
        assert view.seen["requests"] == [view.url]
        assert view.seen["dialogs"] == view.seen["errors"] == view.seen["console"] == []

    def test_the_policy_stops_what_escaping_would_have_missed(self, visit, site):
        """Even markup put into the page unescaped runs nothing and sends nothing."""
        planted = (
            f"<script>window.hacked = 1</script><img src='{site}/planted' onerror='window.hacked = 1'>"
            "<style>body { color: rgb(1, 2, 3) }</style><iframe srcdoc='<script>top.hacked = 1</script>'></iframe>"
            f"<a id=link href='javascript:window.hacked=1'>x</a><base href='{site}/'>"
        )
        text = page(conversation(), title="t").replace("Good morning", planted + "Good morning", 1)
        view = visit(text)
        view.click("#link")
        view.wait_for_timeout(300)
        assert view.evaluate("window.hacked") is None
        assert view.evaluate("getComputedStyle(document.body).color") != "rgb(1, 2, 3)"
        assert "/planted" not in Pages.asked_for
        view.fill("#q", "parcel")  # and the page's own script still works
        assert count(view) == "1 of 4"

    def test_what_is_no_character_is_replaced(self, visit):
        """A NUL or half a surrogate pair neither breaks the file nor moves the words behind it."""
        text = "a\x00b \ud83d c\r\nd\re"
        view = visit(page(Transcript(text, (Segment("\ud800", 0.0, 1.0, text),)), title="\udfff"))
        assert shown(view) == ["a\ufffdb \ufffd c\nd\ne"]


class TestLooks:
    @pytest.mark.parametrize(
        ("scheme", "width"),
        [
            ("light", 1100),
            *(pytest.param(*other, marks=pytest.mark.long) for other in (("light", 360), ("dark", 1100))),
            ("dark", 360),
        ],
    )
    def test_axe_finds_nothing_serious(self, visit, site, scheme, width):
        """No serious or critical fault of accessibility, with a search, eight speakers and the help open or not."""
        many = tuple(Segment(f"Person {number}", number * 1.0, number + 1.0, "Good day to you.") for number in range(9))
        transcript = conversation()
        text = page(
            replace(transcript, segments=transcript.segments + many),
            title="t",
            audio_url=f"{site}/talk.wav",
            downloads={"a.txt": "a", "a.srt": "b"},
        )
        view = visit(text, color_scheme=scheme, viewport={"width": width, "height": 740})
        for step in (
            lambda: None,
            lambda: view.fill("#q", "good"),
            lambda: view.click(".only >> nth=1"),
            lambda: view.click("#help"),
        ):
            step()
            view.wait_for_timeout(250)  # transitions end
            assert [entry for entry in violations(view) if entry["impact"] in {"serious", "critical"}] == []

    def test_no_language_is_no_fault_either(self, visit):
        """A page without a known language is as accessible."""
        view = visit(page(replace(conversation(), language=None), title="t"))
        assert [one["id"] for one in violations(view) if one["impact"] in {"serious", "critical"}] == []

    def test_theme(self, visit):
        """The system's theme holds until the button is pressed, and the choice is kept."""
        view = visit(page(conversation(), title="t"), color_scheme="dark")
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = view.evaluate(ground)
        assert view.get_attribute("#theme", "aria-pressed") == "true"
        view.click("#theme")
        light = view.evaluate(ground)
        assert light != dark
        for _ in range(20):  # Chromium stores what a page keeps a moment later
            view.reload()
            if view.get_attribute("#theme", "aria-pressed") == "false":
                break
        assert (view.evaluate(ground), view.get_attribute("#theme", "aria-pressed")) == (light, "false")
        view.keyboard.press("t")
        assert view.evaluate(ground) == dark

    def test_a_phone_scrolls_only_down(self, visit, site):
        """At 360 pixels nothing sticks out, not even a title or a word without end."""
        files = {f"call.{kind}": "x" for kind in ("txt", "srt", "vtt", "json")}
        long = replace(conversation(), segments=(Segment("N" * 90, 0.0, 1.0, "w" * 300), *conversation().segments))
        for transcript in (conversation(), long, replace(long, language="ar")):
            text = page(transcript, title="recording_" * 20, audio_url=f"{site}/talk.wav", downloads=files)
            view = visit(text, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
            assert view.evaluate("document.documentElement.scrollWidth") == 360
            assert view.evaluate("[...document.querySelectorAll('.x')].every(x => x.scrollWidth <= x.clientWidth + 3)")

    def test_print(self, visit, site):
        """On paper there are names, times and the text, black on white, and no controls."""
        view = visit(
            page(conversation(), title="t", audio_url=f"{site}/talk.wav", downloads={"a.txt": "a"}), color_scheme="dark"
        )
        view.emulate_media(media="print")
        assert view.locator(".bar, .acts, .c, audio, .skip").locator("visible=true").count() == 0
        assert view.locator(".p b:visible").count() == view.locator(".t:visible").count() == 5
        assert view.evaluate("getComputedStyle(document.querySelector('.p')).contentVisibility") == "visible"
        assert view.evaluate("getComputedStyle(document.querySelector('.p')).breakInside") == "avoid"
        assert view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"

    def test_less_motion(self, visit):
        """Who asks for less motion gets none."""
        view = visit(page(conversation(), title="t"), reduced_motion="reduce")
        assert view.evaluate("document.getAnimations().length") == 0
        assert view.evaluate("getComputedStyle(document.querySelector('#help')).transitionDuration") == "0s"


def test_rendering_is_the_same_every_time():
    """Two pages of one transcript are the same file, so a re-run changes nothing on object storage."""
    one, other = (page(conversation(), title="t", downloads={"a.txt": "a"}) for _ in range(2))
    assert one == other
    packed = re.search(r'data-file="a\.txt">([^<]*)<', one)[1]
    assert gzip.decompress(base64.b64decode(packed)) == b"a"


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("ar", True),
        ("ar-EG", True),
        ("iw", True),
        ("az", False),
        ("az-Arab", True),
        ("ur-Latn-PK", False),
        ("en", False),
        ("pa-Arab", True),
    ],
)
def test_direction_of_a_language(tag, expected):
    """The script decides where the tag names one, else the language."""
    assert is_right_to_left(tag) is expected


def test_a_missing_browser_is_named(monkeypatch):
    """Where Chromium is missing and cannot be installed, the error says what to install."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ChromiumUnavailableError, match="install the package chromium"):
        ensure_chromium()
