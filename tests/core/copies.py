"""Copies of commands and snapshots that share no offer with the original, as a log makes them.

`copy.deepcopy` cannot copy the classes that mypyc compiles.
"""

from dataclasses import replace
from typing import TypeVar

from syncnet.core.commands import Command, Offer
from syncnet.core.effects import Remembered, Synced
from syncnet.core.snapshot import Snapshot

C = TypeVar("C", bound=Command)


def copy_of(command: C) -> C:
    """Return a copy of an offer; other commands never change, and are returned as they are."""
    if not isinstance(command, Offer):
        return command
    offer = command
    made = type(offer)(offer.spec, offer.id, offer.at_ns, offer.payload, offer.payload_bytes, offer.named)
    made.arrival, made.asked = offer.arrival, offer.asked
    return made


def copy_of_outcome(outcome: Remembered) -> Remembered:
    if isinstance(outcome, Synced):
        members = tuple(copy_of(member) for member in outcome.members)
        return Synced(outcome.at_ns, outcome.namespace, outcome.event, outcome.sync, members)
    return replace(outcome, offer=copy_of(outcome.offer))


def copy_of_snapshot(snapshot: Snapshot) -> Snapshot:
    return replace(
        snapshot,
        namespaces=tuple(replace(each, pending=tuple(map(copy_of, each.pending))) for each in snapshot.namespaces),
        outcomes=tuple(map(copy_of_outcome, snapshot.outcomes)),
    )
