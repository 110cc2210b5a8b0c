"""The bins of a column in words: what each is called, and where the rows are that moved."""

from __future__ import annotations

import numpy as np
from pipeline.profile import Distribution, Floats

from gitops_ml.pages import words

MISSING, OTHER = "missing", "other values"
# A stretch with one end is said instead of one with two where it explains nearly as much.
NEARLY = 0.9


def labels(distribution: Distribution) -> list[str]:
    """What each bin is called; that of what is missing comes last."""
    if distribution.kind == "category":
        return [*distribution.values, OTHER, MISSING]
    return [*(_stretch(distribution.edges, place, place) for place in range(len(distribution.edges) + 1)), MISSING]


def whither(distribution: Distribution, before: list[float], now: list[float]) -> str:
    """Where the rows are that moved, in words: the bin or, of numbers, the stretch that gained most.

    Args:
        distribution: of the reference.
        before: shape (bins,), the shares of the reference.
        now: shape (bins,), those of the rows that are compared with it.
    """
    first, last = _gained_most(distribution, np.subtract(now, before))
    filled = [place for place in range(first, last + 1) if before[place] or now[place]]
    first, last = (filled[0], filled[-1]) if filled else (first, first)
    shown, then = (sum(shares[first : last + 1]) for shares in (now, before))
    return f"{words.share(shown)} {_said(distribution, first, last)}, {words.share(then)} were in training"


def gaps(distribution: Distribution, before: list[float], now: list[float]) -> str:
    """How much of a column is missing, in words, by the distribution of whether it is."""
    first = distribution.values[0]
    shown, then = (shares[0] if first == "yes" else 1 - shares[0] for shares in (now, before))
    return f"is missing in {words.share(shown)} of the rows, {words.share(then)} were in training"


def _gained_most(distribution: Distribution, gained: Floats) -> tuple[int, int]:
    """The first and the last bin of what gained most."""
    missing = len(gained) - 1
    stretches = [(place, place) for place in range(len(gained))]
    if distribution.kind == "number":
        stretches += [(first, last) for first in range(missing) for last in range(first + 1, missing)]
    found = {(first, last): float(gained[first : last + 1].sum()) for first, last in stretches}
    most = max(found, key=lambda each: found[each])
    one_ended = [each for each in found if (each[0] == 0) != (each[1] == missing - 1) and each[1] < missing]
    if distribution.kind == "category" or most[1] == missing or most == (0, missing - 1) or not one_ended:
        return most
    best = max(one_ended, key=lambda each: found[each])
    return best if found[best] >= NEARLY * found[most] else most


def _said(distribution: Distribution, first: int, last: int) -> str:
    missing = len(distribution.shares) - 1
    if first == missing:
        return f"are {MISSING}"
    if distribution.kind == "number":
        return f"are {_stretch(distribution.edges, first, last)}"
    return "are rare or unknown values" if first == missing - 1 else f"are {distribution.values[first]!r}"


def _stretch(edges: list[float], first: int, last: int) -> str:
    """What lies in bins, from the first to the last one: "46.9 to 55.4", "below 12", "from 3", "0"."""
    low = edges[first - 1] if first else None
    high = edges[last] if last < len(edges) else None
    if low is None and high is None:
        return "not missing"
    start, after = ("", False) if low is None else _edge(edges, low)
    end, own = ("", False) if high is None else _edge(edges, high)
    if low is None:
        return f"{end} or less" if own else f"below {end}"
    if high is None:
        return f"above {start}" if after else f"{start} or more"
    if start == end:
        return start
    return f"{'above ' if after else ''}{start} to {end}"


def _edge(edges: list[float], edge: float) -> tuple[str, bool]:
    """An edge as a person writes it, and whether what is equal to it lies below.

    A value that is frequent has a bin of its own, from it to the next number that a computer knows.
    """
    before = float(np.nextafter(edge, -np.inf))
    own = before in edges
    return _number(before if own else edge, edges), own


def _number(value: float, edges: list[float]) -> str:
    """A number with as few digits as tell the edges apart, three at least."""
    values = {edge for edge in edges if np.nextafter(edge, -np.inf) not in edges}
    for digits in range(3, 18):
        if len({f"{each:.{digits}g}" for each in values}) == len(values):
            break
    return f"{float(f'{value:.{digits}g}'):,.15g}"
