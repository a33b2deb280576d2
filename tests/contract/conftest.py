"""Every contract test runs over every front end."""

from collections.abc import Iterator

import pytest

from tests.contract.front_ends import FRONT_ENDS, FrontEnd
from tests.contract.network_front_ends import NETWORK_FRONT_ENDS
from tests.end_to_end.running import Server, running


@pytest.fixture(scope="session")
def contract_server() -> Iterator[Server]:
    with running("--log-format", "none") as server:
        yield server


@pytest.fixture(params=[*FRONT_ENDS, *NETWORK_FRONT_ENDS])
def front_end(request: pytest.FixtureRequest) -> Iterator[FrontEnd]:
    if request.param in FRONT_ENDS:
        with FRONT_ENDS[request.param]() as front_end:
            yield front_end
    else:
        server = request.getfixturevalue("contract_server")
        with NETWORK_FRONT_ENDS[request.param](server.url) as front_end:
            yield front_end
