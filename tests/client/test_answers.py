"""How the client reads the answers of a server, and those of a proxy in front of it."""

import json
from typing import Any

import pytest

from syncnet import AbortedError, Member, ParameterError, RefusedError, TimedOutError, UnavailableError, WithdrawnError
from syncnet.client.answers import (
    Answer,
    check_offer,
    failure_of,
    read_document,
    read_pending,
    read_sync,
    read_total,
)
from syncnet.errors import PROBLEMS, SyncnetError
from syncnet.wire.answers import encode_problem


def problem(code: str, detail: str = "what happened", retry_after: str = "", **members: Any) -> Answer:
    headers = {"content-type": "application/problem+json"} | ({"retry-after": retry_after} if retry_after else {})
    return Answer(PROBLEMS[code].status, headers, encode_problem(code, detail, **members))


def test_every_problem_code_becomes_an_error_class() -> None:
    kinds = {code: type(failure_of(problem(code))) for code in PROBLEMS}
    assert kinds.pop("timed-out") is TimedOutError
    assert kinds.pop("aborted") is AbortedError
    assert kinds.pop("withdrawn") is WithdrawnError
    unavailable = {code for code, kind in kinds.items() if kind is UnavailableError}
    assert unavailable == {code for code in kinds if PROBLEMS[code].status in (429, 500, 503)} | {"slow-body"}
    assert {kinds[code] for code in kinds.keys() - unavailable} == {RefusedError}
    assert all(failure_of(problem(code)).code == code for code in PROBLEMS)


@pytest.mark.parametrize("status", [408, 410])
def test_the_code_and_not_the_status_decides(status: int) -> None:
    answer = problem("timed-out", waited_s=1.5)._replace(status=status)
    assert isinstance(failure_of(answer), TimedOutError)


def test_the_member_code_names_the_problem() -> None:
    body = {"type": "urn:syncnet:problem:aborted", "code": "aborted", "detail": "no", "by": "A", "reason": "no"}
    answer = Answer(410, {"content-type": "application/problem+json"}, json.dumps(body).encode())
    error = failure_of(answer)
    assert isinstance(error, AbortedError)
    assert (error.by, error.reason) == ("A", "no")


def test_a_timeout_has_the_present_and_the_missing_actors() -> None:
    members: dict[str, Any] = {"waited_s": 1.5, "present": ["BEN"], "missing": 2, "missing_actors": ["CLARA", "DORA"]}
    members |= {
        "gave_up": [{"actor": "CLARA", "how": "withdrawn", "at": "2026-01-01T00:00:00Z"}],
        "never_came": ["DORA"],
        "reasons": [{"actor": "BEN", "event": "start", "reason": "their rosters differ"}],
    }
    error = failure_of(problem("timed-out", **members))
    assert isinstance(error, TimedOutError)
    assert (error.waited_s, error.present, error.missing) == (1.5, ("BEN",), 2)
    assert error.missing_actors == ("CLARA", "DORA")
    assert error.gave_up == (("CLARA", "withdrawn", "2026-01-01T00:00:00Z"),)
    assert error.never_came == ("DORA",)
    assert error.reasons == (("BEN", "start", "their rosters differ"),)


def test_a_parameter_is_named_once_in_the_message() -> None:
    error = failure_of(problem("bad-parameter", "mates: expected a number", parameter="mates"))
    assert isinstance(error, ParameterError)
    assert (str(error), error.parameter) == ("mates: expected a number", "mates")
    too_large = failure_of(problem("too-large", "payload: too much", parameter="payload"))
    assert isinstance(too_large, ParameterError)
    assert too_large.code == "too-large"


def test_which_failures_are_safe_to_retry() -> None:
    draining = failure_of(problem("draining", retry_after="3"))
    assert isinstance(draining, UnavailableError)
    assert (draining.retry_safe, draining.retry_after_s) == (True, 3.0)
    assert not failure_of(problem("internal")).retry_safe


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_without_a_problem_document_is_safe_to_retry(status: int) -> None:
    error = failure_of(Answer(status, {"content-type": "text/html"}, b"<h1>Bad gateway</h1>"))
    assert isinstance(error, UnavailableError)
    assert (error.retry_safe, error.code) == (True, "unavailable")


@pytest.mark.parametrize(("status", "code"), [(408, "slow-body"), (429, "quota")])
def test_a_proxy_that_did_not_take_the_request_is_told_apart_from_a_lost_answer(status: int, code: str) -> None:
    error = failure_of(Answer(status, {"retry-after": "2"}, b""))
    assert isinstance(error, UnavailableError)
    assert (error.retry_safe, error.code, error.retry_after_s) == (True, code, 2.0)


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
def test_an_answer_of_another_server_is_not_retried(answer: Answer, kind: type[SyncnetError]) -> None:
    with pytest.raises(kind) as caught:
        read_sync(answer, "1", ("e",))
    assert not caught.value.retry_safe


@pytest.mark.parametrize("number", ["1e400", "123456789012345678901234567890", "-0.5"])
def test_a_payload_can_be_any_json_number(number: str) -> None:
    member = f'{{"id":"1","actor":"A","labels":{{"actor":"A"}},"payload":{number}}}'
    body = f'{{"event":"e","sync":3,"payloads":{{"A":{number}}},"members":[{member}]}}'
    sync = read_sync(Answer(200, {"syncnet-rank": "0"}, body.encode()), "1", ("e",))
    assert sync.payloads == {"A": json.loads(number)}
    assert sync.members == (Member("1", "A", {"actor": "A"}, json.loads(number)),)
    assert (sync.event, sync.number, sync.rank) == ("e", 3, 0)


def test_an_answer_that_is_not_json() -> None:
    with pytest.raises(UnavailableError, match="expected an answer of syncnet, got 4 bytes of no content type"):
        read_document(Answer(200, {}, b"what"))


DEEP = "[" * 100_000 + "]" * 100_000


def synced(*ids: str, event: str = "e", rank: str | None = "0", id: str = "1") -> Answer:
    """Return the answer to the offer `id`, which synced with the offers `ids`."""
    members = [{"id": each, "actor": "A", "labels": {}, "payload": ""} for each in ids]
    headers = {"syncnet-id": id, "content-type": "application/json"} | ({} if rank is None else {"syncnet-rank": rank})
    document = {"event": event, "sync": 1, "payloads": {}, "members": members}
    return Answer(200, headers, json.dumps(document).encode())


def test_a_sync_is_that_of_the_member_at_its_rank() -> None:
    assert read_sync(synced("0", "1", "2", rank="1"), "1", ("d", "e")).rank == 1


@pytest.mark.parametrize("rank", ["-1", "2", "1_0", "+1", "", " 1", "\u0661", "1" * 5_000, "1.0", None])
def test_a_rank_that_is_not_one_of_the_members_is_refused(rank: str | None) -> None:
    with pytest.raises(UnavailableError, match=r"expected .* with a Syncnet-Rank from 0 to 1, got .* with") as caught:
        read_sync(synced("0", "1", rank=rank), "1", ("e",))
    assert not caught.value.retry_safe
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (synced("0", "1"), "with the member 1 at rank 0, got .* with '0'"),
        (synced("1", event="other"), "of d or e, got .* of 'other'"),
        (synced(), "with a Syncnet-Rank from 0 to -1, got"),
        (synced("1")._replace(body=b'{"event":"e","sync":1,"payloads":{},"members":[{"id":1}]}'), "got 57 bytes of"),
        (synced("1")._replace(body=b'{"event":"e","sync":1e400,"payloads":{},"members":[]}'), "got 53 bytes of"),
        (synced("1")._replace(body=DEEP.encode()), "got 200000 bytes of application/json"),
    ],
)
def test_a_sync_of_another_offer_is_refused(answer: Answer, message: str) -> None:
    with pytest.raises(UnavailableError, match=message) as caught:
        read_sync(answer, "1", ("d", "e"))
    assert not caught.value.retry_safe


@pytest.mark.parametrize("code", ["timed-out", "aborted", "withdrawn", "replaced", "id-reused"])
def test_an_outcome_names_its_offer(code: str) -> None:
    outcome = problem(code)
    own = outcome._replace(headers={**outcome.headers, "syncnet-id": "1"})
    check_offer(own, "1")
    with pytest.raises(ConnectionAbortedError, match="expected an answer with the Syncnet-Id 2, got '1'"):
        check_offer(own, "2")
    with pytest.raises(ConnectionAbortedError, match="expected an answer with no Syncnet-Id, got '1'"):
        check_offer(own, None)
    with pytest.raises(UnavailableError, match="expected an answer of syncnet with the Syncnet-Id 1, got"):
        check_offer(outcome, "1")


@pytest.mark.parametrize(
    "code", sorted(PROBLEMS.keys() - {"timed-out", "aborted", "withdrawn", "replaced", "id-reused"})
)
def test_other_problems_need_not_name_an_offer(code: str) -> None:
    check_offer(problem(code), "1")
    check_offer(Answer(502, {}, b""), "1")


@pytest.mark.parametrize(
    "members",
    [
        {"waited_s": "long"},
        {"missing": 1.5},
        {"missing": None},
        {"present": 7},
        {"present": [1]},
        {"detail": {}},
    ],
)
def test_a_problem_document_with_other_types_is_not_believed(members: dict[str, Any]) -> None:
    body = json.dumps({"type": "urn:syncnet:problem:timed-out", **members}).encode()
    error = failure_of(Answer(410, {"content-type": "application/problem+json"}, body))
    assert isinstance(error, RefusedError)


def test_a_deeply_nested_problem_document_is_not_believed() -> None:
    body = f'{{"type":"urn:syncnet:problem:timed-out","more":{DEEP}}}'.encode()
    error = failure_of(Answer(410, {"content-type": "application/problem+json"}, body))
    assert isinstance(error, RefusedError)


@pytest.mark.parametrize("body", [b"[]", b"7", b"{}", b'{"aborted":"1"}', b'{"aborted":true}', DEEP.encode()])
def test_a_number_that_is_missing_is_an_error(body: bytes) -> None:
    with pytest.raises(UnavailableError, match="expected an answer of syncnet"):
        read_total(Answer(200, {}, body), "aborted")


def page(document: object) -> Answer:
    return Answer(200, {}, json.dumps(document).encode())


def test_pages_of_pending_offers_are_joined() -> None:
    pending: dict[str, Any] = {}
    read_pending(page({"coin": {"VM": {"1": {}}, "CUST": {"2": {}}}}), pending)
    read_pending(page({"coin": {"VM": {"3": {}}}, "tea": {"VM": {"4": {}}}}), pending)
    assert pending == {"coin": {"VM": {"1": {}, "3": {}}, "CUST": {"2": {}}}, "tea": {"VM": {"4": {}}}}


@pytest.mark.parametrize("document", [[], {"coin": 1}, {"coin": {"VM": 1}}, {"coin": {"VM": ["a"]}}])
def test_something_else_is_no_page_of_pending_offers(document: object) -> None:
    with pytest.raises(UnavailableError):
        read_pending(page(document), {})
