"""The ways to wait for an offer, one set for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.local.waiters import Wait, ways_to_wait


@pytest.fixture(scope="module")
def ways() -> Iterator[dict[str, Wait]]:
    with ways_to_wait() as ways:
        yield ways
