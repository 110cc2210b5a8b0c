from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.automation.engine.cluster import Cluster


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("dask"))
    yield made
    made.close()


@pytest.fixture
def cluster(started: Cluster) -> Cluster:
    """Two workers, whatever became of those of the test before."""
    started.have(2)
    return started
