"""One cluster for all tests; each test has namespaces of its own."""

import subprocess
import sys
from collections.abc import Iterator
from itertools import count

import pytest

from syncnet.cli.nats_servers import free_ports
from tests.cluster.cluster import Cluster

_numbers = count(1)


@pytest.fixture(scope="session")
def lonely_node() -> Iterator[subprocess.Popen[str]]:
    """A node without NATS. It gives up after twenty seconds, and meanwhile the other tests run."""
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--cluster", f"nats://127.0.0.1:{free_ports(1)[0]}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as node:
        yield node
        node.kill()


@pytest.fixture(scope="session")
def one_cluster(lonely_node: subprocess.Popen[str]) -> Iterator[Cluster]:  # noqa: ARG001 - it starts first
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
