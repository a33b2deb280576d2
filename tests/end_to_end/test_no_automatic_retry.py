"""A browser and `curl --retry` make an offer once: they do not repeat a request whose offer timed out.

Both repeat a request that was answered with 408: Chromium if it sent it on a kept connection, curl in any case. So a
timeout is answered with 410. The offers are counted in the JSON log of the server.

These tests need Chromium (Debian: package chromium) and curl, and fail if one is missing.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.end_to_end.running import Server, running, until

BROWSER_S_MAX = 120
PAGE = """\
<!DOCTYPE html>
<title>Two offers</title>
<script type="module">
const statuses = [];
try {
  for (let number = 0; number < 2; number++) {
    const response = await fetch("URL/event?event=browser&actor=A&timeout=1s");
    await response.text();
    statuses.push(response.status);
  }
} catch (error) {
  statuses.push(String(error));
}
await fetch("/result", {method: "POST", body: JSON.stringify(statuses)});
</script>
"""
FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium refuses to run as root with its sandbox
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
)


@pytest.fixture
def server() -> Iterator[Server]:
    with running("--log-format", "json", "--cors-origin", "*") as server:
        yield server


def offers_made(server: Server, event: str) -> int:
    """Return how many offers of an event the log of the server has so far.

    A last offer is made and waited for, because the log is written by a thread.
    """
    assert server.client.get("/event?event=last&actor=LAST&mates=0").status_code == 200
    until(lambda: '"event":"last"' in server.stdout, lambda: f"no last sync in the log:\n{server.stdout}")
    effects = [json.loads(line) for line in server.stdout.splitlines()]
    return sum(effect["happening"] == "pending" and effect["events"] == [event] for effect in effects)


@contextlib.contextmanager
def page_server(page: str) -> Iterator[tuple[str, "queue.Queue[object]"]]:
    """Serve a page on the loopback; yield its URL, and a queue with what the page posts to `/result`."""
    results: queue.Queue[object] = queue.Queue()

    class PageHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond(200 if self.path == "/" else 404, page.encode() if self.path == "/" else b"")

        def do_POST(self) -> None:
            results.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._respond(200, b"")

        def _respond(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), PageHandler) as pages:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{pages.server_address[1]}/", results
        finally:
            pages.shutdown()
            thread.join()


@contextlib.contextmanager
def chromium(url: str, profile: Path) -> Iterator[None]:
    """Open a URL in a headless Chromium with an empty profile."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program, "expected Chromium to be installed (Debian: apt-get install chromium), found none"
    process = subprocess.Popen(
        [program, *FLAGS, f"--user-data-dir={profile}", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # all its processes
        process.wait()


def test_a_browser_makes_an_offer_that_times_out_once(server: Server, tmp_path: Path) -> None:
    """The second request goes out on the connection of the first; with 408 Chromium would send it twice."""
    with page_server(PAGE.replace("URL", server.url)) as (url, results), chromium(url, tmp_path / "profile"):
        try:
            statuses = results.get(timeout=BROWSER_S_MAX)
        except queue.Empty:
            pytest.fail(f"the page posted no result within {BROWSER_S_MAX} s; the log has:\n{server.stdout}")
    assert statuses == [410, 410]
    assert offers_made(server, "browser") == 2


def test_curl_with_retry_makes_an_offer_that_times_out_once(server: Server) -> None:
    url = f"{server.url}/event?event=curl&actor=A&timeout=50ms"
    command = ["curl", "--silent", "--retry", "3", "--write-out", "%{stderr}%{http_code}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["type"] == "urn:syncnet:problem:timed-out"
    assert done.stderr.endswith("410")
    assert offers_made(server, "curl") == 1
