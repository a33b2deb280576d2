"""`syncnet bench` reads every response that HTTP/1.1 allows, in whatever pieces it arrives."""

import pytest

from syncnet.cli.bench.connection import ResponseReader
from syncnet.client.answers import Answer

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nSyncnet-Rank: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
)
LAST = b"HTTP/1.1 410 Gone\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n"  # a server's mistake; there is no body


def read(reader: ResponseReader, data: bytes, step: int) -> Answer | None:
    """Read `data` in pieces; only the last piece may complete the response."""
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    responses = [reader.read(piece) for piece in pieces]
    assert responses[:-1] == [None] * (len(pieces) - 1)
    return responses[-1]


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_responses_in_pieces_one_after_the_other(step: int) -> None:
    reader = ResponseReader()
    for _ in range(2):
        for data, status in ((PLAIN, 200), (CHUNKED, 503), (PLAIN, 200)):
            response = read(reader, data, step)
            assert response is not None
            assert (response.status, response.body) == (status, b"hello")
            assert not reader.is_last
            if data == PLAIN:
                assert response.headers["syncnet-rank"] == "1"
    assert read(reader, EMPTY, step) == Answer(200, {"content-length": "0"}, b"")
    last = read(reader, LAST, step)
    assert last is not None
    assert (last.status, last.body) == (410, b"hello")
    assert reader.is_last


@pytest.mark.parametrize("step", [1, 10_000])
def test_a_response_without_a_body(step: int) -> None:
    response = read(ResponseReader(), NO_CONTENT, step)
    assert response is not None
    assert (response.status, response.body) == (204, b"")


def test_a_response_that_ends_with_its_connection() -> None:
    reader = ResponseReader()
    assert reader.read(b"HTTP/1.0 200 OK\r\n\r\nhel") is None
    assert reader.read(b"lo") is None
    response = reader.read(b"")
    assert response is not None
    assert response.body == b"hello"
    assert reader.is_last


@pytest.mark.parametrize(
    "pieces",
    [
        [b"SSH-2.0-OpenSSH_9.6\r\n\r\n"],
        [b"\r\n\r\n\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"],
        [PLAIN + b"more"],
        [PLAIN[:-1], b""],
        [b"x" * 70_000],
        [CHUNKED[:-8], b""],
    ],
    ids=["ssh", "blank", "no-length", "more", "broken-off", "endless-head", "broken-off-chunk"],
)
def test_bytes_that_are_not_http_are_refused(pieces: list[bytes]) -> None:
    reader = ResponseReader()

    def read_all() -> None:
        for piece in pieces:
            reader.read(piece)

    with pytest.raises(ValueError, match=r"expected|broke off"):
        read_all()
