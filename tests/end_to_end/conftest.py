"""Servers for the tests: one that is shared by all tests that leave no pending offers, and new ones."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.running import ANY_WORK, Server, running


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    with running("--log-format", "none", *ANY_WORK) as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """The shared server; it has no pending offers before and after the test."""
    shared_server.until_pending(0)
    yield shared_server
    shared_server.until_pending(0)
    assert shared_server.process.poll() is None
    assert "Traceback" not in shared_server.stderr


@pytest.fixture
def fresh_server() -> Iterator[Server]:
    with running() as server:
        yield server
