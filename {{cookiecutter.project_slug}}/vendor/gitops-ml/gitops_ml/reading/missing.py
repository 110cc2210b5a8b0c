"""Which words of a column stand for a gap: a word among numbers does, one of a small set of words is a value."""

from __future__ import annotations

from collections import Counter

# What programs write where there is no value; nobody means anything else by it.
MARKERS = frozenset(
    [
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "NULL", "NaN",
        "NaT", "nan", "null", "(null)", "\\N",
    ]
)  # fmt: skip
# Short forms of "not available": a gap, unless all others are such codes too, as NA among EU and AS.
SHORT = frozenset(["NA", "N/A", "n/a", "na", "N.A.", "n.a.", "ND", "nd", "N.D.", "n.d.", "n/d", "N/D", "k.A.", "k. A."])
# A gap among numbers and long texts, a value of a small set of words.
WORDS = frozenset(
    [
        "None", "none", "NONE", "nil", "unknown", "Unknown", "UNKNOWN", "missing", "Missing", "not available",
        "Not available", "undefined", "tbd", "TBD",
    ]
)  # fmt: skip
# A gap, unless the others are signs too.
SIGNS = frozenset(["?", "-", "--", "---", ".", "..", "...", "*", "\u2013", "\u2014"])
POSSIBLE = MARKERS | SHORT | WORDS | SIGNS
# Columns with more different values are no small set.
SMALL = 100
# What is said for a cell that holds nothing at all.
EMPTY = "empty"


def gaps_among_texts(words: Counter[str], others: Counter[str] | None, elsewhere: frozenset[str]) -> frozenset[str]:
    """Which of the possible words are gaps in a column of texts.

    Args:
        words: the possible words that stand in the column, with their number of rows.
        others: its other values with theirs; None if there are too many to count.
        elsewhere: the words that are gaps among the numbers and dates of the same table.
    """
    small = others is not None and len(others) <= SMALL and (len(others) * 2 <= sum(others.values()) or not others)
    found = set()
    for word in words:
        rest = None if others is None else (set(others) | set(words) - MARKERS) - {word}
        if word in MARKERS or word in elsewhere:
            found.add(word)
        elif word in SHORT:
            if not rest or not all(_alike(word, other) for other in rest):
                found.add(word)
        elif word in SIGNS:
            if not rest or any(letter.isalnum() for other in rest for letter in other):
                found.add(word)
        elif not small:
            found.add(word)
    return frozenset(found)


def _alike(word: str, other: str) -> bool:
    return len(word) == len(other) and (word + other).isalpha() and word.isupper() == other.isupper()
