"""Planted bugs: each breaks one rule of the cluster's code, and the simulator has to find it.

Those in compiled modules can be planted on pure Python only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from syncnet.coordinator.coordinator import Coordinator
from syncnet.coordinator.replica import ReplicaCoordinator
from syncnet.core.commands import Claim, Command, Offer
from syncnet.core.machine import Machine
from syncnet.core.snapshot import Snapshot
from syncnet.log.cluster import namespace as namespace_module
from syncnet.log.cluster.batch import Batch
from syncnet.log.cluster.entries import Message, State, snapshot_of, state_from
from syncnet.log.cluster.namespace import NamespaceLog
from syncnet.log.cluster.stream import Entry, StreamError
from syncnet.testing.simulator.stream import _Following


class Plant(NamedTuple):
    """A bug, and a seed a little before the first that finds it, where a test begins to look."""

    apply: Callable[[pytest.MonkeyPatch], None]
    first_seed: int = 0


def entries_of_lost_nodes_count(patch: pytest.MonkeyPatch) -> None:
    note_lost = NamespaceLog._note_lost

    def forget(self: NamespaceLog, lost: Any) -> None:
        note_lost(self, lost)
        self._lost.clear()

    patch.setattr(NamespaceLog, "_note_lost", forget)


def duplicates_count(patch: pytest.MonkeyPatch) -> None:
    apply = NamespaceLog._apply

    def forget(self: NamespaceLog, entry: Entry, message: Message) -> None:
        if message.node in self.batches:
            self.batches[message.node] = message.batch - 1
        apply(self, entry, message)

    patch.setattr(NamespaceLog, "_apply", forget)


def a_loss_withdraws_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Machine, "_lose", lambda _self, _command: [])


def others_ignore_claims(patch: pytest.MonkeyPatch) -> None:
    follow = ReplicaCoordinator.follow

    def ignore(self: ReplicaCoordinator, command: Command) -> None:
        if not isinstance(command, Claim):
            follow(self, command)

    patch.setattr(ReplicaCoordinator, "follow", ignore)


def no_offer_lingers(patch: pytest.MonkeyPatch) -> None:
    def withdraw(self: Coordinator, offer: Offer) -> None:
        offer.waiter = None
        self._withdraw_abandoned(offer)

    patch.setattr(Coordinator, "_linger", withdraw)


def what_had_no_effect_is_not_published_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NamespaceLog, "_publish_again", lambda _self, _batch: None)


def an_uncertain_publication_is_taken_for_a_failed_one(patch: pytest.MonkeyPatch) -> None:
    published = NamespaceLog._published

    def publish_again(self: NamespaceLog, batch: Batch, error: StreamError | None) -> None:
        if error is None or error.is_certain or batch not in self._batches:
            published(self, batch, error)
            return
        self._batches.remove(batch)
        self._publish_again(batch)

    patch.setattr(NamespaceLog, "_published", publish_again)


def two_entries_are_on_their_way(patch: pytest.MonkeyPatch) -> None:
    publish_next = NamespaceLog._publish_next

    def publish_at_once(self: NamespaceLog) -> None:
        last = self._batches[0] if len(self._batches) == 1 else None
        was_stored = last is None or last.is_stored
        if last is not None:
            last.is_stored = True
        publish_next(self)
        if last is not None:
            last.is_stored = was_stored

    patch.setattr(NamespaceLog, "_publish_next", publish_at_once)


def an_entry_counts_again_when_the_consumer_begins_anew(patch: pytest.MonkeyPatch) -> None:
    entry_came = NamespaceLog.entry

    def come_again(self: NamespaceLog, entry: Entry) -> None:
        if entry.position <= self.position:
            self.position = entry.position - 1
            self.batches = dict.fromkeys(self.batches, 0)
        entry_came(self, entry)

    patch.setattr(NamespaceLog, "entry", come_again)


def a_new_consumer_skips_entries(patch: pytest.MonkeyPatch) -> None:
    begin = _Following.begin

    def skip(self: _Following) -> None:
        begin(self)
        if self._position and len(self._coming) > 2:
            del self._coming[1]

    patch.setattr(_Following, "begin", skip)


def time_runs_backwards(patch: pytest.MonkeyPatch) -> None:
    apply = NamespaceLog._apply

    def forget(self: NamespaceLog, entry: Entry, message: Message) -> None:
        self.at_ns = 0
        apply(self, entry, message)

    patch.setattr(NamespaceLog, "_apply", forget)


def a_waiter_is_answered_before_the_entry_is_in_the_log(patch: pytest.MonkeyPatch) -> None:
    append = NamespaceLog.append

    def answer(self: NamespaceLog, command: Command) -> None:
        append(self, command)
        if isinstance(command, Offer):
            self._consumer.deliver(command)

    patch.setattr(NamespaceLog, "append", answer)


def a_node_publishes_before_it_is_loaded(patch: pytest.MonkeyPatch) -> None:
    append = NamespaceLog.append

    def begin(self: NamespaceLog, command: Command) -> None:
        self._has_begun = True
        append(self, command)

    patch.setattr(NamespaceLog, "append", begin)


def numbers_begin_anew_when_a_node_returns(patch: pytest.MonkeyPatch) -> None:
    init = NamespaceLog.__init__

    def begin(self: NamespaceLog, *args: Any) -> None:
        init(self, *args)
        self._node._batches_total = 0

    patch.setattr(NamespaceLog, "__init__", begin)


def a_name_that_is_lost_is_kept(patch: pytest.MonkeyPatch) -> None:
    def drop(self: NamespaceLog, _old: str) -> None:
        self._batches.clear()

    patch.setattr(NamespaceLog, "renamed", drop)


def entries_are_purged_that_are_needed(patch: pytest.MonkeyPatch) -> None:
    saved = NamespaceLog._saved

    def purge(self: NamespaceLog, position: int, older: Any, revision: int | StreamError) -> None:
        saved(self, position, older, revision)
        self._node.stream.purge(self.namespace, position + 1)

    patch.setattr(NamespaceLog, "_saved", purge)


def _snapshots_without(patch: pytest.MonkeyPatch, change: Callable[[State], None]) -> None:
    read = state_from

    def without(data: bytes) -> State:
        state = read(data)
        change(state)
        return state

    patch.setattr(namespace_module, "state_from", without)


def snapshots_lack_the_numbers_of_entries(patch: pytest.MonkeyPatch) -> None:
    _snapshots_without(patch, lambda state: state.batches.clear())


def snapshots_lack_the_lost_nodes(patch: pytest.MonkeyPatch) -> None:
    _snapshots_without(patch, lambda state: state.lost.clear())


def snapshots_lack_how_often_was_asked(patch: pytest.MonkeyPatch) -> None:
    read = snapshot_of

    def without(state: State) -> Snapshot:
        snapshot = read(state)
        for each in snapshot.namespaces:
            for offer in each.pending:
                offer.asked = 0
        return snapshot

    patch.setattr(namespace_module, "snapshot_of", without)


IN_THE_LOG = [
    Plant(entries_of_lost_nodes_count, 20),
    Plant(duplicates_count, 140),
    Plant(what_had_no_effect_is_not_published_again, 20),
    Plant(an_uncertain_publication_is_taken_for_a_failed_one, 90),
    Plant(two_entries_are_on_their_way),
    Plant(an_entry_counts_again_when_the_consumer_begins_anew),
    Plant(a_new_consumer_skips_entries),
    Plant(time_runs_backwards),
    Plant(a_waiter_is_answered_before_the_entry_is_in_the_log),
    Plant(a_node_publishes_before_it_is_loaded, 20),
    Plant(numbers_begin_anew_when_a_node_returns),
    Plant(a_name_that_is_lost_is_kept, 20),
    Plant(entries_are_purged_that_are_needed),
    Plant(snapshots_lack_the_numbers_of_entries),
    Plant(snapshots_lack_the_lost_nodes),
    Plant(snapshots_lack_how_often_was_asked, 120),
]
IN_COMPILED_MODULES = [
    Plant(a_loss_withdraws_nothing),
    Plant(others_ignore_claims),
    Plant(no_offer_lingers),
]
