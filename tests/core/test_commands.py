"""Which offers are valid: the defaults of semantics.md, and the messages for invalid values."""

from typing import Any

import pytest

from syncnet.core.limits import LIMITS
from syncnet.core.validation import check_namespace, make_offer
from syncnet.errors import ParameterError


def make(**given: Any) -> Any:
    return make_offer(**{"at_ns": 0, "id": "x", "events": ["coin"], "actor": "VM", **given})


def test_defaults() -> None:
    offer = make()
    assert (offer.mates, offer.namespace, offer.payload, offer.roster) == (1, "default", b'""', ())
    assert offer.labels == {"actor": "VM"}
    assert str(offer.selector) == "actor!=VM"
    assert offer.timeout_ns is None


def test_labels_are_added_to_the_default_and_may_set_actor() -> None:
    assert make(labels={"tier": "gold"}).labels == {"actor": "VM", "tier": "gold"}
    assert make(labels={"actor": "X"}).labels == {"actor": "X"}


def test_a_roster_replaces_mates_and_selector() -> None:
    offer = make(expect=["B", "A"])
    assert (offer.roster, offer.mates, str(offer.selector)) == (("A", "B", "VM"), 2, "")
    assert make(expect=["VM", "B", "A"]).roster == offer.roster


@pytest.mark.parametrize(
    ("given", "parameter", "message"),
    [
        ({"events": []}, "event", "expected the name of an event, got none"),
        ({"events": [""]}, "event", "expected the name of an event, got an empty one"),
        ({"events": ["a", ""]}, "event", "got an empty one (event 2 of 2)"),
        ({"events": ["a", "b", "a"]}, "event", 'expected events that differ, got "a" twice'),
        ({"events": ["a\x1b[2J"]}, "event", 'expected printable characters only, got "a\\x1b[2J"'),
        ({"events": ["a\u202eb"]}, "event", "expected printable characters only"),
        ({"events": ["a" * 257]}, "event", "expected at most 256 characters, got 257"),
        ({"events": [str(n) for n in range(65)]}, "event", "expected at most 64 events, got 65"),
        ({"actor": ""}, "actor", "expected the name of an actor, got an empty one"),
        ({"actor": "no good"}, "actor", 'got "no good"'),
        ({"actor": "a" * 64}, "actor", "1 to 63 letters"),
        ({"mates": -1}, "mates", "expected a whole number from 0 to 9999, got -1"),
        ({"mates": LIMITS.mates_max + 1}, "mates", "got 10000"),
        ({"mates": 10**30}, "mates", "got one of more than 20 digits"),
        ({"expect": []}, "expect", "expected the names of actors, got none"),
        ({"expect": ["A", ""]}, "expect", "got an empty one"),
        ({"expect": ["A", "B", "A"]}, "expect", 'expected actors that differ, got "A" twice'),
        ({"expect": ["A"], "mates": 1}, "mates", "expected either a roster (expect) or mates, got both"),
        ({"labels": {"-": "a"}}, "labels", "expected a label key"),
        ({"labels": {"a": "b c"}}, "labels", 'expected a label value for "a"'),
        ({"labels": {f"k{n}": "" for n in range(64)}}, "labels", "expected at most 64 labels, got 65"),
        ({"payload": b"x" * (LIMITS.payload_bytes_max + 1)}, "payload", "expected at most 262144 bytes as JSON"),
        (
            {"payload": b"x" * 200_000, "mates": 99},
            "payload",
            "expected at most 41943 bytes as JSON for 99 mates (4194304 for all 100 members together), got 200000",
        ),
        ({"timeout_s": -1}, "timeout", "expected 0 to 31622400 seconds, got -1"),
        ({"timeout_s": float("nan")}, "timeout", "got nan"),
        ({"timeout_s": float("inf")}, "timeout", "got inf"),
        ({"namespace": ""}, "namespace", "expected a namespace, got an empty one"),
        ({"namespace": "a/b"}, "namespace", 'got "a/b"'),
    ],
)
def test_an_invalid_value_raises_an_error_that_names_the_parameter(
    given: dict[str, Any], parameter: str, message: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        make(**given)
    assert caught.value.parameter == parameter
    assert str(caught.value).startswith(f"{parameter}: expected ")
    assert message in str(caught.value)


def test_namespaces_have_the_form_of_a_label_value() -> None:
    assert check_namespace("ci.run_17") == "ci.run_17"
