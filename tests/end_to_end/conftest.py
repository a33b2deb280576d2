"""One server for all tests that leave it as they found it."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.running import Server, running


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Server]:
    with running("--log-format", "none") as server:
        yield server


@pytest.fixture
def server(shared_server: Server) -> Iterator[Server]:
    """A server with nothing pending, before and after."""
    shared_server.until_pending(0)
    yield shared_server
    shared_server.until_pending(0)
    assert shared_server.process.poll() is None
    assert "Traceback" not in shared_server.stderr


@pytest.fixture
def fresh_server() -> Iterator[Server]:
    with running() as server:
        yield server
