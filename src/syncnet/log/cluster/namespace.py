"""The log of one namespace of a cluster: one order of entries, which every node that takes part applies alike.

Theory of operation. Commands are queued, and many of them make one entry. One entry of a node is on its way at a time;
what is appended meanwhile makes the next. An entry is delivered when it comes back from the stream, in its order, and
only then have its commands happened. Entries of other nodes come in the same order and are applied without waiters.

Laws

1. What an entry does depends on the entries before it and on its time in the stream, and on nothing else.
2. The entries of a node are numbered. One that does not follow the last of its node has no effect: it was published
   twice, because an acknowledgement was lost. So a publication may be repeated until its outcome is known.
3. After `NodeLost` in the log, entries of that node have no effect. A node that is lost publishes what had none again,
   under its new name.
4. A node publishes when it has the whole state, a lease, and has looked which nodes are lost: otherwise an offer could
   sync with one whose node was lost long ago, and a snapshot could hold entries of the node that it still waits for.
5. Each entry has the digest of its node's state at some position. A node whose state has another digest there does not
   serve on: it ends all waits and makes its state anew, from the snapshot and the entries.
6. A snapshot takes the place of the entries before it. They are purged when the snapshot after it is saved, and not
   before `_KEPT_NS`: a node that was paused for longer has lost its lease.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from syncnet.core.commands import Claim, Command, NodeLost, Offer
from syncnet.core.snapshot import Snapshot
from syncnet.errors import ClusterError, RetryableError
from syncnet.log import LogConsumer, Replica
from syncnet.log.cluster.backoff import Backoff
from syncnet.log.cluster.batch import Batch
from syncnet.log.cluster.digests import Digests
from syncnet.log.cluster.entries import (
    Message,
    commands_of,
    message_from,
    message_of,
    snapshot_of,
    state_from,
    state_of,
)
from syncnet.log.cluster.stream import Entry, Following, Saved, StreamError

if TYPE_CHECKING:
    from syncnet.log.cluster.node import Node

__all__ = ["SNAPSHOT_COMMANDS", "NamespaceLog"]

_log = logging.getLogger("syncnet")

_BATCH_COMMANDS_MAX: Final = 1_000
_COMMAND_BYTES: Final = 1_024
"""What a command counts for in an entry, without its weight."""
SNAPSHOT_COMMANDS: Final = 10_000
"""Commands between two snapshots: few enough that they are applied in well under a second."""
_KEPT_NS: Final = 60_000_000_000
_LOST_KEPT_NS: Final = 3_600_000_000_000
"""For how long it is remembered that a node was lost; no entry of it can be on its way that long."""
_RETRY_S: Final = 0.5
_STUCK_NS: Final = 3_000_000_000
"""After so long without an outcome of a publication, what is appended is refused."""


class NamespaceLog:
    """The log of one namespace, for one node. A `Log`; everything but `append` is on the thread of the loop."""

    def __init__(self, node: Node, namespace: str, snapshot_commands: int = SNAPSHOT_COMMANDS) -> None:
        self.namespace = namespace
        self.is_ready: bool = False
        """All entries have been applied that were there when this node began to take part."""
        self._node = node
        self._snapshot_commands = snapshot_commands
        self._queue: deque[Command] = deque()
        self._batches: deque[Batch] = deque()  # under the present name of the node; at most the last is not stored
        self._stale: deque[Batch] = deque()  # under names of this node that are lost
        self._is_scheduled = self._is_closed = False
        self._problem: ClusterError | None = None
        self._backoff = Backoff()
        self._following: Following | None = None
        self._when_ready: list[Callable[[RetryableError | None], None]] = []
        self._reset()

    def _reset(self) -> None:
        self.position: int = 0
        self.at_ns: int = 0
        self.batches: dict[str, int] = {}
        """The number of the last entry of each node that takes part."""
        self._lost: dict[str, int] = {}
        self._older: list[tuple[int, int]] = []
        self._digests = Digests()
        self._synced = 0  # the number of the last sync that is in the digest
        self._applied_ns = 0  # on the monotonic clock
        self._commands = 0  # since the last snapshot
        self._saved_position = self._revision = 0
        self._is_saving = self._has_begun = False  # has begun to publish
        self.is_ready = False

    # --- what the consumer calls ---------------------------------------------------------------------------

    def open(self, consumer: LogConsumer) -> None:
        """Load the snapshot and the entries after it, soon, and begin to deliver."""
        self._consumer = cast(Replica, consumer)
        self._node.scheduler.soon(self._load)

    def append(self, command: Command) -> None:
        """Put a command at the end; it is delivered when it comes back from the stream, or refused."""
        problem = self._problem or self._node.problem or self._stuck()
        if problem is not None:
            self._consumer.refuse(command, problem)
            return
        self.enqueue(command)

    def enqueue(self, command: Command) -> None:
        """Put a command at the end that follows from an entry; it is refused only where a problem lasts."""
        self._queue.append(command)
        self.wake()

    def undelivered(self) -> list[Command]:
        """Return the commands that were appended and are neither delivered nor refused."""
        published = [command for batch in (*self._stale, *self._batches) for command in batch.commands]
        return [*published, *self._queue]

    def on_disk(self) -> None:
        """Return None: nothing is on the disk of this server."""

    def close(self) -> None:
        """Stop. What is on its way may still happen; nobody is here to see it."""
        self._is_closed = True
        self._stop_following()

    def time_ns(self) -> int:
        """Return the time of the log: that of its last entry, and what has passed since."""
        if not self.at_ns:
            return self._node.scheduler.time_ns()
        return self.at_ns + self._node.scheduler.monotonic_ns() - self._applied_ns

    @property
    def digest(self) -> bytes:
        """The digest of the state."""
        return self._digests.latest

    @property
    def node_name(self) -> str:
        """The present name of this node."""
        return self._node.name

    def is_own(self, name: str) -> bool:
        """Return whether this node has or had that name."""
        return name in self._node.names

    def when_ready(self, ready: Callable[[RetryableError | None], None]) -> None:
        """Call `ready` once the state is complete, or with the error because of which it is not."""
        if self.is_ready:
            ready(None)
        elif self._problem or self._node.problem:
            ready(self._problem or self._node.problem)
        else:
            self._when_ready.append(ready)

    def when_ready_at_last(self, ready: Callable[[RetryableError | None], None]) -> None:
        """Call `ready` once the state is complete, whatever hinders that now."""
        self._when_ready.append(ready)

    # --- what the node calls -------------------------------------------------------------------------------

    def wake(self) -> None:
        """Publish what is queued, soon; any thread may call, with the lock of the consumer."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._node.scheduler.soon(self._publish_next)

    def renamed(self, old: str) -> None:
        """Note that the node had the name `old` until now: what it published may have no effect."""
        with self._consumer.lock:
            self._stale += [batch for batch in self._batches if batch.node == old]
            self._batches = deque([batch for batch in self._batches if batch.node != old])
            self._has_begun = False

    def enter_loss(self, name: str) -> None:
        """Queue the loss of a node, before all else."""
        with self._consumer.lock:
            if not any(isinstance(command, NodeLost) and command.node == name for command in self._queue):
                self._queue.appendleft(NodeLost(self.time_ns(), self.namespace, name, self._node.name))
                self.wake()

    def begin(self) -> None:
        """Publish from now on: the losses that were seen are queued before all else."""
        if self.is_ready and not self._has_begun:
            self._has_begun = True
            self.wake()

    def give_up(self, error: RetryableError) -> None:
        """Refuse what is queued, and end the waits for what is on its way: that may have happened, or happen later."""
        with self._consumer.lock:
            commands, self._queue = self._queue, deque()
            on_their_way = [command for batch in (*self._stale, *self._batches) for command in batch.commands]
            for command in (*[each for each in on_their_way if each.waiter is not None], *commands):
                self._consumer.refuse(command, error)
            waiting, self._when_ready = self._when_ready, []
        for ready in waiting:
            ready(error)

    # --- publishing ----------------------------------------------------------------------------------------

    def _stuck(self) -> ClusterError | None:
        """Return an error where the last entry is on its way for so long that the stream must be at fault."""
        last = self._batches[-1] if self._batches else None
        if last is None or last.is_stored or self._node.scheduler.monotonic_ns() - last.sent_ns < _STUCK_NS:
            return None
        return ClusterError("the log of the cluster does not take entries")

    def _publish_next(self) -> None:
        with self._consumer.lock:
            self._is_scheduled = False
            if self._is_closed or not (self._has_begun and self._node.may_publish):
                return
            if self._batches and not self._batches[-1].is_stored:
                return
            self._enter_own_losses()
            batch = self._next_batch()
        if batch is not None:
            self._send(batch)

    def _enter_own_losses(self) -> None:
        """Queue the losses of the names that this node had: its entries are then published again, or have no effect."""
        names = self._node.names - {self._node.name}
        former = {batch.node for batch in self._stale} | (names & self.batches.keys())
        for name in sorted(former):
            self.enter_loss(name)

    def _next_batch(self) -> Batch | None:
        """Return the next entry, made of as many queued commands as fit in."""
        left = self._node.stream.entry_bytes_max
        commands: list[Command] = []
        while self._queue and len(commands) < _BATCH_COMMANDS_MAX:
            left -= _COMMAND_BYTES + (self._queue[0].weight_bytes if isinstance(self._queue[0], Offer) else 0)
            if left < 0 and commands:
                break
            commands.append(self._queue.popleft())
        if not commands:
            return None
        node, number = self._node.name, self._node.next_batch()
        data = message_of(node, number, self.position, self.digest, self._saved_position, commands)
        if len(data) > self._node.stream.entry_bytes_max:
            error = ClusterError(f"expected an entry of at most {self._node.stream.entry_bytes_max} bytes: NATS' limit")
            for command in commands:
                self._consumer.refuse(command, error)
            self.wake()
            return None
        self._node.entries_total += 1
        self._node.commands_total += len(commands)
        batch = Batch(node, number, commands, data, self._node.scheduler.monotonic_ns())
        self._batches.append(batch)
        return batch

    def _send(self, batch: Batch) -> None:
        if batch in self._batches and not batch.is_stored and not self._is_closed:
            entry_id = f"{self.namespace}.{batch.node}.{batch.number}"
            self._node.stream.publish(self.namespace, entry_id, batch.data, partial(self._published, batch))

    def _published(self, batch: Batch, error: StreamError | None) -> None:
        if batch not in self._batches:  # delivered already, or its node was renamed
            return
        if error is None:
            batch.is_stored = True
        elif error.is_certain and not batch.is_unknown:
            with self._consumer.lock:
                self._batches.remove(batch)
                problem = ClusterError(f"the log of the cluster took no entry ({error}); it has not happened")
                for command in batch.commands:
                    self._consumer.refuse(command, problem)
        else:
            batch.is_unknown = True
            stuck = self._stuck()
            if stuck is not None:
                self.give_up(stuck)
            self._node.scheduler.later(_RETRY_S, partial(self._send, batch))
            return
        with self._consumer.lock:
            if self._queue:
                self.wake()

    # --- following: what the stream calls (see Follower) ---------------------------------------------------

    def entry(self, entry: Entry) -> None:
        """Apply the next entry."""
        if entry.position <= self.position or self._is_closed:
            return
        try:
            message = message_from(entry.data)
            with self._consumer.lock:
                self._apply(entry, message)
        except ClusterError as error:
            self._fail(error)
            return
        except Exception:
            _log.exception("a bug: an entry of the namespace %s could not be applied", self.namespace)
            self._fail(ClusterError("a bug in syncnet stopped this namespace on this node; its log has the details"))
            return
        if message.saved > self._saved_position:
            self._saved_position, self._commands = message.saved, 0
        if self._digests.differ(message.position, message.digest):
            self.broken(f"the state of the node {message.node} differs at the position {message.position}")
        else:
            self._save_if_due(is_own=message.node == self._node.name)

    def caught_up(self) -> None:
        """Note that the state is complete."""
        if not self.is_ready and self.position == 0:
            self._node.stream.load(self.namespace, self._checked_empty)
        else:
            self._become_ready()

    def broken(self, reason: str) -> None:
        """End all waits, and make the state anew."""
        _log.error("the state of the namespace %s is made anew: %s", self.namespace, reason)
        self._node.rebuilds_total += 1
        self._stop_following()
        error = ClusterError("this node makes its state anew; ask again by the id")
        with self._consumer.lock:
            self._consumer.abandon(error)
            for waiting in (self._queue, self._batches, self._stale):
                waiting.clear()
            self._reset()
            self._consumer.restore(Snapshot(self._consumer.snapshot().limits, 0, (), (), ()))
        self._node.rename()  # so that the offers whose waits were ended here are withdrawn
        self._problem = error
        self._node.scheduler.later(self._backoff.delay_s(self._node.scheduler.monotonic_ns()), self._load)

    # --- inside: applying ----------------------------------------------------------------------------------

    def _apply(self, entry: Entry, message: Message) -> None:
        """Apply the commands of an entry, those of this node as the objects that were appended."""
        own = self._take_own(message)
        self.position, self.at_ns = entry.position, max(self.at_ns, entry.at_ns)
        self._applied_ns = self._node.scheduler.monotonic_ns()
        if message.node in self._lost:
            if own is not None:
                self._publish_again(own)
            return
        if message.batch <= self.batches.get(message.node, 0):
            return
        self.batches[message.node] = message.batch
        apply = self._consumer.follow if own is None else self._consumer.deliver
        for command in commands_of(message) if own is None else own.commands:
            self._complete(command, message.node)
            apply(command)
            self._commands += 1
            if isinstance(command, NodeLost):
                self._note_lost(command)
        self._synced, fingerprint = self._consumer.fingerprint(self.namespace, self._synced)
        self._digests.add(self.position, fingerprint)

    def _complete(self, command: Command, node: str) -> None:
        """Set what only the log says: the time, and the node, which may have been renamed since the command was made.

        A node that leaves names no other: the first node that takes part adopts its offers.
        """
        command.at_ns = self.at_ns
        if isinstance(command, Offer | Claim):
            command.node = node
        elif isinstance(command, NodeLost):
            command.by = "" if command.node == node else node

    def _publish_again(self, batch: Batch) -> None:
        """Queue the commands of an entry that had no effect, before all others."""
        self._queue.extendleft(reversed(batch.commands))
        self.wake()

    def _take_own(self, message: Message) -> Batch | None:
        for batches in (self._batches, self._stale):
            for batch in batches:
                if batch.node == message.node and batch.number == message.batch:
                    batches.remove(batch)
                    if self._queue:
                        self.wake()
                    return batch
        return None

    def _note_lost(self, lost: NodeLost) -> None:
        self.batches.pop(lost.node, None)
        if lost.node:
            self._lost[lost.node] = self.at_ns
        self.batches.setdefault(lost.by, 0)
        for node, at_ns in list(self._lost.items()):
            if self.at_ns - at_ns > _LOST_KEPT_NS:
                del self._lost[node]
        if lost.node == self._node.name:
            self._node.rename()
        for batch in [batch for batch in reversed(self._stale) if batch.node == lost.node]:
            self._stale.remove(batch)
            self._publish_again(batch)

    def _become_ready(self) -> None:
        self.is_ready = True
        waiting, self._when_ready = self._when_ready, []
        for ready in waiting:
            ready(None)
        self._node.look_for_losses()

    # --- inside: loading -----------------------------------------------------------------------------------

    def _load(self) -> None:
        self._problem = None
        self._node.stream.load(self.namespace, self._loaded)

    def _loaded(self, saved: Saved | StreamError | None) -> None:
        if self._is_closed or self._following is not None:
            return
        if isinstance(saved, StreamError):
            self.give_up(ClusterError("the state of the namespace cannot be loaded"))
            self._node.scheduler.later(_RETRY_S, self._load)
            return
        if saved is not None:
            try:
                self._restore(saved)
            except ClusterError as error:
                self._fail(error)
                return
        self._following = self._node.stream.follow(self.namespace, self.position, self)

    def _restore(self, saved: Saved) -> None:
        state = state_from(saved.data)
        with self._consumer.lock:
            self._consumer.restore(snapshot_of(state))
            self._consumer.leave_elsewhere()
            self.position, self.at_ns = state.position, state.at_ns
            self.batches, self._lost, self._older = state.batches, state.lost, state.older
            self._applied_ns = self._node.scheduler.monotonic_ns()
            self._saved_position, self._revision = state.position, saved.revision
            self._digests = Digests(state.position, state.digest)
            self._synced, _ = self._consumer.fingerprint(self.namespace, 0)
        if self._node.name in self._lost:
            self._node.rename()

    def _checked_empty(self, saved: Saved | StreamError | None) -> None:
        """Go on with no state, or make it anew: the first entries may have been purged after the first look."""
        if isinstance(saved, StreamError):
            self._node.scheduler.later(_RETRY_S, self.caught_up)
        elif saved is None or self.position > 0:
            self._become_ready()
        else:
            self.broken("a snapshot was saved while the entries before it were loaded")

    def _stop_following(self) -> None:
        if self._following is not None:
            self._following.stop()
            self._following = None

    def _fail(self, error: ClusterError) -> None:
        """Serve this namespace no more: its log cannot be read."""
        _log.error("the namespace %s is not served any more: %s", self.namespace, error)
        self._problem = error
        self._stop_following()
        with self._consumer.lock:
            self._consumer.abandon(error)
        self.give_up(error)

    # --- inside: snapshots ---------------------------------------------------------------------------------

    def _save_if_due(self, *, is_own: bool) -> None:
        due = self._snapshot_commands if is_own else 2 * self._snapshot_commands
        if self._commands < due or self._is_saving or not self.is_ready:
            return
        self._is_saving = True
        older = [*self._older, (self.position, self.at_ns)][-4:]
        with self._consumer.lock:
            snapshot = self._consumer.snapshot()
            past = self.batches, self._lost, older
            data = state_of(self.position, self.at_ns, self.digest, *past, snapshot)
        self._commands = 0
        saved = partial(self._saved, self.position, older)
        self._node.stream.save(self.namespace, data, self._revision, saved)

    def _saved(self, position: int, older: list[tuple[int, int]], revision: int | StreamError) -> None:
        self._is_saving = False
        if isinstance(revision, StreamError):  # another node was first, or the stream cannot be reached
            self._node.stream.load(self.namespace, self._note_revision)
            return
        self._saved_position, self._revision, self._older = position, revision, older
        enough = [each for each, at_ns in older[:-1] if self.at_ns - at_ns > _KEPT_NS]
        if enough:
            self._node.stream.purge(self.namespace, enough[-1])

    def _note_revision(self, saved: Saved | StreamError | None) -> None:
        if isinstance(saved, Saved):
            state = state_from(saved.data)
            self._revision, self._older = saved.revision, state.older
            self._saved_position = max(self._saved_position, state.position)
