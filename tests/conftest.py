"""Options for all tests, and the profile of Hypothesis: no deadline, and what reproduces a failure is printed."""

import pytest
from hypothesis import settings

settings.register_profile("syncnet", deadline=None, print_blob=True)
settings.load_profile("syncnet")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite", action="store_true", help="write the behaviour scripts anew, to be reviewed as a diff"
    )


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
