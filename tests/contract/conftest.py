"""Every test of the contract runs over every door."""

from collections.abc import Iterator

import pytest

from tests.contract.doors import DOORS, Door


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Iterator[Door]:
    with DOORS[request.param]() as door:
        yield door
