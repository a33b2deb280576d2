"""The clients and the command line with a server that requires https, client certificates and tokens."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncnet import AsyncClient, Client, RefusedError, UnavailableError
from syncnet.server.tokens import new_token
from tests.end_to_end.running import Server, running
from tests.end_to_end.test_tls import Files

SYNC, SYNC_ENTRY = new_token("runner", ["ci-*"], ["sync"])
ADMIN, ADMIN_ENTRY = new_token("boss", ["*"], ["admin"])


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def guarded(files: Files) -> Iterator[Server]:
    tokens = Path(files.folder) / "tokens.yaml"
    tokens.write_text(f"{SYNC_ENTRY}\n{ADMIN_ENTRY}\n")
    options = ("--tls-cert", files.cert, "--tls-key", files.key, "--tls-client-ca", files.client_ca)
    of_client = {**files.of_client(files.client), "headers": {"authorization": f"Bearer {ADMIN}"}}
    with running(*options, "--token-file", str(tokens), client=of_client) as server:
        yield server


@pytest.mark.anyio
async def test_clients_sync_with_a_token_and_a_certificate(guarded: Server, files: Files) -> None:
    with Client(guarded.url, token=SYNC, ca=files.ca, cert=files.client) as threads:
        vm = threads.send("coin", actor="VM", namespace="ci-1")
        async with AsyncClient(guarded.url, token=ADMIN, ca=files.ca, cert=files.client) as tasks:
            cust = await tasks.sync("coin", actor="CUST", namespace="ci-1")
        assert vm.result(timeout=20).number == cust.number
        with pytest.raises(RefusedError) as refused:
            threads.sync("coin", actor="VM", namespace="prod")
        assert refused.value.code == "forbidden"
        with pytest.raises(RefusedError):
            threads.abort(event="coin", reason="not allowed", namespace="ci-1")
        with pytest.raises(RefusedError):
            threads.stats("ci-1")
    with Client(guarded.url, token="syncnet_wrong", ca=files.ca, cert=files.client) as wrong:
        with pytest.raises(RefusedError) as refused:
            wrong.sync("coin", actor="VM", namespace="ci-1")
        assert refused.value.code == "unauthorized"
        assert "syncnet_wrong" not in str(refused.value)


def test_a_wrong_certificate_fails_without_retries(guarded: Server, files: Files) -> None:
    for options in ({"ca": files.client_ca, "cert": files.client}, {"ca": files.ca}):
        with Client(guarded.url, token=SYNC, **options) as client, pytest.raises(UnavailableError):  # type: ignore[arg-type]
            client.sync("coin", actor="VM", namespace="ci-1", timeout=20)


def test_the_command_line_reads_its_token_from_the_environment(guarded: Server, files: Files) -> None:
    command = [sys.executable, "-m", "syncnet", "stats", "--url", guarded.url, "--namespace", "ci-9"]
    command += ["--ca", files.ca, "--cert", files.client]
    allowed = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SYNCNET_TOKEN": ADMIN})
    assert (allowed.returncode, allowed.stdout) == (0, "")
    refused = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "SYNCNET_TOKEN": SYNC})
    assert refused.returncode == 3
    assert SYNC not in refused.stderr + refused.stdout
