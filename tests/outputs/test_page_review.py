"""What the model was not sure of, on the page in a real Chromium: marked, counted, and reached by button and key."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.timeline import normalised
from airflow_provider_nanostt.outputs.html.page import page
from tests.browser import violations

pytest.importorskip("playwright.sync_api")
from .test_page import Pages, matched, site  # noqa: F401  the fixture; the module is not there without a browser

BELOW = 0.6
LINES = (
    ("Agent", "Did you not ask for the blue one?", {"not": 0.31}),
    ("Customer", "No, I did. (cough) It 👋 cannot be blue.", {"cannot": 0.5999, "(cough)": 0.01}),
    ("Agent", "I see.", {"see.": 0.6}),
    ("Customer", "Mumble mumble mumble.", dict.fromkeys(("Mumble", "mumble", "mumble."), 0.2)),
)


def conversation(lines=LINES) -> Transcript:
    """Two people; a word takes a third of a second, and each is certain but for those that are not."""
    words, segments, clock = [], [], 0.0
    for speaker, line, unsure in lines:
        segments.append(Segment(speaker, round(clock, 2), None, line))
        for text in line.split():
            kind = "audio_event" if text.startswith("(") else "word"
            words.append(Word(text, round(clock, 2), round(clock + 0.3, 2), kind, speaker, unsure.get(text, 0.98)))
            clock += 0.33
    return normalised(Transcript(" ".join(line for _, line, _ in lines), tuple(segments), tuple(words), language="en"))


def marked(view):
    return view.locator("mark").all_inner_texts()


def here(view):
    """The word in focus, and what the bar says of it."""
    return view.evaluate("document.activeElement.textContent"), view.inner_text("#place")


DOUBTED = ["not", "cannot", "Mumble", "mumble", "mumble."]


def test_words_below_the_figure_are_marked(visit):
    """Those, and no other: not one at the figure, nor a sound; each says how sure the model was."""
    view = visit(page(conversation(), title="t", review_below=BELOW))
    assert marked(view) == DOUBTED
    assert [mark.get_attribute("title").replace("\u202f", " ") for mark in view.locator("mark").all()] == [
        "31 %", "59 %", "20 %", "20 %", "20 %",
    ]  # fmt: skip
    assert view.locator(".x").all_inner_texts() == [line.replace("(cough)", "[cough]") for _, line, _ in LINES]
    assert "5 places to check" in view.inner_text(".head")
    assert view.seen["errors"] == view.seen["console"] == []


def test_a_passage_that_is_in_doubt_as_a_whole_is_marked(visit):
    """With its figure beside it; a passage with one word in doubt has only that word."""
    view = visit(page(conversation(), title="t", review_below=BELOW))
    assert view.locator(".d .x").all_inner_texts() == ["Mumble mumble mumble."]
    assert view.inner_text(".d .r").replace("\u202f", " ").split("\n")[-1].endswith("20 %")


def test_keys_and_buttons_go_from_place_to_place(visit):
    """Forward and back, round the ends, from where the reader is; the word is in focus, and it is said which it is."""
    view = visit(page(conversation(), title="t", review_below=BELOW))
    seen = []
    for press in ("d", "d", "Shift+D", "Shift+D", "d"):
        view.keyboard.press(press)
        seen.append(here(view))
    assert seen == [
        ("not", "1 of 5"),
        ("cannot", "2 of 5"),
        ("not", "1 of 5"),
        ("mumble.", "5 of 5"),
        ("not", "1 of 5"),
    ]
    assert view.inner_text("#status").replace("\u202f", " ") == "Place 1 of 5 to check, 31 %, 0:00"
    view.click("[aria-label='Next place to check']")
    assert here(view) == ("cannot", "2 of 5")
    view.click("[aria-label='Previous place to check']")
    assert here(view) == ("not", "1 of 5")


def test_all_in_doubt_is_gone_through_word_by_word(visit):
    """Over the turns of all speakers and round again; a letter in the search is a letter."""
    lines = [("Agent", "One two three.", {}), ("Customer", "Four.", {}), ("Agent", "Five 👋 six.", {})]
    words = [word for _, line, _ in lines for word in line.split() if word != "👋"]
    doubted = [(speaker, line, dict.fromkeys(words, 0.2)) for speaker, line, _ in lines]
    view = visit(page(conversation(doubted), title="t", review_below=1.0))
    places = []
    for _ in range(8):
        view.keyboard.press("d")
        places.append(here(view))
    heard = ["One", "two", "three.", "Four.", "Five", "👋", "six."]
    assert places == [(word, f"{at + 1} of 7") for at, word in enumerate(heard)] + [("One", "1 of 7")]
    view.keyboard.press("/")
    view.keyboard.type("add")
    assert (view.input_value("#q"), view.inner_text("#place")) == ("add", "1 of 7")


def test_a_far_place_is_brought_into_view_and_the_way_goes_on_from_where_the_reader_is(visit):
    """In a long transcript, below the bar; who has scrolled on is not sent back."""
    lines = [("Agent", f"Line {number} is as long as it has to be.", {}) for number in range(300)]
    view = visit(page(conversation((*LINES[:1], *lines, *LINES[1:2])), title="t", review_below=BELOW))
    view.evaluate("document.querySelectorAll('.p')[200].scrollIntoView()")
    view.keyboard.press("d")
    view.wait_for_timeout(300)
    assert here(view) == ("cannot", "2 of 2")
    box = view.locator("mark >> nth=1").bounding_box()
    assert view.locator(".bar").bounding_box()["height"] < box["y"] < 800


def test_places_of_speakers_that_are_not_shown_are_left_out(visit):
    """Who reads one speaker is led to that speaker's places."""
    view = visit(page(conversation(), title="t", review_below=BELOW))
    view.click(".only >> text=Agent")
    for _ in range(2):
        view.keyboard.press("d")
        assert here(view) == ("not", "1 of 1")


def test_without_words_the_passage_is_the_place(visit):
    """Such as one that was redacted: its figure is left, and its words are not."""
    transcript = Transcript(
        "Gone.", (Segment(None, 1.0, 2.0, "Gone.", 0.4),), (Word("Gone.", 1.0, 2.0),), confidence=0.4
    )
    view = visit(page(transcript, title="t", review_below=BELOW))
    assert "1 place to check" in view.inner_text(".head")
    view.keyboard.press("d")
    assert view.evaluate("document.activeElement.querySelector('.x').textContent") == "Gone."


def test_a_word_to_check_is_heard_with_what_comes_before_it(visit, site):  # noqa: F811
    """The key to play starts two seconds before it, each time: what is missing there cannot be marked."""
    assert Pages.files
    view = visit(page(conversation(), title="t", audio_url=f"{site}/talk.wav", review_below=BELOW))
    view.keyboard.press("d")
    view.keyboard.press("d")
    start = next(word.start for word in conversation().words if word.text == "cannot")
    begin = "addEventListener('seeking', event => { window.began = event.target.currentTime; }, true)"
    view.evaluate(f"() => {{ {begin}; }}")
    view.keyboard.press("p")
    view.wait_for_function("() => window.began !== undefined", timeout=10_000)
    assert view.evaluate("window.began") == pytest.approx(start - 2)
    assert here(view)[0] == "cannot"


def test_search_and_files_are_as_without_marks(visit):
    """A place that is partly marked is found, and positions behind a mark hold."""
    view = visit(page(conversation(), title="t", review_below=BELOW))
    view.fill("#q", "you not ask")
    assert matched(view) == ["you not ask"]
    view.fill("#q", "be blue")
    assert matched(view) == ["be blue"]


def test_without_javascript_and_on_paper_the_marks_are_there(visit):
    """With what they mean, and without dead controls."""
    text = page(conversation(), title="t", review_below=BELOW)
    view = visit(text, java_script_enabled=False)
    assert marked(view) == DOUBTED
    assert "underlined" in view.inner_text(".head")
    assert view.locator("button:visible").count() == 0
    view = visit(text)
    view.emulate_media(media="print")
    line = "getComputedStyle(document.querySelector('mark')).textDecorationLine"
    assert view.evaluate(line) == "underline"
    assert view.locator(".check:visible").count() == 0


@pytest.mark.parametrize(
    ("transcript", "below"),
    [
        (replace(conversation(), confidence=None, words=(), segments=()), BELOW),
        (conversation(), None),
    ],
    ids=["a model that does not say", "nobody asks"],
)
def test_the_page_says_nothing_where_there_is_nothing_to_say(transcript, below):
    """No mark, no count, no control; the page is the one that it was before."""
    text = page(transcript, title="t", review_below=below)
    assert text == page(transcript, title="t")
    body = text.partition("<body>")[2]
    assert not any(word in body for word in ("<mark", "to check</", 'class="check', " place to check"))


def test_nothing_in_doubt_is_said(visit):
    """The reader knows that somebody looked."""
    view = visit(page(conversation(LINES[2:3]), title="t", review_below=0.5))
    assert "Nothing to check" in view.inner_text(".head")
    assert view.locator(".check").count() == 0


@pytest.mark.parametrize("width", [pytest.param(1100, marks=pytest.mark.long), 360])
def test_axe_finds_nothing_serious(visit, width):
    """With a place in focus, light and dark, and nothing sticks out of a phone."""
    text = page(conversation(), title="t", review_below=BELOW)
    for scheme in ("light", "dark"):
        view = visit(text, color_scheme=scheme, viewport={"width": width, "height": 740})
        view.keyboard.press("d")
        view.wait_for_timeout(250)  # transitions end
        assert [one for one in violations(view) if one["impact"] in {"serious", "critical"}] == []
        assert view.evaluate("document.documentElement.scrollWidth") == width
