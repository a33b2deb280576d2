"""G8: pairs still sync during abuse: slow request heads, floods, clients that never read, requests that take long.

How much slower they sync is measured by `python -m benchmarks abuse`.
"""

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from benchmarks.abusers import KINDS
from tests.end_to_end.running import Server, curls, running, until

PAIRS = 100


@pytest.fixture(scope="module")
def abused() -> Iterator[Server]:
    with running("--log-format", "none", "--limit", "pending-per-namespace-max=10") as server:
        yield server


@pytest.mark.parametrize("kind", KINDS)
def test_g8_pairs_sync_during_abuse(abused: Server, kind: str) -> None:
    abusers = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.abusers", kind, str(abused.port)], stdout=subprocess.PIPE
    )
    with abusers, httpx.Client(base_url=abused.url, timeout=30) as client:
        try:
            assert abusers.stdout is not None
            assert abusers.stdout.readline() == b"ready\n"
            if kind == "flood":
                until(lambda: abused.pending("flood") == 10, lambda: "the flood did not reach the limit")
            for number in range(PAIRS):
                event = f"{kind}-{number}"
                with curls(f"{abused.url}/event?event={event}&actor=A&namespace=good") as (curl,):
                    response = client.get(f"/event?event={event}&actor=B&namespace=good")
                    assert (response.status_code, curl.communicate()[0]) == (200, response.content)
            assert abusers.poll() is None, "the abusers stopped too early"
        finally:
            abusers.kill()
    for namespace in ("good", "flood", "dear", "default"):
        abused.until_pending(0, namespace)
    assert "Traceback" not in abused.stderr
