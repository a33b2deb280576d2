"""Every bound, with its unit and its reason.

The unit is the end of the name. A bound is part of the contract between the nodes of a cluster: two nodes with
different ones would take different decisions, so none of those that the core reads is an option.
"""

from __future__ import annotations

from typing import Final

# --- one offer ---------------------------------------------------------------------------------------------

MATES_MAX: Final = 9_999
"""Mates: barriers of ten thousand parties are the largest that are measured (docs/benchmarks.md)."""

EVENT_CHARACTERS_MAX: Final = 256
"""Characters of an event: a readable name with room for a path or an address; it is a word of every log line."""

EVENTS_PER_OFFER_MAX: Final = 64
"""Events of one choice: every one of them is searched on arrival."""

EVENTS_CHARACTERS_MAX: Final = 2_048
"""Characters of all events of one choice: it is told under each of them."""

LABELS_PER_OFFER_MAX: Final = 64
"""Labels of one offer. Kubernetes bounds only the bytes of all annotations; 64 is far above what is used."""

LABEL_NAME_CHARACTERS_MAX: Final = 63
"""Characters of a label value, and of the name part of a key: Kubernetes' own bound."""

LABEL_PREFIX_CHARACTERS_MAX: Final = 253
"""Characters of the prefix part of a label key: Kubernetes' own bound, that of a DNS subdomain."""

SELECTOR_CHARACTERS_MAX: Final = 4_096
"""Characters of a selector: parsing and evaluating are linear in it, and every comparison may evaluate it."""

PAYLOAD_BYTES_MAX: Final = 262_144
"""Bytes of one payload, as JSON text. Meant for addresses, offers and answers, not for files."""

TIMEOUT_S_MAX: Final = 31_622_400
"""Seconds of a timeout: a leap year, because a longer one is a mistake in the unit."""

# --- one machine -------------------------------------------------------------------------------------------

PENDING_OFFERS_MAX: Final = 100_000
"""Offers that are pending at once, over all namespaces: about 27 KB each for the connection alone."""

PENDING_BYTES_MAX: Final = 536_870_912
"""What all pending offers weigh together: half a gigabyte, so that they cannot fill a small host. An offer weighs the
bytes of its payload and the characters of all else that its client chose, and some for each word of it."""

WORD_BYTES: Final = 64
"""What a word of an offer weighs beside its characters: about what Python adds to a short text."""

NAMESPACES_MAX: Final = 10_000
"""Namespaces that are remembered: those with pending offers, and those with a trace, whose last number is kept. Where
there are more, the eldest in which nobody waits is forgotten; the next that is new begins its numbers above it."""

SEARCH_STEPS_MAX: Final = 100_000
"""Steps of the search for one arrival; a step is one look at an offer or a kind of offers. It is some
tenths of a second at worst, and five times what the last party of the largest barrier takes. Where it is hit the offer
stays pending, and the miss is counted, logged and visible (G3)."""

PRESENT_OFFERS_MAX: Final = 100
"""Offers that are looked at to say who was present when an offer timed out."""

EXPLAINED_OFFERS_MAX: Final = 100
"""Other offers that an explanation speaks of: more than anybody reads."""

NEAR_EVENTS_MAX: Final = 3
"""Names of events that an explanation takes for mistyped ones."""

EVENTS_COMPARED_MAX: Final = 1_000
"""Names of events that are compared with an offer's own for that; one comparison is some ten microseconds."""

# --- one request -------------------------------------------------------------------------------------------

BODY_BYTES_MAX: Final = 524_288
"""Bytes of the body of a request: a payload of the largest size with every character escaped as two."""

BODY_READ_S_MAX: Final = 30.0
"""Seconds in which a body must have arrived: a client that sends none holds a connection, and no longer than this."""

PARAMETERS_MAX: Final = 256
"""Parameters of one request, repetitions counted: above the events of the largest choice and all the others."""

NESTING_MAX: Final = 64
"""Levels of nesting of a JSON or YAML body: decoders and encoders are recursive."""
