"""Answers and problem documents are as semantics.md specifies them."""

import json

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from syncnet.core.commands import OBJECT, Offer, OfferSpec
from syncnet.core.effects import Synced, TimedOut
from syncnet.core.selectors import EVERYTHING
from syncnet.core.trace import TracedMember, TracedSync
from syncnet.errors import PROBLEMS
from syncnet.wire.answers import as_yaml, encode_pending, encode_problem, encode_sync, encode_trace, timed_out_problem
from tests.core.offers import offer

VM, CUST = offer("VM", id="1", payload=b'{"a":1e400}'), offer("CUST", id="2", labels={"x": "y"})


def test_the_answer_to_a_sync() -> None:
    body = encode_sync(Synced(0, "default", "coin", 17, (VM, CUST)))
    assert body == (
        b'{"event":"coin","sync":17,"payloads":{"VM":{"a":1e400},"CUST":""},"members":['
        b'{"id":"1","actor":"VM","labels":{"actor":"VM"},"payload":{"a":1e400}},'
        b'{"id":"2","actor":"CUST","labels":{"actor":"CUST","x":"y"},"payload":""}]}\n'
    )


def test_of_two_members_with_one_name_the_later_payload_is_shown() -> None:
    synced = Synced(0, "default", "e", 1, (offer("A", id="1", payload=b"1"), offer("A", id="2", payload=b"2")))
    answer = json.loads(encode_sync(synced))
    assert answer["payloads"] == {"A": 2}
    assert [member["payload"] for member in answer["members"]] == [1, 2]


class TypedMember(msgspec.Struct):
    id: str
    actor: str
    labels: dict[str, str]
    payload: msgspec.Raw


class TypedSync(msgspec.Struct):
    event: str
    sync: int
    payloads: dict[str, msgspec.Raw]
    members: list[TypedMember]


def encode_typed(synced: Synced) -> bytes:
    """The same answer from structures with declared types."""
    members = [TypedMember(m.id, m.actor, m.labels, msgspec.Raw(m.payload)) for m in synced.members]
    payloads = {member.actor: member.payload for member in members}
    return msgspec.json.encode(TypedSync(synced.event, synced.sync, payloads, members)) + b"\n"


NAMES = st.sampled_from(["A", "B", "x.y-z_1"])
OFFERS = st.builds(
    offer,
    NAMES,
    st.just("e"),
    id=st.sampled_from(["1", 'a"b', "a\\b", "{}"]),
    labels=st.dictionaries(st.sampled_from(["a", "example.org/b", "actor"]), NAMES | st.just("")),
    payload=st.sampled_from([b'""', b"null", b'{"a":[1.50,1e400]}', '"é"'.encode(), b'"\\u00e9"']),
)


@given(st.sampled_from(["coin", 'a"b', "a\\b", "/x:y?{}", "é", "😀"]), st.lists(OFFERS, min_size=1, max_size=3))
def test_the_answer_has_the_same_bytes_as_one_from_typed_structures(event: str, members: list[Offer]) -> None:
    synced = Synced(0, "default", event, 17, tuple(members))
    assert encode_sync(synced) == encode_typed(synced)


def test_an_object_of_this_program_is_encoded_in_the_answer() -> None:
    member = holding({"a": (1, None)})
    answer = json.loads(encode_sync(Synced(0, "default", "coin", 1, (member, CUST))))
    assert answer["payloads"] == {"A": {"a": [1, None]}, "CUST": ""}


def holding(value: object) -> Offer:
    """An offer whose payload is an object of this program."""
    spec = OfferSpec("default", ("coin",), "A", 1, (), {"actor": "A"}, EVERYTHING, None, 0, "", 4)
    return Offer(spec, "1", 0, value, OBJECT, False)


def test_the_trace() -> None:
    members: list[TracedMember] = [("1", "VM", {"actor": "VM"}, 2), ("2", "A", {"actor": "A"}, OBJECT)]
    entry = TracedSync(0, "ci", "coin", 17, members, 1)
    assert json.loads(encode_trace("ci", [entry])) == {
        "namespace": "ci",
        "syncs": [
            {
                "sync": 17,
                "event": "coin",
                "at": "1970-01-01T00:00:00.000000Z",
                "members": [
                    {"id": "1", "actor": "VM", "labels": {"actor": "VM"}, "payload_bytes": 2},
                    {"id": "2", "actor": "A", "labels": {"actor": "A"}, "payload_bytes": 0},
                ],
            }
        ],
    }


def test_yaml_says_the_same() -> None:
    tricky = offer("NO", id="3", payload='{"é": ["no", "1", 1, 1.5, null, "2001-01-01", "a\\nb"]}'.encode())
    synced = Synced(0, "default", "coin", 1, (CUST, tricky))
    as_json = encode_sync(synced)
    assert yaml.safe_load(as_yaml(as_json)) == json.loads(as_json)
    assert as_yaml(as_json).startswith(b"event: coin\nsync: 1\npayloads:\n  CUST: ''\n")


def test_yaml_of_payloads_at_the_limits() -> None:
    deep = offer("A", payload=b"[" * 63 + b"9" * 4000 + b"]" * 63)
    assert b"9" * 4000 in as_yaml(encode_sync(Synced(0, "default", "coin", 1, (deep,))))


def test_a_problem_document() -> None:
    assert json.loads(encode_problem("bad-parameter", "mates: no", parameter="mates")) == {
        "type": "urn:syncnet:problem:bad-parameter",
        "title": "Bad parameter",
        "status": 400,
        "detail": "mates: no",
        "parameter": "mates",
    }


def test_no_problem_has_a_status_of_success() -> None:
    assert all(400 <= problem.status <= 599 and problem.title for problem in PROBLEMS.values())


def test_timed_out_says_how_long_who_and_how_many() -> None:
    waiting = offer("A", "x", "y", mates=3)
    problem = json.loads(timed_out_problem(TimedOut(1_500_000_000, waiting, ("B",), 2, ())))
    assert problem["status"] == PROBLEMS["timed-out"].status
    assert problem["detail"] == "A waited 1.5 s for x or y; present: B; missing: 2"
    assert (problem["waited_s"], problem["present"], problem["missing"]) == (1.5, ["B"], 2)
    assert "missing_actors" not in problem


def test_timed_out_with_a_roster_says_who_is_missing() -> None:
    waiting = offer("A", expect=["B", "C"])
    problem = json.loads(timed_out_problem(TimedOut(0, waiting, (), 2, ("B", "C"))))
    assert problem["detail"] == "A waited 0 s for coin; present: nobody; missing: B, C"
    assert problem["missing_actors"] == ["B", "C"]


def test_stats_show_no_size_of_an_object() -> None:
    stats = json.loads(encode_pending([holding("secret")], [holding("secret")]))
    assert stats["coin"]["A"]["1"]["params"]["payload_bytes"] == 0


def test_stats() -> None:
    offers = [
        offer("A", "x", "y", id="1", timeout_s=2.5, at_ns=1_000_000_000_000_000_000, payload=b'"secret"'),
        offer("A", "x", id="2", expect=["B"]),
    ]
    stats = json.loads(encode_pending(offers, offers))
    assert {event: {actor: list(ids) for actor, ids in actors.items()} for event, actors in stats.items()} == {
        "x": {"A": ["1", "2"]},
    }, "a choice is listed once"
    assert stats["x"]["A"]["1"] == {
        "params": {
            "event": ["x", "y"],
            "actor": "A",
            "mates": 1,
            "selector": "actor!=A",
            "labels": {"actor": "A"},
            "payload_bytes": 8,
            "timeout": "2.5s",
        },
        "created_at": "2001-09-09T01:46:40.000000Z",
        "missing": 1,
    }
    assert (stats["x"]["A"]["2"]["missing"], stats["x"]["A"]["2"]["missing_actors"]) == (1, ["B"])
    assert stats["x"]["A"]["2"]["params"]["expect"] == ["A", "B"]
