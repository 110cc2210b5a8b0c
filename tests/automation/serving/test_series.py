"""Metrics of answers are those that would have been told one by one."""

from __future__ import annotations

import pytest
from gitops_serving.series import observe
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

BUCKETS = (0.005, 0.01, 0.1, 1.0)


def told(histogram: Histogram) -> dict[tuple[str, str], float]:
    """All samples by name and bucket."""
    (family,) = histogram.collect()
    return {
        (each.name, each.labels.get("le", "")): each.value
        for each in family.samples
        if not each.name.endswith("_created")
    }


@given(amounts=st.lists(st.floats(0, 5) | st.sampled_from(BUCKETS), max_size=50))
def test_a_second_of_answers_counts_as_each_of_them(amounts: list[float]) -> None:
    """Answers that are told together fall into the same buckets as one by one, the limits of buckets included."""
    one, together = (Histogram("a", "a", buckets=BUCKETS, registry=CollectorRegistry()) for _ in range(2))
    for each in amounts:
        one.observe(each)
    observe(together, amounts)
    assert told(together) == pytest.approx(told(one))
