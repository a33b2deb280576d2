"""The ASGI application: mounted in a Starlette application, and alone, both on a real uvicorn."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from syncnet.core.limits import LIMITS
from tests.end_to_end.running import curls, until


@contextmanager
def uvicorn(app: str, *options: str) -> Iterator[httpx.Client]:
    """Serve an application on a socket that is already bound, so its port is known and no request is lost."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", f"tests.end_to_end.mounted_app:{app}"),
                *("--fd", str(listener.fileno()), *options),
            ],
            pass_fds=(listener.fileno(),),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                yield client
            process.send_signal(signal.SIGTERM)
            stderr = process.communicate(timeout=30)[1].decode()
            assert "Traceback" not in stderr, stderr
            assert "Application shutdown complete" in stderr
        finally:
            process.kill()
            process.communicate()


def pending(client: httpx.Client, prefix: str) -> str:
    return str(client.get(f"{prefix}/stats").headers["syncnet-pending"])


@pytest.mark.parametrize(("app", "prefix"), [("app", "/sync"), ("alone", "")])
def test_asgi_responses_are_those_of_the_server(app: str, prefix: str) -> None:
    with uvicorn(app) as client:
        with curls(f"{client.base_url}{prefix}/event?event=coin&actor=VM") as (curl,):
            until(lambda: pending(client, prefix) == "1", lambda: "VM is not pending")
            body = {"event": "coin", "actor": "CUST", "payload": 1}
            cust = client.post(f"{prefix}/event", json=body)
            assert curl.communicate()[0] == cust.content
        assert cust.headers["syncnet-rank"] == "1"
        assert cust.json()["payloads"] == {"VM": "", "CUST": 1}

        assert client.get(f"{prefix}/event?actor=A").json()["parameter"] == "event"
        assert client.get(f"{prefix}/nothing").json()["detail"].startswith("no /nothing here")
        assert client.head(f"{prefix}/healthz").status_code == 200
        assert client.post(f"{prefix}/event", content=b" " * (LIMITS.body_bytes_max + 1)).status_code == 413


def test_g6_the_offer_of_a_client_that_disconnects_is_withdrawn() -> None:
    with uvicorn("app") as client:
        assert client.get("/").text == "home of /"
        with curls(f"{client.base_url}/sync/event?event=coin&actor=VM") as (curl,):
            until(lambda: pending(client, "/sync") == "1", lambda: "VM is not pending")
            curl.kill()
            until(lambda: pending(client, "/sync") == "0", lambda: "the offer is still pending")


@pytest.mark.parametrize(("app", "prefix"), [("app", "/sync"), ("alone", "")])
def test_requests_that_wait_at_the_end_get_503(app: str, prefix: str) -> None:
    """Uvicorn cancels them, and would answer 500 with a traceback if that were not caught."""
    with contextlib.ExitStack() as stack:
        with uvicorn(app, "--timeout-graceful-shutdown", "0") as client:
            urls = [f"{client.base_url}{prefix}/event?event={event}&actor=VM" for event in ("coin", "tea")]
            waiting = stack.enter_context(curls(*urls))
            until(lambda: pending(client, prefix) == "2", lambda: "the offers are not pending")
        for curl in waiting:
            answer = json.loads(curl.communicate()[0])
            assert (answer["status"], answer["type"]) == (503, "urn:syncnet:problem:draining")
