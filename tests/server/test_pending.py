"""Requests that wait: each is answered once, whatever goes wrong with the answers of others."""

from collections.abc import Iterator

import pytest

from syncnet.server import sync_answers
from tests.server.test_short_way import Server

BUG = "this is a bug in syncnet"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(is_short=False)
    yield server
    server.close()


def broken(_: object) -> bytes:
    raise ValueError("a bug")


def test_g8_a_bug_in_an_answer_is_answered_and_others_get_theirs(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(sync_answers, "encode_sync", broken)
        bad = server.ask("event=coin&actor=VM", "event=coin&actor=CUST")
    good = server.ask("event=coin&actor=VM", "event=coin&actor=CUST")
    assert [[status for status, _, _ in each.answers] for each in bad + good] == [[500], [500], [200], [200]]
    assert all(BUG in each.answers[0][2].decode() for each in bad)


def test_a_bug_in_yaml_is_answered_and_the_mate_gets_its_json(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync_answers, "as_yaml", broken)
    as_yaml, as_json = server.ask("event=coin&actor=VM&output=yaml", "event=coin&actor=CUST")
    server.loop.run_until_complete(server.run_out())
    assert [[status for status, _, _ in each.answers] for each in (as_yaml, as_json)] == [[500], [200]]


def test_who_was_told_is_not_told_again(server: Server) -> None:
    """The client of one that has synced goes away: nothing is undone, and nothing is said twice."""
    (first,) = server.ask("event=coin&actor=VM&mates=1")
    (waiting,) = server.app._waiters._young
    server.ask("event=coin&actor=CUST")
    waiting.leave()
    assert [status for status, _, _ in first.answers] == [200]
    assert not server.app._waiters._young
