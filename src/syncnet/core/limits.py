"""Every bound, with its unit and its reason.

The unit is the end of the name. `Limits` holds those that are options of a server (`--limit NAME=VALUE`, listed in
docs/limits.md, which is made from here); the constants below it are fixed.

A bound that the machine reads (the second part of `Limits`) is part of the contract between the nodes of a cluster:
two nodes with different ones would take different decisions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

__all__ = [
    "EVENTS_COMPARED_MAX",
    "EXPLAINED_OFFERS_MAX",
    "EXPLANATION_STEPS_MAX",
    "ID_CHARACTERS_MAX",
    "LABEL_NAME_CHARACTERS_MAX",
    "LABEL_PREFIX_CHARACTERS_MAX",
    "LIMITS",
    "LINGER_NAMED_S",
    "NAME_BYTES",
    "NEAR_EVENTS_MAX",
    "NESTING_MAX",
    "OFFER_BYTES",
    "OUTCOMES_FORGOTTEN_AT_ONCE_MAX",
    "PRESENT_OFFERS_MAX",
    "REASON_CHARACTERS_MAX",
    "SCANNED_OFFERS_MAX",
    "WORD_BYTES",
    "Limits",
]


def _limit(default: Any, reason: str, highest: int, answer: str, lowest: int = 1) -> Any:
    """Return a field: its default, why it is that, how far it may be raised and lowered, and who meets it gets what.

    `answer` is the code of a problem (a row of the table in errors.py), or a sentence where there is none.
    """
    return field(default=default, metadata={"reason": reason, "highest": highest, "answer": answer, "lowest": lowest})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds that are options."""

    # --- one offer -----------------------------------------------------------------------------------------

    mates_max: int = _limit(
        9_999,
        "Mates of an offer: barriers of ten thousand parties are the largest that are measured.",
        99_999,
        "bad-parameter",
    )
    events_per_offer_max: int = _limit(
        64, "Events of one choice: every one of them is searched on arrival.", 1_000, "too-large"
    )
    event_characters_max: int = _limit(
        256,
        "Characters of an event: a readable name with room for a path; it is a word of every log line.",
        4_096,
        "too-large",
    )
    events_characters_max: int = _limit(
        2_048,
        "Characters of all events of one choice together: it is told under each of them.",
        65_536,
        "too-large",
    )
    labels_per_offer_max: int = _limit(
        64,
        "Labels of one offer. Kubernetes bounds only the bytes of all annotations; 64 is far above use.",
        1_000,
        "too-large",
    )
    selector_characters_max: int = _limit(
        4_096,
        "Characters of a selector: reading and evaluating it is linear in them.",
        65_536,
        "too-large",
    )
    payload_bytes_max: int = _limit(
        262_144,
        "Bytes of one payload as JSON. Meant for addresses, offers and answers, not for files.",
        16_777_216,
        "too-large",
    )
    timeout_s_max: int = _limit(
        31_622_400,
        "Seconds of a timeout: a leap year, because a longer one is a mistake in the unit.",
        316_224_000,
        "bad-parameter",
    )
    linger_s_max: int = _limit(
        3_600,
        "Seconds of a linger: for so long an offer may stand without anybody behind it.",
        31_622_400,
        "bad-parameter",
        lowest=10,
    )

    # --- one machine ---------------------------------------------------------------------------------------

    pending_offers_max: int = _limit(
        100_000,
        "Offers pending at once in all; the limit on open files may lower it. About 27 KB each.",
        1_000_000,
        "full",
    )
    pending_bytes_max: int = _limit(
        536_870_912,
        "What all pending offers weigh: the bytes of their payloads, the characters of all else that clients chose, "
        "and some for each word. Half a gigabyte, so that they cannot fill a small host.",
        1 << 40,
        "full",
    )
    pending_per_namespace_max: int = _limit(
        100_000,
        "Offers pending at once in one namespace: as many as in all, unless told otherwise.",
        1_000_000,
        "quota",
    )
    pending_per_token_max: int = _limit(
        100_000,
        "Offers pending at once that one token made: as many as in all, unless told otherwise.",
        1_000_000,
        "quota",
    )
    namespaces_max: int = _limit(
        10_000,
        "Namespaces that are remembered: those with pending offers, and those with a trace, whose last number is "
        "kept. Where there are more, the eldest in which nobody waits is forgotten; the next new one begins its "
        "numbers above it.",
        1_000_000,
        "full",
    )
    search_steps_max: int = _limit(
        100_000,
        "Steps of the search for one arrival; a step is one look at an offer or a kind of offers. Some tenths of a "
        "second at worst, five times what the last party of the largest barrier takes. Where it is hit the offer "
        "stays pending, and the miss is counted, logged and visible (G3).",
        100_000_000,
        "The offer waits.",
        10,  # above what the search for a plain offer takes among plain ones, see matching.py
    )
    outcome_ttl_s: int = _limit(
        600,
        "Seconds for which the outcome of an offer with an id is told again (G7); also `--outcome-ttl`.",
        86_400,
        "Forgotten.",
    )
    outcomes_max: int = _limit(
        100_000,
        "Offers with an id whose outcomes are remembered; the eldest are forgotten first, the latest outcome never.",
        10_000_000,
        "Forgotten.",
    )
    outcomes_bytes_max: int = _limit(
        268_435_456,
        "What the remembered outcomes weigh, counted as for pending offers: a quarter gigabyte.",
        1 << 40,
        "Forgotten.",
    )

    trace_syncs_max: int = _limit(
        10_000,
        "Syncs that the trace keeps, over all namespaces; also `--trace-keep`.",
        10_000_000,
        "Forgotten.",
    )
    trace_bytes_max: int = _limit(
        67_108_864,
        "What the syncs of the trace weigh, counted as for pending offers.",
        1 << 40,
        "Forgotten.",
    )

    # --- one request ---------------------------------------------------------------------------------------

    url_bytes_max: int = _limit(
        16_384,
        "Bytes of the query of a request: the longest selector with every character escaped fits.",
        65_000,
        "url-too-long",
    )
    parameters_max: int = _limit(
        256,
        "Parameters of one request, repetitions counted: above the largest choice and all the others.",
        10_000,
        "too-large",
    )
    body_bytes_max: int = _limit(
        524_288,
        "Bytes of a body: a payload of the largest size with every character escaped as two.",
        67_108_864,
        "too-large",
    )
    body_read_s_max: int = _limit(
        30,
        "Seconds in which a body must have come: a client that sends none holds a connection so long.",
        3_600,
        "slow-body",
    )
    head_read_s_max: int = _limit(
        10,
        "Seconds in which the head of a request must have come, counted from when the connection is open or its last "
        "answer has left; so it is also for how long a connection may idle between requests.",
        3_600,
        "The connection ends.",
    )
    head_bytes_max: int = _limit(
        131_072,
        "Bytes of the first line and the headers together, at least 8,192; twice what the longest URL takes. What is "
        "read at once is a little more, so it is exact to some 100 KB only; above 100 headers it is 431 too.",
        16_777_216,
        "431, by granian.",
        8_192,
    )
    requests_per_connection_max: int = _limit(
        1_000_000,
        "Requests after which a connection is closed, so that no client keeps one for ever and a balancer in front can "
        "spread them anew.",
        1_000_000_000,
        "The connection ends after the answer.",
    )


LIMITS: Final = Limits()
"""The defaults."""

LABEL_NAME_CHARACTERS_MAX: Final = 63
"""Characters of a label value, and of the name part of a key: Kubernetes' own bound."""

LABEL_PREFIX_CHARACTERS_MAX: Final = 253
"""Characters of the prefix part of a label key: Kubernetes' own bound, that of a DNS subdomain."""

ID_CHARACTERS_MAX: Final = 128
"""Characters of an id: a UUID with a readable name before it. It goes into a header."""

REASON_CHARACTERS_MAX: Final = 1_024
"""Characters of the reason of an abort: a sentence and an address, for people."""

LINGER_NAMED_S: Final = 10.0
"""Seconds for which an offer with an id stays without a connection, unless it says otherwise (semantics.md)."""

WORD_BYTES: Final = 64
"""What a word of an offer weighs in addition to its characters: about what Python adds to a short text."""

NAME_BYTES: Final = WORD_BYTES + LABEL_NAME_CHARACTERS_MAX
"""What a name weighs, whatever its length."""

OFFER_BYTES: Final = WORD_BYTES + 3 * NAME_BYTES
"""What every offer weighs: the offer, its event without its characters, its actor and its label `actor`."""

SCANNED_OFFERS_MAX: Final = 16
"""Pending offers of one event that are compared one by one; more are indexed (see `matching.py`)."""

OUTCOMES_FORGOTTEN_AT_ONCE_MAX: Final = 64
"""Outcomes that are forgotten by one command because of their age: more than one command adds, on the average."""

EXPLANATION_STEPS_MAX: Final = 10_000
"""Steps of the comparisons that say who was present when an offer timed out: about a millisecond, compiled."""

PRESENT_OFFERS_MAX: Final = 100
"""Offers that are looked at to say who was present when an offer timed out."""

EXPLAINED_OFFERS_MAX: Final = 100
"""Other offers that an explanation speaks of: more than anybody reads."""

NEAR_EVENTS_MAX: Final = 3
"""Names of events that an explanation takes for mistyped ones."""

EVENTS_COMPARED_MAX: Final = 1_000
"""Names of events that are compared with an offer's own for that; one comparison is some ten microseconds."""

NESTING_MAX: Final = 64
"""Levels of nesting of a JSON or YAML body: decoders and encoders are recursive."""
