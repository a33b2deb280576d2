"""The stream of a cluster on NATS JetStream. The only module that imports nats.

| in JetStream                         | what it holds                                                                |
| ------------------------------------ | ---------------------------------------------------------------------------- |
| streams `SYNCNET_<cluster>_<shard>`  | the entries; a namespace is one subject of one of them                       |
| bucket `SYNCNET_<cluster>_leases`    | a key for each node, which expires                                           |
| bucket `SYNCNET_<cluster>_snapshots` | for each namespace the head of its snapshot, and its parts; and the settings |

An entry is published with an id, so that JetStream leaves out one that is published again soon; the log itself leaves
out one that comes later. Entries are delivered by a consumer without acknowledgements that a node has for each of its
namespaces. It is made again, from the last entry on, where a number is missing or where no heartbeat comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
import zlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import NoRespondersError
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, BucketNotFoundError, KeyNotFoundError, NotFoundError
from nats.js.kv import KeyValue

from syncnet.errors import ClusterError
from syncnet.log.cluster.durability import Kept
from syncnet.log.cluster.node import lifetime_s
from syncnet.log.cluster.stream import Entry, Follower, Saved, StreamError

__all__ = ["JetStream"]

_log = logging.getLogger("syncnet")

_PUBLISH_S: Final = 2.0
_REQUEST_S: Final = 5.0
_CONNECT_S: Final = 2.0
_START_S: Final = 20.0
"""How long a start waits for NATS: it may start at the same time, and elect leaders."""
_HEARTBEAT_S: Final = 0.5
_HEARTBEATS_S_MAX: Final = 2.0
"""After so long without a heartbeat or an entry, the consumer is made again."""
_UNUSED_CONSUMER_S: Final = 30.0
_DUPLICATES_S: Final = 120.0
_PART_BYTES: Final = 524_288
_HEAD_BYTES: Final = 4_096
"""What a message needs in addition to the data of an entry."""
_SETTINGS: Final = "settings"

_encode: Final = msgspec.msgpack.Encoder().encode
_HEAD: Final = msgspec.msgpack.Decoder(tuple[str, int])


class JetStream:
    """The stream of one cluster (see `Stream`). Made by `connect`."""

    def __init__(self, client: Client, cluster: str, shards: int) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=_REQUEST_S)
        self._cluster = cluster
        self._shards = shards
        self._tasks: set[asyncio.Task[None]] = set()
        self._leases: KeyValue
        self._snapshots: KeyValue

    @classmethod
    async def connect(
        cls,
        urls: list[str],
        cluster: str,
        settings: dict[str, int],
        *,
        shards: int,
        lease_s: float,
        replicas: int | None = None,
        credentials: str | None = None,
    ) -> JetStream:
        """Connect to a cluster, and make what it needs in JetStream if that is not there.

        All nodes must have the same `settings` and `shards`: those of the first one are kept.

        :raises ClusterError: no server is reached, JetStream is off, or the settings differ.
        """
        try:
            client = await asyncio.wait_for(
                nats.connect(
                    urls,
                    name=f"syncnet {cluster}",
                    connect_timeout=int(_CONNECT_S),
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.2,
                    ping_interval=2,
                    max_outstanding_pings=2,
                    user_credentials=credentials,
                    error_cb=_report,
                ),
                _START_S,
            )
        except Exception as error:
            raise ClusterError(f"cannot connect to {', '.join(urls)}: {error!r}") from None
        stream = cls(client, cluster, shards)
        try:
            all_settings = settings | {"shards": shards, "lease_ms": round(lease_s * 1_000)}
            await stream._prepare_at_last(all_settings, lease_s, replicas)
        except BaseException:
            await client.close()
            raise
        return stream

    async def close(self) -> None:
        """End the connection, after what was published is sent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PUBLISH_S):
                await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._client.drain(), _PUBLISH_S)

    @property
    def replicas(self) -> int:
        """How many servers keep each entry."""
        return self._replicas

    @property
    def servers_total(self) -> int:
        """How many servers of NATS are known."""
        return len(self._client.servers)

    async def kept(self) -> list[Kept]:
        """Return how the streams are kept that hold entries and snapshots.

        :raises ClusterError: JetStream does not say it.
        """
        names = [self._name(shard) for shard in range(self._shards)]
        names.append(_stream_of_bucket(self._snapshots))
        try:
            configs = [(await self._js.stream_info(name)).config for name in names]
        except Exception as error:
            raise ClusterError(f"cannot read the settings of the streams: {error!r}") from None
        return [Kept(str(each.name), each.num_replicas or 1, each.storage == StorageType.FILE) for each in configs]

    # --- what the log calls (see Stream) -------------------------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether a server of NATS can be reached."""
        return bool(self._client.is_connected)

    @property
    def entry_bytes_max(self) -> int:
        """How long the data of an entry may be."""
        return int(self._client.max_payload) - _HEAD_BYTES

    def publish(self, namespace: str, entry_id: str, data: bytes, done: Callable[[StreamError | None], None]) -> None:
        """Store an entry, unless one of that id was stored in the last two minutes."""
        self._spawn(self._publish(namespace, entry_id, data, done))

    def follow(self, namespace: str, position: int, follower: Follower) -> _Consumer:
        """Deliver the entries from `position` on."""
        return _Consumer(
            self._client, self._js, self._stream_of(namespace), self._subject(namespace), position, follower
        )

    def load(self, namespace: str, done: Callable[[Saved | StreamError | None], None]) -> None:
        """Load the snapshot of a namespace."""
        self._spawn(_answer(self._load(_key(namespace)), done))

    def save(self, namespace: str, data: bytes, revision: int, done: Callable[[int | StreamError], None]) -> None:
        """Save a snapshot in place of the one of that revision."""
        self._spawn(_answer(self._save(_key(namespace), data, revision), done))

    def purge(self, namespace: str, position: int) -> None:
        """Remove the entries before `position`."""
        purging = self._js.purge_stream(self._stream_of(namespace), seq=position, subject=self._subject(namespace))
        self._spawn(_answer(purging, _ignore))

    def renew(self, node: str, done: Callable[[StreamError | None], None]) -> None:
        """Renew the lease of a node."""
        self._spawn(_answer(self._renew(node), done))

    def release(self, node: str) -> None:
        """End the lease of a node."""
        self._spawn(_answer(self._remove(self._leases, node), _ignore))

    def nodes(self, done: Callable[[frozenset[str] | StreamError], None]) -> None:
        """Return the nodes whose leases last."""
        self._spawn(_answer(self._nodes(), done))

    # --- inside --------------------------------------------------------------------------------------------

    def _stream_of(self, namespace: str) -> str:
        return self._name(self._shard(namespace))

    def _subject(self, namespace: str) -> str:
        return f"syncnet.{self._cluster}.{self._shard(namespace)}.{_key(namespace)}"

    def _name(self, part: int | str) -> str:
        return f"SYNCNET_{self._cluster}_{part}"

    def _shard(self, namespace: str) -> int:
        return zlib.crc32(namespace.encode()) % self._shards

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)  # the loop itself keeps no strong reference
        task.add_done_callback(self._tasks.discard)

    async def _prepare_at_last(self, settings: dict[str, int], lease_s: float, replicas: int | None) -> None:
        """Make what is missing; try again while JetStream has no leader yet."""
        until_s = time.monotonic() + _START_S
        while True:
            try:
                await self._prepare(settings, lease_s, replicas)
            except ClusterError:
                raise
            except Exception as error:
                if time.monotonic() > until_s:
                    raise ClusterError(f"cannot prepare JetStream: {error!r}") from None
                await asyncio.sleep(_HEARTBEAT_S)
            else:
                return

    async def _prepare(self, settings: dict[str, int], lease_s: float, replicas: int | None) -> None:
        self._replicas = replicas or (3 if self.servers_total >= 3 else 1)
        self._snapshots = await self._bucket("snapshots", None)
        try:
            found = msgspec.json.decode((await self._snapshots.get(_SETTINGS)).value or b"{}")
        except KeyNotFoundError:
            await self._snapshots.create(_SETTINGS, msgspec.json.encode(settings))
        else:
            differ = sorted(name for name in settings if name in found and found[name] != settings[name])
            if differ:
                here, there = settings[differ[0]], found[differ[0]]
                raise ClusterError(f"all nodes need the same {differ[0]}: expected {there}, got {here}")
        self._leases = await self._bucket("leases", lifetime_s(lease_s))
        for shard in range(self._shards):
            await self._make_stream(shard)

    async def _bucket(self, name: str, ttl_s: float | None) -> KeyValue:
        bucket = self._name(name)
        try:
            return await self._js.key_value(bucket)
        except BucketNotFoundError:
            config = KeyValueConfig(bucket=bucket, ttl=ttl_s, replicas=self._replicas, storage=StorageType.FILE)
            return await self._js.create_key_value(config)

    async def _make_stream(self, shard: int) -> None:
        name = self._name(shard)
        try:
            await self._js.stream_info(name)
        except NotFoundError:
            with contextlib.suppress(BadRequestError):  # another node was first
                await self._js.add_stream(
                    StreamConfig(
                        name=name,
                        subjects=[f"syncnet.{self._cluster}.{shard}.>"],
                        num_replicas=self._replicas,
                        storage=StorageType.FILE,
                        discard=DiscardPolicy.NEW,
                        duplicate_window=_DUPLICATES_S,
                        allow_direct=True,
                    )
                )

    async def _publish(
        self, namespace: str, entry_id: str, data: bytes, done: Callable[[StreamError | None], None]
    ) -> None:
        headers = {"Nats-Msg-Id": entry_id, "Nats-Expected-Stream": self._stream_of(namespace)}
        error: StreamError | None = None
        try:
            answer = await self._client.request(self._subject(namespace), data, timeout=_PUBLISH_S, headers=headers)
            problem = json.loads(answer.data).get("error")
            if problem is not None:
                error = StreamError(str(problem.get("description")), is_certain=True)
        except NoRespondersError:
            error = StreamError("no server of NATS takes entries", is_certain=True)
        except Exception as failure:
            error = StreamError(repr(failure))
        done(error)

    async def _load(self, key: str) -> Saved | None:
        try:
            head = await self._snapshots.get(key)
        except KeyNotFoundError:
            return None
        name, parts = _HEAD.decode(head.value or b"")
        data = [await self._snapshots.get(f"{key}.{name}.{part}") for part in range(parts)]
        return Saved(head.revision or 0, b"".join([each.value or b"" for each in data]))

    async def _save(self, key: str, data: bytes, revision: int) -> int:
        before = None if revision == 0 else await self._snapshots.get(key)
        name = secrets.token_hex(8)
        parts = range(0, len(data), _PART_BYTES)
        for number, start in enumerate(parts):
            await self._snapshots.put(f"{key}.{name}.{number}", data[start : start + _PART_BYTES])
        head = _encode((name, len(parts)))
        try:
            if before is None:
                saved = await self._snapshots.create(key, head)
            else:
                saved = await self._snapshots.update(key, head, last=revision)
        except Exception:
            await self._remove(self._snapshots, f"{key}.{name}.>")
            raise
        if before is not None:
            await self._remove(self._snapshots, f"{key}.{_HEAD.decode(before.value or b'')[0]}.>")
        return saved

    async def _renew(self, node: str) -> None:
        await self._leases.put(node, b"")

    async def _nodes(self) -> frozenset[str]:
        info = await self._js.stream_info(_stream_of_bucket(self._leases), subjects_filter=">")
        return frozenset(subject.rsplit(".", 1)[1] for subject in info.state.subjects or ())

    async def _remove(self, bucket: KeyValue, keys: str) -> None:
        await self._js.purge_stream(_stream_of_bucket(bucket), subject=f"$KV.{bucket._name}.{keys}")


class _Consumer:
    """The delivery of one subject, from a position on."""

    def __init__(
        self, client: Client, js: JetStreamContext, stream: str, subject: str, position: int, follower: Follower
    ) -> None:
        self._client = client
        self._js = js
        self._stream = stream
        self._subject = subject
        self._position = position  # of the last entry that came, or from which to begin
        self._follower = follower
        self._is_first = True  # the next entry is the first of this consumer
        self._expected = 1
        self._has_caught_up = False
        self._subscription: Subscription | None = None
        self._seen_s = 0.0
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Deliver no more entries."""
        self._task.cancel()

    async def _run(self) -> None:
        try:
            while True:
                try:
                    await self._begin()
                    while time.monotonic() - self._seen_s < _HEARTBEATS_S_MAX:  # noqa: ASYNC110 - time passes
                        await asyncio.sleep(_HEARTBEAT_S)
                except Exception as error:
                    _log.debug("the entries of %s do not come: %r", self._subject, error)
                    await asyncio.sleep(_HEARTBEAT_S)
        finally:
            await self._end()

    async def _begin(self) -> None:
        """Make a consumer that begins with the last entry that came."""
        await self._end()
        self._is_first, self._expected = True, 1
        inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(inbox, cb=self._take, pending_bytes_limit=-1)
        config = ConsumerConfig(
            deliver_subject=inbox,
            filter_subject=self._subject,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if self._position else DeliverPolicy.ALL,
            opt_start_seq=self._position or None,
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            idle_heartbeat=_HEARTBEAT_S,
            flow_control=True,
            inactive_threshold=_UNUSED_CONSUMER_S,
            num_replicas=1,
            mem_storage=True,
        )
        info = await self._js.add_consumer(self._stream, config)
        self._seen_s = time.monotonic()
        if not info.num_pending and not (info.delivered and info.delivered.consumer_seq):
            self._note_caught_up()

    async def _end(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(Exception):
                await subscription.unsubscribe()

    async def _take(self, message: Msg) -> None:
        self._seen_s = time.monotonic()
        if message.headers and "Status" in message.headers:
            await self._take_status(message)
            return
        sequence, number, at_ns, pending = _numbers(message.reply)
        if number != self._expected:
            self._seen_s = 0.0  # entries are missing: a new consumer brings them
            return
        self._expected += 1
        if self._is_first and self._position and sequence != self._position:
            self._task.cancel()
            self._follower.broken("entries were purged that this node had not applied")
            return
        self._is_first, self._position = False, sequence
        self._follower.entry(Entry(sequence, at_ns, message.data))
        if not pending:
            self._note_caught_up()

    async def _take_status(self, message: Msg) -> None:
        """Answer flow control, and look in a heartbeat whether an entry is missing."""
        headers = message.headers or {}
        stalled = headers.get("Nats-Consumer-Stalled")
        if message.reply or stalled:
            await self._client.publish(message.reply or stalled or "", b"")
        last = headers.get("Nats-Last-Consumer")
        if last is not None and int(last) >= self._expected:
            self._seen_s = 0.0

    def _note_caught_up(self) -> None:
        if not self._has_caught_up:
            self._has_caught_up = True
            self._follower.caught_up()


def _numbers(reply: str) -> tuple[int, int, int, int]:
    """Return what the reply subject of a delivery says: position, number in the consumer, time in ns, entries left.

    Its format is `$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.DELIVERIES.POSITION.NUMBER.TIME.LEFT[.TOKEN]` (NATS ADR-15).
    """
    tokens = reply.split(".")
    first = 5 if len(tokens) == 9 else 7
    position, number, at_ns, left = tokens[first : first + 4]
    return int(position), int(number), int(at_ns), int(left)


def _stream_of_bucket(bucket: KeyValue) -> str:
    return f"KV_{bucket._name}"


def _key(namespace: str) -> str:
    """Return a namespace as one token of a subject: a name has no `=`."""
    return "of=" + namespace.replace(".", "=")


async def _answer(asking: Coroutine[Any, Any, Any], done: Callable[[Any], None]) -> None:
    """Call `done` with what a request returned; with `StreamError` where it failed or took too long."""
    try:
        result = await asyncio.wait_for(asking, _REQUEST_S)
    except Exception as error:
        done(StreamError(repr(error)))
    else:
        done(result)


def _ignore(_: object) -> None:
    """Do nothing with a result."""


async def _report(error: Exception) -> None:
    _log.debug("nats: %r", error)
