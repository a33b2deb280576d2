"""What a server, or a proxy in front of it, can answer, as values and errors."""

import json
from typing import Any

import pytest

from syncnet import AbortedError, Member, ParameterError, RefusedError, TimedOutError, UnavailableError, WithdrawnError
from syncnet.client.answers import Answer, failure_of, read_document, read_sync
from syncnet.errors import PROBLEMS, SyncnetError
from syncnet.wire.answers import encode_problem


def problem(code: str, detail: str = "what happened", retry_after: str = "", **members: Any) -> Answer:
    headers = {"content-type": "application/problem+json"} | ({"retry-after": retry_after} if retry_after else {})
    return Answer(PROBLEMS[code].status, headers, encode_problem(code, detail, **members))


def test_every_problem_of_the_table_becomes_an_error_of_the_contract() -> None:
    kinds = {code: type(failure_of(problem(code))) for code in PROBLEMS}
    assert kinds.pop("timed-out") is TimedOutError
    assert kinds.pop("aborted") is AbortedError
    assert kinds.pop("withdrawn") is WithdrawnError
    again = {code for code, kind in kinds.items() if kind is UnavailableError}
    assert again == {code for code in kinds if PROBLEMS[code].status in (429, 500, 503)} | {"slow-body"}
    assert {kinds[code] for code in kinds.keys() - again} == {RefusedError}
    assert all(failure_of(problem(code)).code == code for code in PROBLEMS)


def test_who_was_missing() -> None:
    members: dict[str, Any] = {"waited_s": 1.5, "present": ["BEN"], "missing": 2, "missing_actors": ["CLARA", "DORA"]}
    error = failure_of(problem("timed-out", **members))
    assert isinstance(error, TimedOutError)
    assert (error.waited_s, error.present, error.missing) == (1.5, ("BEN",), 2)
    assert error.missing_actors == ("CLARA", "DORA")


def test_a_parameter_is_named_once() -> None:
    error = failure_of(problem("bad-parameter", "mates: expected a number", parameter="mates"))
    assert isinstance(error, ParameterError)
    assert (str(error), error.parameter) == ("mates: expected a number", "mates")
    too_large = failure_of(problem("too-large", "payload: too much", parameter="payload"))
    assert isinstance(too_large, ParameterError)
    assert too_large.code == "too-large"


def test_what_may_be_asked_for_again() -> None:
    draining = failure_of(problem("draining", retry_after="3"))
    assert isinstance(draining, UnavailableError)
    assert (draining.retry_safe, draining.retry_after_s) == (True, 3.0)
    assert not failure_of(problem("internal")).retry_safe
    for status in (500, 502, 503, 504):  # of a proxy, or of a server that ended in the midst of it
        bare = failure_of(Answer(status, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"))
        assert isinstance(bare, UnavailableError)
        assert bare.retry_safe


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(404, {}, b""), RefusedError),
        (Answer(302, {"location": "/login"}, b""), RefusedError),
        (Answer(200, {"content-type": "text/html"}, b"<html>"), UnavailableError),
        (Answer(200, {}, json.dumps({"hello": "world"}).encode()), UnavailableError),
        (Answer(200, {}, b"[]"), UnavailableError),
        (Answer(403, {"content-type": "application/problem+json"}, b"not JSON"), RefusedError),
        (Answer(403, {"content-type": "application/problem+json"}, b'{"type": "about:blank"}'), RefusedError),
    ],
)
def test_what_is_no_syncnet(answer: Answer, kind: type[SyncnetError]) -> None:
    with pytest.raises(kind) as caught:
        read_sync(answer)
    assert not caught.value.retry_safe


@pytest.mark.parametrize("number", ["1e400", "123456789012345678901234567890", "-0.5"])
def test_any_number_may_come(number: str) -> None:
    member = f'{{"id":"1","actor":"A","labels":{{"actor":"A"}},"payload":{number}}}'
    body = f'{{"event":"e","sync":3,"payloads":{{"A":{number}}},"members":[{member}]}}'
    sync = read_sync(Answer(200, {"syncnet-rank": "0"}, body.encode()))
    assert sync.payloads == {"A": json.loads(number)}
    assert sync.members == (Member("1", "A", {"actor": "A"}, json.loads(number)),)
    assert (sync.event, sync.number, sync.rank) == ("e", 3, 0)


def test_an_answer_that_is_no_json() -> None:
    with pytest.raises(UnavailableError, match="expected an answer of syncnet, got 4 bytes of no content type"):
        read_document(Answer(200, {}, b"what"))
