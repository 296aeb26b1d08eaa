"""Values that have come through a template: read, or refused by name."""

from __future__ import annotations

import numbers
from datetime import timedelta
from decimal import Decimal

import pytest

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.parsing import (
    none_if_null,
    parse_bool,
    parse_mapping,
    parse_number,
    parse_seconds,
    parse_text,
    parse_word,
    parse_words,
)


@pytest.mark.parametrize(
    ("value", "meaning"),
    [
        (True, True),
        (False, False),
        ("True", True),
        (" yes ", True),
        ("1", True),
        (1, True),
        ("on", True),
        ("False", False),
        ("no", False),
        ("0", False),
        (0, False),
        ("off", False),
    ],
)
def test_flags_may_be_what_a_template_makes_of_them(value, meaning):
    """Text that means yes or no is read as such."""
    assert parse_bool("force", value) is meaning


@pytest.mark.parametrize("value", ["perhaps", "2", 2, "{{ params.force }}", ["True"], "", None])
def test_other_values_are_not_taken_for_a_flag(value):
    """A flag that spends money is not guessed."""
    with pytest.raises(errors.InvalidInput, match=r"force must be true or false, got "):
        parse_bool("force", value)


@pytest.mark.parametrize(("value", "seconds"), [(5, 5.0), ("0.5", 0.5), (timedelta(minutes=2), 120.0)])
def test_times_may_be_numbers_text_or_timedeltas(value, seconds):
    """All of them are seconds in the end."""
    assert parse_seconds("timeout", value) == seconds


@pytest.mark.parametrize(
    "value", [0, -1, "", "soon", None, timedelta(0), "nan", "inf", True, 1e10, "1e300", timedelta.max]
)
def test_other_values_are_not_taken_for_a_length_of_time(value):
    """The message names the argument and the value."""
    with pytest.raises(errors.InvalidInput, match=r"timeout must be (a positive number of|at most 31622400) seconds"):
        parse_seconds("timeout", value)


@pytest.mark.parametrize(
    ("value", "meaning"), [("", None), ("None", None), (" null ", None), (None, None), ("a", "a"), (0, 0), ({}, {})]
)
def test_what_a_template_renders_from_nothing_is_nothing(value, meaning):
    """Airflow renders a missing value to the empty text or to "None"."""
    assert none_if_null(value) == meaning


class Other:
    """A number of another library."""

    def __float__(self) -> float:
        return 3.0


class Whole(Other):
    """Such as those of numpy."""


class Short(Other):
    """Of 32 bits, such as numpy's: its numbers of 64 bits alone are those of Python, too."""


numbers.Integral.register(Whole)
numbers.Real.register(Short)


@pytest.mark.parametrize(
    ("value", "number"), [("1.5", 1.5), (2, 2.0), (0, 0.0), (Decimal("0.25"), 0.25), (Whole(), 3.0), (Short(), 3.0)]
)
def test_amounts_may_be_text(value, number):
    """Text is read as the number it shows, and so is what databases and tables hand over."""
    assert parse_number("max_cost_usd", value, "USD") == number


@pytest.mark.parametrize("parse", [parse_text, parse_word])
@pytest.mark.parametrize("value", [["en"], ("en",), {"en"}, {"language": "en"}, b"en"])
def test_a_list_is_no_text(parse, value):
    """What was meant for a mapped task would be paid for with its brackets."""
    with pytest.raises(errors.InvalidInput, match=f"language must be text, got a {type(value).__name__}"):
        parse("language", value)


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal(-1)])
def test_what_is_no_amount_in_a_database_is_none_here(value):
    """It would lift the limit."""
    with pytest.raises(errors.InvalidInput, match="max_cost_usd must be a non-negative number of USD"):
        parse_number("max_cost_usd", value, "USD")


def test_other_values_are_not_taken_for_an_amount():
    """The message names the argument and the unit."""
    with pytest.raises(errors.InvalidInput, match="max_cost_usd must be a non-negative number of USD, got 'much'"):
        parse_number("max_cost_usd", "much", "USD")


@pytest.mark.parametrize("value", [{"a": "b"}, '{"a": "b"}', "{'a': 'b'}"])
def test_mappings_may_be_json(value):
    """What a template renders as text is read."""
    assert parse_mapping("speaker_names", value) == {"a": "b"}


@pytest.mark.parametrize(
    ("value", "why"), [("{a", "neither a mapping nor JSON"), ("[1]", "must be a mapping, got list")]
)
def test_other_values_are_not_taken_for_a_mapping(value, why):
    """The message names the argument."""
    with pytest.raises(errors.InvalidInput, match=rf"speaker_names.*{why}"):
        parse_mapping("speaker_names", value)


def test_words_may_have_spaces_around_them():
    """A template leaves them where nobody sees them."""
    assert parse_word("on_item_error", " continue\n") == "continue"


@pytest.mark.parametrize(
    "value",
    [
        ["stage", "split"],
        ("stage", " split "),
        "stage, split",
        "stage,,split,",
        '["stage", "split"]',
        "['stage', 'split']",
    ],
)
def test_lists_of_words_may_be_one_text(value):
    """Commas are between the words."""
    assert parse_words("oversize", value) == ("stage", "split")


@pytest.mark.parametrize("value", [None, 3, {"stage": True}])
def test_other_values_are_not_taken_for_a_list(value):
    """The message names the argument and the value."""
    with pytest.raises(errors.InvalidInput, match="oversize must be a list of words, got "):
        parse_words("oversize", value)
