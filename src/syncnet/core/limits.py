"""All limits, each with its unit and its reason.

The end of a name is the unit. `Limits` has the limits that are options of a server (`--limit NAME=VALUE`);
docs/limits.md is generated from it. The constants after it are fixed.

All nodes of a cluster must have the same limits of the machine (the second part of `Limits`): nodes with different ones
would take different decisions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

__all__ = [
    "CHARGED_STEPS_MIN",
    "CIRCLES_MAX",
    "DEPARTED_S",
    "DEPARTURES_MAX",
    "DEPARTURES_PER_EVENT_MAX",
    "ELSEWHERE_LOOKUPS_MAX",
    "EXPLAINED_OFFERS_MAX",
    "EXPLAINED_STEPS_MAX",
    "EXPLANATION_STEPS_MAX",
    "ID_CHARACTERS_MAX",
    "LABEL_NAME_CHARACTERS_MAX",
    "LABEL_PREFIX_CHARACTERS_MAX",
    "LIMITS",
    "LINGER_NAMED_S",
    "MATES_UNBOUNDED",
    "MOMENT_S",
    "MOMENT_SHARE",
    "NAMES_SAID_MAX",
    "NAME_BYTES",
    "NEAR_EVENTS_MAX",
    "NESTING_MAX",
    "OFFER_BYTES",
    "OUTCOMES_FORGOTTEN_AT_ONCE_MAX",
    "PAGE_BYTES_MAX",
    "PARTIES_PER_SEARCH",
    "PRESENT_OFFERS_MAX",
    "REASONS_MAX",
    "REASONS_STEPS_MAX",
    "REASON_CHARACTERS_MAX",
    "RELATIONS_MAX",
    "SCANNED_OFFERS_MAX",
    "SMALL_OFFER_BYTES",
    "WORD_BYTES",
    "Limits",
]


def _limit(default: Any, reason: str, highest: int, answer: str, lowest: int = 1) -> Any:
    """Return a field with its default, the reason for it, and its lowest and highest value.

    `answer` is what a request at the limit gets: the code of a problem (a key of `PROBLEMS`), or a sentence.
    """
    return field(default=default, metadata={"reason": reason, "highest": highest, "answer": answer, "lowest": lowest})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits that are options."""

    # --- one offer -----------------------------------------------------------------------------------------

    mates_max: int = _limit(
        9_999,
        "Mates of an offer: barriers of ten thousand parties are the largest that were measured.",
        99_999,
        "bad-parameter",
    )
    events_per_offer_max: int = _limit(
        64, "Events of one choice: on arrival, the offers of each of them are searched.", 1_000, "too-large"
    )
    event_characters_max: int = _limit(
        256,
        "Characters of an event: a readable name or a path; it is a word of every log line.",
        4_096,
        "too-large",
    )
    events_characters_max: int = _limit(
        2_048,
        "Characters of all events of one choice together: each event is stored and logged.",
        65_536,
        "too-large",
    )
    labels_per_offer_max: int = _limit(
        64,
        "Labels of one offer. Kubernetes limits only the bytes of all annotations; 64 is far above normal use.",
        1_000,
        "too-large",
    )
    selector_characters_max: int = _limit(
        4_096,
        "Characters of a selector: the time to parse and evaluate it is linear in them.",
        65_536,
        "too-large",
    )
    payload_bytes_max: int = _limit(
        262_144,
        "Bytes of one payload as JSON. Payloads are for addresses and small messages, not for files.",
        16_777_216,
        "too-large",
    )
    sync_payload_bytes_max: int = _limit(
        4_194_304,
        "Bytes of all payloads of one sync, which every member gets. An offer whose payload has p bytes is in no sync "
        "of more than (this limit / p) members, and is refused where it wants more mates itself: 256 KiB fit with 15 "
        "mates, 400 bytes with 9,999.",
        1 << 40,
        "too-large",
        262_144,  # the empty payload then fits in every set
    )
    timeout_s_max: int = _limit(
        31_622_400,
        "Seconds of a timeout: a leap year, because a longer timeout is a mistake in the unit.",
        316_224_000,
        "bad-parameter",
    )
    linger_s_max: int = _limit(
        3_600,
        "Seconds of a linger: an offer may be pending for so long without a connection.",
        31_622_400,
        "bad-parameter",
        lowest=10,
    )

    # --- one machine ---------------------------------------------------------------------------------------

    pending_offers_max: int = _limit(
        100_000,
        "Pending offers in all namespaces; the limit on open files may lower it. About 27 KB each.",
        1_000_000,
        "full",
    )
    pending_bytes_max: int = _limit(
        536_870_912,
        "Size of all pending offers: the bytes of their payloads, the characters of their other parameters, and a "
        "constant for each word. Half a gigabyte, so that they do not fill the memory of a small host.",
        1 << 40,
        "full",
    )
    pending_per_namespace_max: int = _limit(
        100_000,
        "Pending offers in one namespace; the default is the same as for all namespaces.",
        1_000_000,
        "quota",
    )
    pending_per_token_max: int = _limit(
        100_000,
        "Pending offers of one token; the default is the same as for all tokens.",
        1_000_000,
        "quota",
    )
    namespaces_max: int = _limit(
        10_000,
        "Namespaces that are kept: those with pending offers, and those with a trace, whose last sync number must be "
        "kept. At the limit the oldest namespace without pending offers is forgotten; the sync numbers of later new "
        "namespaces start above its last one.",
        1_000_000,
        "full",
    )
    search_steps_max: int = _limit(
        20_000,
        "Steps of the search for one arrival, each of about half a microsecond to one. To examine an offer, or a class "
        "of equal offers, takes a few, more where labels or selectors are many. Where a large set is possible, so many "
        "again for each 1,000 of its parties, twice what the last party of a barrier takes. At the limit the offer "
        "stays pending, and the miss is counted, logged and visible (G3).",
        100_000_000,
        "The offer stays pending.",
        10,  # enough for a pair of ordinary offers, which takes 2
    )
    outcome_ttl_s: int = _limit(
        600,
        "Seconds for which the outcome of an offer with an id is kept, to be sent again (G7); also `--outcome-ttl`.",
        86_400,
        "The outcome is forgotten.",
    )
    outcomes_max: int = _limit(
        100_000,
        "Offers with an id whose outcomes are kept. The oldest is forgotten first: of the client (token, else "
        "namespace) that has more than an equal share, otherwise of all. The latest is always kept.",
        10_000_000,
        "The oldest outcome is forgotten.",
    )
    outcomes_bytes_max: int = _limit(
        268_435_456,
        "Size of the kept outcomes, counted as for pending offers: a quarter of a gigabyte, shared like their number.",
        1 << 40,
        "The oldest outcome is forgotten.",
    )

    trace_syncs_max: int = _limit(
        10_000,
        "Syncs in the traces of all namespaces; also `--trace-keep`.",
        10_000_000,
        "The oldest sync is forgotten.",
    )
    trace_bytes_max: int = _limit(
        67_108_864,
        "Size of the syncs in all traces, counted as for pending offers.",
        1 << 40,
        "The oldest sync is forgotten.",
    )

    # --- one request ---------------------------------------------------------------------------------------

    url_bytes_max: int = _limit(
        16_384,
        "Bytes of the query of a request: enough for the longest selector with every character escaped.",
        65_000,
        "url-too-long",
    )
    parameters_max: int = _limit(
        256,
        "Parameters of one request, each repetition counted: enough for the largest choice and all other parameters.",
        10_000,
        "too-large",
    )
    body_bytes_max: int = _limit(
        524_288,
        "Bytes of a body: enough for the largest payload with every character escaped as two.",
        67_108_864,
        "too-large",
    )
    bodies_bytes_max: int = _limit(
        67_108_864,
        "Bytes of all bodies over 16 KiB that are being received at once, because granian collects bodies in memory. "
        "One client may have a quarter of them.",
        1 << 40,
        "busy",
    )
    client_steps_per_s: int = _limit(
        50_000,
        "Steps that one client (its token, or else its address) may take each second, over a longer time. Only "
        "requests that take 256 steps or more count, and refused ones with 50 steps; ordinary requests are free. A "
        "step is half a microsecond to one: a client may use a twentieth of a core for requests that take long.",
        1_000_000_000,
        "rate-limited",
    )
    client_steps_max: int = _limit(
        100_000,
        "Steps that one client may take at once, after a time in which it took none.",
        1_000_000_000,
        "rate-limited",
    )
    yaml_bytes_max: int = _limit(
        16_384,
        "Bytes of a body in YAML, which takes very much longer to read than JSON: at most about 70 ms. "
        "JSON has no limit but that of all bodies.",
        67_108_864,
        "too-large",
    )
    yaml_answer_bytes_max: int = _limit(
        65_536,
        "Bytes, as JSON, of an answer that is written as YAML: at most about 130 ms.",
        67_108_864,
        "The answer is JSON, as its `Content-Type` says.",
    )
    body_read_s_max: int = _limit(
        30,
        "Seconds for reading a body: a client that does not send its body keeps a connection for so long.",
        3_600,
        "slow-body",
    )
    head_read_s_max: int = _limit(
        10,
        "Seconds for reading the head of a request, from the opening of the connection or the end of the previous "
        "response; so it is also how long a connection may be idle between requests.",
        3_600,
        "The connection is closed.",
    )
    head_bytes_max: int = _limit(
        131_072,
        "Bytes of the first line and the headers together, at least 8,192; twice the longest URL. Granian reads more "
        "at once, so the limit is exact to about 100 KB only. More than 100 headers get 431 too.",
        16_777_216,
        "431, by granian.",
        8_192,
    )
    requests_per_connection_max: int = _limit(
        1_000_000,
        "Requests after which a connection is closed, so that no client keeps one for ever and a load balancer can "
        "distribute clients again.",
        1_000_000_000,
        "The connection is closed after the response.",
    )
    readers_max: int = _limit(
        1_000,
        "Readers of the live trace at once. Each has two open files, and all of them share what the server sends.",
        100_000,
        "busy",
    )


LIMITS: Final = Limits()
"""The default limits."""

LABEL_NAME_CHARACTERS_MAX: Final = 63
"""Characters of a label value, and of the name part of a key: the limit of Kubernetes."""

LABEL_PREFIX_CHARACTERS_MAX: Final = 253
"""Characters of the prefix part of a label key: the limit of Kubernetes for a DNS subdomain."""

ID_CHARACTERS_MAX: Final = 128
"""Characters of an id: enough for a readable name and a UUID. An id is sent in a header."""

REASON_CHARACTERS_MAX: Final = 1_024
"""Characters of the reason of an abort: enough for a sentence and a URL."""

LINGER_NAMED_S: Final = 10.0
"""The default linger, in seconds, of an offer with an id (semantics.md)."""

WORD_BYTES: Final = 64
"""What a word of an offer weighs in addition to its characters: about what Python adds to a short text."""

MATES_UNBOUNDED: Final = 1 << 60
"""The most mates of an offer whose payload fits in every sync."""

NAME_BYTES: Final = WORD_BYTES + LABEL_NAME_CHARACTERS_MAX
"""What a name weighs, whatever its length."""

OFFER_BYTES: Final = WORD_BYTES + 3 * NAME_BYTES
"""What every offer weighs: the offer, its event without its characters, its actor and its label `actor`."""

PARTIES_PER_SEARCH: Final = 1_000
"""For each so many parties of the largest set that is possible, an arrival may take `search_steps_max` steps again."""

CHARGED_STEPS_MIN: Final = 256
"""An offer that takes fewer steps is not charged to its client: far more than an ordinary one takes."""

SCANNED_OFFERS_MAX: Final = 16
"""Pending offers of one event that are compared one by one; more are indexed (see `matching.py`)."""

SMALL_OFFER_BYTES: Final = 1_536
"""A larger offer, without its payload, is indexed at once: about a dozen words more than every offer has."""

OUTCOMES_FORGOTTEN_AT_ONCE_MAX: Final = 64
"""Offers whose outcomes one command forgets because of their age: more than one command adds on average."""

EXPLANATION_STEPS_MAX: Final = 10_000
"""Steps of the work that says who was present when an offer timed out, or why one is pending: some milliseconds."""

PRESENT_OFFERS_MAX: Final = 100
"""Offers that are examined to report which actors were present when an offer timed out."""

DEPARTED_S: Final = 600
"""Seconds for which an event remembers who left it without a sync: as long as the outcome of an offer with an id."""

DEPARTURES_PER_EVENT_MAX: Final = 1_000
"""Actors that an event remembers to have left it: more than a report can name."""

DEPARTURES_MAX: Final = 2_000
"""Actors that all events remember together: about a megabyte."""

MOMENT_S: Final = 1
"""Seconds within which members of one roster time out together, and count as present for each other."""

MOMENT_SHARE: Final = 10
"""Or within one part in so many of their timeout: who waits a minute may have come some seconds after the others."""

NAMES_SAID_MAX: Final = 20
"""Names that a sentence lists; of the others it says how many they are."""

EXPLAINED_OFFERS_MAX: Final = 100
"""Other offers that an explanation lists: more than a person reads."""

REASONS_MAX: Final = 5
"""Reasons that the outcome of an offer that timed out lists: what a person takes in at a glance."""

RELATIONS_MAX: Final = 10
"""Other offers that are compared for them."""

REASONS_STEPS_MAX: Final = 500
"""Steps of the work for them, a fraction of a millisecond: many offers may time out together."""

EXPLAINED_STEPS_MAX: Final = 50_000
"""Steps of one page of `/explain`: what a client may take in a second, as `client_steps_per_s` says by default."""

CIRCLES_MAX: Final = 10
"""Circles of actors that wait for each other that are reported at once."""

ELSEWHERE_LOOKUPS_MAX: Final = 10_000
"""Events times namespaces that are looked up for offers in other namespaces: about a millisecond."""

NEAR_EVENTS_MAX: Final = 3
"""Similar names of events that an explanation lists, in case the event was mistyped."""

PAGE_BYTES_MAX: Final = 1_048_576
"""Size of the items of one page of `/stats` or `/trace`, counted as for pending offers; a single item may be larger.
Encoding so much takes some milliseconds."""

NESTING_MAX: Final = 64
"""Levels of nesting of a JSON or YAML body: decoders and encoders are recursive."""
