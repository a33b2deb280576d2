"""A browser and `curl --retry` make an offer once: they do not repeat a request whose offer timed out.

Both repeat a request that was answered with 408: Chromium if it sent it on a kept connection, curl in any case. So a
timeout is answered with 410. The offers are counted in the JSON log of the server.

These tests need Chromium (Debian: package chromium) and curl, and fail if one is missing.
"""

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.end_to_end.browser import chromium, tab
from tests.end_to_end.running import Server, running, until

BROWSER_MS_MAX = 120_000
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
window.statuses = statuses;
</script>
"""


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
def page_server(page: str) -> Iterator[str]:
    """Serve a page on the loopback; yield its URL."""

    class PageHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.encode()
            self.send_response(200)
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
            yield f"http://127.0.0.1:{pages.server_address[1]}/"
        finally:
            pages.shutdown()
            thread.join()


def test_a_browser_makes_an_offer_that_times_out_once(server: Server) -> None:
    """The second request goes out on the connection of the first; with 408 Chromium would send it twice."""
    with page_server(PAGE.replace("URL", server.url)) as url, chromium() as browser, tab(browser) as (_, page, _):
        page.goto(url)
        page.wait_for_function("window.statuses", timeout=BROWSER_MS_MAX)
        assert page.evaluate("window.statuses") == [410, 410]
    assert offers_made(server, "browser") == 2


def test_curl_with_retry_makes_an_offer_that_times_out_once(server: Server) -> None:
    url = f"{server.url}/event?event=curl&actor=A&timeout=50ms"
    command = ["curl", "--silent", "--retry", "3", "--write-out", "%{stderr}%{http_code}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["type"] == "urn:syncnet:problem:timed-out"
    assert done.stderr.endswith("410")
    assert offers_made(server, "curl") == 1
