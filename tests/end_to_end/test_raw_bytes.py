"""Random bytes at the port: the server answers or closes, never hangs, and leaves nothing pending (G6, G8).

Made of valid requests that are cut, doubled, mixed, stuffed with odd headers, huge numbers and bad chunks, and of plain
noise. `SYNCNET_FUZZ_EXAMPLES` says how many connections; `make fuzz` makes many.
"""

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.end_to_end.running import Server, running

EXAMPLES = int(os.environ.get("SYNCNET_FUZZ_EXAMPLES", "30"))
HANGS_S = 20

numbers = st.sampled_from(
    [b"0", b"1", b"-1", b"+3", b"0x10", b"1e3", b"9" * 20, b"9" * 400, b"", b"00", b"2, 3", b"\xb2"]
)
names = st.sampled_from(
    [b"A", b"VM", b"a" * 64, b"%ff", b"%00", b"%0d%0a", b"\xff", b"", b"{}", b"'", b"%", b"+", b"A;B"]
)
queries = st.lists(
    st.builds(
        lambda name, value: name + b"=" + value,
        st.sampled_from(
            [
                b"event",
                b"actor",
                b"mates",
                b"expect",
                b"labels",
                b"selector",
                b"payload",
                b"id",
                b"linger",
                b"x",
                b"namespace",
            ]
        ),
        names | numbers | st.binary(max_size=12),
    ),
    max_size=5,
).map(b"&".join)
"""Without a timeout: one is put before them, so that no offer waits for long."""
paths = st.sampled_from(
    [b"/event", b"/abort", b"/stats", b"/trace", b"/healthz", b"/readyz", b"/", b"//event", b"*", b"http://x/event"]
)
targets = st.builds(lambda path, query: path + b"?timeout=20ms&event=fuzz&" + query, paths, queries)
methods = st.sampled_from(
    [b"GET", b"POST", b"DELETE", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"PRI", b"get", b"G\x00T", b""]
)
headers = st.lists(
    st.one_of(
        numbers.map(lambda number: b"Content-Length: " + number),
        st.sampled_from(
            [
                b"Transfer-Encoding: chunked",
                b"Transfer-Encoding: gzip, chunked",
                b"Transfer-Encoding : chunked",
                b"Connection: close",
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
                b"Upgrade: h2c",
                b"Expect: 100-continue",
                b"Content-Type: application/json",
                b"Content-Type: application/yaml",
                b"Content-Type: application/x-www-form-urlencoded; charset=utf-7",
                b"Accept: application/yaml;q=9, */*;q=",
                b" folded: yes",
                b"no colon",
                b": no name",
                b"A: " + b"a" * 9_000,
                b"Host: other",
            ]
        ),
        st.binary(max_size=20),
    ),
    max_size=5,
).map(lambda lines: b"".join(line + b"\r\n" for line in lines))
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            b"",
            b'{"event": "fuzz", "actor": "A", "timeout": 0.01}',
            b"event: fuzz\nactor: A\ntimeout: 0",
            b"event=fuzz&actor=A&timeout=0",
            b'{"event": ' * 200,
            b"5\r\nevent\r\n0\r\n\r\n",
            b"ffffffffffffffffff\r\nx\r\n",
            b"-1\r\n\r\n",
            b"3;ext=\x00\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
        ]
    ),
)


def put_together(method: bytes, target: bytes, version: bytes, head: bytes, body: bytes, sized: bool) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if sized else b""
    return method + b" " + target + b" " + version + b"\r\nHost: localhost\r\n" + length + head + b"\r\n" + body


versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b""])
requests = st.builds(put_together, methods, targets, versions, headers, bodies, st.booleans())


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """What one connection sends: some requests, one after the other, then cut, doubled or scratched somewhere."""
    sent = b"".join(draw(st.lists(requests | st.binary(max_size=60), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(sent)))
        match draw(st.sampled_from(["cut", "double", "scratch", "insert"])):
            case "cut":
                sent = sent[:at]
            case "double":
                sent = sent[:at] + sent[at:] * 2
            case "scratch":
                sent = sent[:at] + draw(st.binary(min_size=1, max_size=1)) + sent[at + 1 :]
            case _:
                sent = (
                    sent[:at] + draw(st.sampled_from([b"\r\n", b"\n", b"\x00", b"\r", b" ", b"\r\n\r\n"])) + sent[at:]
                )
    return sent


@pytest.fixture(scope="module")
def hasty() -> Iterator[Server]:
    """A server that waits for nothing longer than a second, should a scratch make a longer timeout."""
    limits = ("head-read-s-max=1", "body-read-s-max=1", "timeout-s-max=1")
    with running("--log-format", "none", *(word for limit in limits for word in ("--limit", limit))) as server:
        yield server


def all_that_comes(server: Server, sent: bytes, at_once: bool, ends: bool) -> bytes:
    """Send, perhaps in two parts and perhaps with an end, and read until the server closes; it must."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=HANGS_S) as connection:
        try:
            half = 0 if at_once else len(sent) // 2
            connection.sendall(sent[:half])
            connection.sendall(sent[half:])
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                received += part
        except (ConnectionResetError, BrokenPipeError, OSError) as error:
            assert not isinstance(error, TimeoutError), f"neither answered nor closed within {HANGS_S} s: {received!r}"
    return received


def test_whatever_comes_it_answers_or_closes_and_others_still_meet(hasty: Server) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sent=streams(), at_once=st.booleans(), ends=st.booleans())
    def ask(sent: bytes, at_once: bool, ends: bool) -> None:
        received = all_that_comes(hasty, sent, at_once, ends)
        assert received == b"" or received.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), received
        assert b" 500 " not in received
        assert b"Traceback" not in received

    with socket.create_connection(("127.0.0.1", hasty.port), timeout=HANGS_S) as waiting:
        waiting.sendall(b"GET /event?event=coin&actor=VM HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        hasty.until_pending(1)
        ask()
        hasty.until_pending(1)  # and nothing of what the bytes may have offered
        answer = hasty.client.get("/event?event=coin&actor=CUST")
        assert answer.status_code == 200
        assert waiting.makefile("rb").read().endswith(answer.content)
    hasty.until_pending(0)
    assert "Traceback" not in hasty.stderr
    assert hasty.process.poll() is None
