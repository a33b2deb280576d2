"""Every test of the contract runs over every door."""

from collections.abc import Iterator

import pytest

from tests.contract.front_ends import DOORS, Door
from tests.contract.network_front_ends import NETWORK_DOORS
from tests.end_to_end.running import Server, running


@pytest.fixture(scope="session")
def contract_server() -> Iterator[Server]:
    with running("--log-format", "none") as server:
        yield server


@pytest.fixture(params=[*DOORS, *NETWORK_DOORS])
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    if request.param in DOORS:
        with DOORS[request.param]() as door:
            yield door
    else:
        server = request.getfixturevalue("contract_server")
        with NETWORK_DOORS[request.param](server.url) as door:
            yield door
