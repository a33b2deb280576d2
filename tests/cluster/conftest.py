"""One cluster for all tests; each test has namespaces of its own."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.cluster.cluster import Cluster

_numbers = count(1)


@pytest.fixture(scope="session")
def one_cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(one_cluster: Cluster) -> Cluster:
    """The cluster, with all its nodes ready."""
    one_cluster.mend()
    return one_cluster


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses."""
    return f"test-{next(_numbers)}"
