"""Texts as pipeline/model.py encodes them: hashed words, weighted by TF-IDF, reduced to a few numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.utils import murmurhash3_32

from gitops_serving.fast.known import require

# The one hash without a positive counterpart.
LOWEST = -(2**31)


def words(step: Any, place: int) -> Callable[[Sequence[Any]], Sequence[float]]:
    """What encodes the text at `place` of a row.

    Raises:
        UnknownError: the step is another one, or set in another way.
    """
    kinds = [type(each) for _, each in step.steps]
    require(kinds == [HashingVectorizer, TfidfTransformer, TruncatedSVD], "how texts are read")
    hashed, weights, reduced = (each for _, each in step.steps)
    require(not hashed.alternate_sign and not hashed.binary and hashed.norm == "l2", "how words are counted")
    require(weights.use_idf and not weights.sublinear_tf and weights.norm == "l2", "how words are weighted")
    analyse: Callable[[Any], list[str]] = hashed.build_analyzer()
    size, idf = hashed.n_features, weights.idf_
    # A word's share in each number is read at once.
    shares = np.ascontiguousarray(reduced.components_.T)
    nothing: Sequence[float] = (0.0,) * shares.shape[1]

    def part(values: Sequence[Any]) -> Sequence[float]:
        counts: dict[int, int] = {}
        for word in analyse(values[place]):
            code = murmurhash3_32(word)
            at = (abs(code) if code != LOWEST else 2**31 - size) % size
            counts[at] = counts.get(at, 0) + 1
        if not counts:
            return nothing
        places = sorted(counts)
        times = np.array([counts[at] for at in places], dtype=np.float64)
        # Sums go from word to word, as scikit-learn's and scipy's do; np.sum would add pairs.
        weighted = times / math.sqrt(np.add.accumulate(times * times)[-1]) * idf[places]
        weighted /= math.sqrt(np.add.accumulate(weighted * weighted)[-1])
        found: list[float] = np.add.accumulate(weighted[:, None] * shares[places])[-1].tolist()
        return found

    return part
