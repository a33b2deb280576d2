"""Random bytes on a connection: the server responds or closes, never hangs, and has no pending offer after it (G6, G8).

The bytes are valid requests that are cut, doubled, mixed, with unusual headers, huge numbers and bad chunks, and noise.
`SYNCNET_FUZZ_EXAMPLES` is the number of connections; `make fuzz` makes many.
"""

import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.end_to_end.running import ANY_WORK, Server, running

EXAMPLES = int(os.environ.get("SYNCNET_FUZZ_EXAMPLES", "30"))
RESPONSE_S_MAX = 20

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
"""They have no timeout: one is put before them, so that no offer is pending for long."""
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


def join_parts(method: bytes, target: bytes, version: bytes, head: bytes, body: bytes, sized: bool) -> bytes:
    length = b"Content-Length: %d\r\n" % len(body) if sized else b""
    return method + b" " + target + b" " + version + b"\r\nHost: localhost\r\n" + length + head + b"\r\n" + body


versions = st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b""])
requests = st.builds(join_parts, methods, targets, versions, headers, bodies, st.booleans())


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """The bytes of one connection: some requests in sequence, then cut, doubled or changed at random positions."""
    sent = b"".join(draw(st.lists(requests | st.binary(max_size=60), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(sent)))
        match draw(st.sampled_from(["cut", "double", "replace", "insert"])):
            case "cut":
                sent = sent[:at]
            case "double":
                sent = sent[:at] + sent[at:] * 2
            case "replace":
                sent = sent[:at] + draw(st.binary(min_size=1, max_size=1)) + sent[at + 1 :]
            case _:
                sent = (
                    sent[:at] + draw(st.sampled_from([b"\r\n", b"\n", b"\x00", b"\r", b" ", b"\r\n\r\n"])) + sent[at:]
                )
    return sent


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    """A server with limits of one second, in case a change makes a timeout longer."""
    limits = ("head-read-s-max=1", "body-read-s-max=1", "timeout-s-max=1")
    with running(
        "--log-format", "none", *ANY_WORK, *(word for limit in limits for word in ("--limit", limit))
    ) as server:
        yield server


def received_bytes(server: Server, sent: bytes, at_once: bool, ends: bool) -> bytes:
    """Send bytes, at once or in two parts, with or without an end; return what arrives until the server closes."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=RESPONSE_S_MAX) as connection:
        try:
            half = 0 if at_once else len(sent) // 2
            connection.sendall(sent[:half])
            connection.sendall(sent[half:])
            if ends:
                connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65_536):
                received += part
        except (ConnectionResetError, BrokenPipeError, OSError) as error:
            assert not isinstance(error, TimeoutError), f"no response and no end in {RESPONSE_S_MAX} s: {received!r}"
    return received


def test_g8_random_bytes_get_a_response_or_an_end_and_other_clients_still_sync(impatient: Server) -> None:
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(sent=streams(), at_once=st.booleans(), ends=st.booleans())
    def ask(sent: bytes, at_once: bool, ends: bool) -> None:
        received = received_bytes(impatient, sent, at_once, ends)
        assert received == b"" or received.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), received
        assert b" 500 " not in received
        assert b"Traceback" not in received

    with socket.create_connection(("127.0.0.1", impatient.port), timeout=RESPONSE_S_MAX) as waiting:
        waiting.sendall(b"GET /event?event=coin&actor=VM HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        impatient.until_pending(1)
        ask()
        impatient.until_pending(1)  # offers in the random bytes have ended
        response = impatient.client.get("/event?event=coin&actor=CUST")
        assert response.status_code == 200
        assert waiting.makefile("rb").read().endswith(response.content)
    impatient.until_pending(0)
    assert "Traceback" not in impatient.stderr
    assert impatient.process.poll() is None
