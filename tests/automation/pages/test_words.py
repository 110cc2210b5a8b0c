"""Numbers, shares and dates are written as people write them, and never as what they are not."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from gitops_ml.pages import markup, words


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.65446, "0.6545"),
        (-0.0077, "-0.0077"),
        (0, "0.0000"),
        (0.000012, "0.00001"),
        (-0.00004, "-0.00004"),
        (17.346, "17.35"),
        (53211.4, "53,211"),
        (float("nan"), "nan"),
    ],
)
def test_a_measurement_has_the_digits_that_it_needs(value: float, said: str) -> None:
    """Large values have few digits, small ones enough not to read as zero."""
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0 %"),
        (0.0004, "less than 0.1 %"),
        (0.004, "0.4 %"),
        (0.37, "37 %"),
        (0.994, "99 %"),
        (0.9999, "more than 99 %"),
        (1, "100 %"),
    ],
)
def test_a_share_is_all_or_nothing_only_where_it_is(value: float, said: str) -> None:
    """What is nearly nothing is not called 0 %, and what is nearly all not 100 %."""
    assert words.share(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.00001, "0 s"),
        (0.042, "0.04 s"),
        (9.46, "9.5 s"),
        (9.7, "10 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (5999, "99 min 59 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_how_long_something_took_has_two_figures_or_two_units(seconds: float, said: str) -> None:
    """What took hours is not told to the second, and what took none is no power of ten."""
    assert words.took(seconds) == said


@pytest.mark.parametrize(("value", "said"), [(0.95, "95 %"), (0.975, "97.5 %"), (0.999, "99.9 %")])
def test_a_confidence_is_the_one_that_was_asked_for(value: float, said: str) -> None:
    """The confidence of an interval is not rounded to a stronger claim."""
    assert words.confidence(value) == said


def test_days_are_said_once() -> None:
    """A period repeats neither the month nor the year that both of its ends have."""
    first = date(2013, 3, 21)
    assert words.period(first, date(2013, 3, 21)) == "21 March 2013"
    assert words.period(first, date(2013, 3, 30)) == "21 to 30 March 2013"
    assert words.period(first, date(2013, 4, 30)) == "21 March to 30 April 2013"
    assert words.period(first, date(2014, 4, 30)) == "21 March 2013 to 30 April 2014"
    assert words.age(timedelta(hours=25)) == "1 day"


@pytest.mark.parametrize("text", ["www.example.org", "roc_auc: https://example.org", "a*b*", "@everyone", "x.y"])
def test_what_could_be_markup_is_shown_as_code(text: str) -> None:
    """An address, a mention or a sign of Markdown keeps a text from standing as it is."""
    assert markup.plain(text).startswith("<code>")


def test_words_and_numbers_stand_as_they_are() -> None:
    """A heading of words and figures is readable as source."""
    said = "ROC AUC +0.0045 (-0.0077 to +0.0156), 2 rules fail"
    assert markup.plain(said) == said
