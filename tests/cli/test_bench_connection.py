"""`syncnet bench` reads whatever answer HTTP/1.1 allows, however it is cut into pieces."""

import pytest

from syncnet.cli.bench.connection import AnswerReader
from syncnet.client.answers import Answer

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nSyncnet-Rank: 1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
)
LAST = b"HTTP/1.1 408 Late\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n"  # of a careless server; there is no body


def read(reader: AnswerReader, data: bytes, step: int) -> Answer | None:
    """Read `data` in pieces; it must be the last piece that makes the answer whole."""
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    answers = [reader.read(piece) for piece in pieces]
    assert answers[:-1] == [None] * (len(pieces) - 1)
    return answers[-1]


@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_answers_in_pieces_one_after_the_other(step: int) -> None:
    reader = AnswerReader()
    for _ in range(2):
        for data, status in ((PLAIN, 200), (CHUNKED, 503), (PLAIN, 200)):
            answer = read(reader, data, step)
            assert answer is not None
            assert (answer.status, answer.body) == (status, b"hello")
            assert not reader.is_last
            if data == PLAIN:
                assert answer.headers["syncnet-rank"] == "1"
    assert read(reader, EMPTY, step) == Answer(200, {"content-length": "0"}, b"")
    late = read(reader, LAST, step)
    assert late is not None
    assert (late.status, late.body) == (408, b"hello")
    assert reader.is_last


@pytest.mark.parametrize("step", [1, 10_000])
def test_an_answer_without_a_body(step: int) -> None:
    answer = read(AnswerReader(), NO_CONTENT, step)
    assert answer is not None
    assert (answer.status, answer.body) == (204, b"")


def test_an_answer_that_ends_with_its_connection() -> None:
    reader = AnswerReader()
    assert reader.read(b"HTTP/1.0 200 OK\r\n\r\nhel") is None
    assert reader.read(b"lo") is None
    answer = reader.read(b"")
    assert answer is not None
    assert answer.body == b"hello"
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
def test_what_is_no_http(pieces: list[bytes]) -> None:
    reader = AnswerReader()

    def read_all() -> None:
        for piece in pieces:
            reader.read(piece)

    with pytest.raises(ValueError, match=r"expected|broke off"):
        read_all()
