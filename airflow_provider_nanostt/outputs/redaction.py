"""A DAG author's function over every text of a transcript, before any of it is written. Nothing is written here.

What the function has not seen goes into no output: a list of words says what the segments hide, so the words of a
changed segment give way to one entry with its new text. ``docs/redaction.md`` says what all this does not cover.
"""

from __future__ import annotations

import inspect
import pkgutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath

from airflow_provider_nanostt.api.errors import InvalidInput, TransformFailed, describe_exception
from airflow_provider_nanostt.api.models import Segment, Transcript, Word
from airflow_provider_nanostt.api.placing import placed
from airflow_provider_nanostt.api.spacing import is_sound_event, is_visible
from airflow_provider_nanostt.api.timeline import rebuilt
from airflow_provider_nanostt.outputs.merge import join_texts

Transform = Callable[[str], str]

_ALIKE = str.maketrans("\u201c\u201d\n\r\t\u00a0", '""    ')  # which texts and segments write in different ways
_MAX_FRAMES = 5


def load(path: str) -> Transform:
    """Return the function at a path such as ``my_package.redact``.

    :raises InvalidInput: if there is none, it cannot be called with one text, or it says that it returns no text.
    """
    try:
        found = pkgutil.resolve_name(path)
    except Exception as error:  # noqa: BLE001  whatever a module raises while it is imported
        raise InvalidInput(
            f"transform={path!r} cannot be imported on this worker ({describe_exception(error)})"
        ) from None
    kind = _unfit(found)
    try:
        if kind is None:
            signature = inspect.signature(found)
            signature.bind("text")
            kind = "annotated to return None" if signature.return_annotation in (None, "None") else None
    except TypeError as error:
        raise InvalidInput(f"transform={path!r} cannot be called with one text ({error})") from None
    except (ValueError, NameError):  # one of C need not say what it takes, nor an annotation what it names
        pass
    if kind is not None:
        raise InvalidInput(f"transform={path!r} must be a function from text to text; it is {kind}")
    function: Transform = found
    return function


def _unfit(found: object) -> str | None:
    """Return what something is that makes no text of a text when it is called; None if it may."""
    if isinstance(found, type) or not callable(found):
        return "a class" if isinstance(found, type) else f"a {type(found).__name__}"
    ways = found, type(found).__call__
    if any(map(inspect.iscoroutinefunction, ways)):
        return "async"
    is_generator = any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in ways)
    return "a generator" if is_generator else None


def transformed(transcript: Transcript, path: str, *, keep_raw: bool) -> Transcript:
    """Return a transcript as the function at ``path`` leaves it, without the service's raw answer.

    Segments whose new text is blank are left out. Their confidence and times stay; the words of a changed one become
    one entry. A transcript without segments is one text.

    :param keep_raw: keep the raw answer, and its metadata, as they are.
    :raises TransformFailed: if the function raises, or returns something else than a text.
    """
    function = load(path)

    def apply(text: str) -> str:
        return _call(function, path, text, transcript)

    old = transcript.segments or tuple(rebuilt(transcript.words))
    new = [replace(one, text=apply(one.text)) for one in old]
    return replace(
        transcript,
        text=_text(transcript.text, old, new, apply),
        segments=tuple(one for one in new if is_visible(one.text)),
        words=tuple(_words(transcript.words, old, new, apply)),
        metadata=transcript.metadata if keep_raw else {},
        raw=transcript.raw if keep_raw else {},
    )


def _call(function: Transform, path: str, text: str, transcript: Transcript) -> str:
    """Call the function. What it raises may quote the text, so only its class and where it was raised are told."""
    try:
        made: object = function(text)
        problem = None if isinstance(made, str) else f"it returned {type(made).__name__}, not str"
    except Exception as error:  # noqa: BLE001  whatever a user's function raises
        problem = _described(error)
    if problem is not None:  # outside of the handler: an error carries what is being handled along
        raise TransformFailed(path, problem, run_id=transcript.run_id, cost=transcript.cost)
    return str(made)


def _described(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)[1:][-_MAX_FRAMES:]  # without the one that is ours
    way = ", ".join(f"{PurePath(one.filename).name} line {one.lineno}" for one in frames)
    return f"it raised {type(error).__name__}{way and f' at {way}'}"


def _text(text: str, old: Sequence[Segment], new: Sequence[Segment], apply: Transform) -> str:
    """Return the whole text with the new texts of its segments, however it separates and labels them.

    If it is something else than its segments, it is what the segments are now; with none changed, a text of its own.
    """
    folded, at = text.translate(_ALIKE), 0
    made: list[str] = []
    for before, after in zip(old, new, strict=True):
        begin = folded.find(before.text.translate(_ALIKE), at)
        if begin < 0 or text[at:begin].strip() not in ("", f"{before.speaker or ''}:"):
            break
        end = begin + len(before.text)
        if is_visible(after.text):
            made += [text[at:begin], text[begin:end] if after.text == before.text else after.text]
        at = end
    else:
        if not text[at:].strip() and old:
            return "".join(made).lstrip() + text[at:]
    return apply(text) if is_visible(text) and old == tuple(new) else join_texts(one.text for one in new)


def _words(words: Sequence[Word], old: Sequence[Segment], new: Sequence[Segment], apply: Transform) -> Iterator[Word]:
    """Yield the words of unchanged segments, and one entry for each other one.

    Of what is in no segment's text, sounds are transformed by themselves, and words are left out.
    """
    homes = placed(old, words)
    home = {number: index for index, places in enumerate(homes) for _, number in places}
    is_kept = [
        before == after and _letters(before.text) == _letters("".join(words[number].text for _, number in places))
        for before, after, places in zip(old, new, homes, strict=True)
    ]
    done = {-1}
    is_spaced = True  # nothing before which a space belongs
    for number, word in enumerate(words):
        index = home.get(number, -1)
        made = word
        if index >= 0 and not is_kept[index]:
            segment = new[index]
            made = Word("" if index in done else segment.text, segment.start, segment.end, "word", segment.speaker)
            done.add(index)
        elif index < 0 and word.text.strip():
            is_sound = is_sound_event(word.type, word.text)
            made = replace(word, text=apply(word.text) if is_sound and is_visible(word.text) else "")
        if made.text.strip() or (made.text and not is_spaced):
            yield made
            is_spaced = not made.text.strip()


def _letters(text: str) -> str:
    return "".join(text.translate(_ALIKE).split())
