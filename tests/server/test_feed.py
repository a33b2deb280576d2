"""The feed of the live trace: order, positions, gaps, bounds, and that nothing is left behind without readers."""

# ruff: noqa: ARG001 - the tests of the feed get all of its surroundings

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.commands import Offer
from syncnet.core.effects import Pending, Synced
from syncnet.server import channel as channel_module
from syncnet.server import feed as feed_module
from syncnet.server.access import ANY_NAMESPACE
from syncnet.server.channel import CHUNK_BYTES_MAX, FRAMINGS, Channel, Happening, Position, parse_position
from syncnet.server.feed import Feed
from syncnet.view import json_log
from tests.coordinator.fakes import Client
from tests.core.offers import offer


def channel_with(happenings: int, namespace: str = "default") -> Channel:
    channel = Channel(namespace)
    for number in range(happenings):
        channel.add(Happening(Pending(offer(f"A{number}", namespace=namespace))))
    return channel


def objects(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.splitlines()]


def read_all(channel: Channel, position: Position, bytes_max: int = CHUNK_BYTES_MAX) -> list[Any]:
    found = []
    while position != channel.latest:
        data, position = channel.read(position, "jsonl", bytes_max)
        found += objects(data)
    return found


# --- a channel -------------------------------------------------------------------------------------------------


def test_a_reader_gets_everything_in_order_whatever_the_size_of_its_pieces() -> None:
    channel = channel_with(50)
    start = Position(channel.latest.epoch, 0)
    for bytes_max in (1, 500, 5_000, CHUNK_BYTES_MAX):
        assert [each["actor"] for each in read_all(channel, start, bytes_max)] == [f"A{n}" for n in range(50)]


def test_a_piece_is_not_larger_than_asked_for_unless_it_is_one_happening() -> None:
    channel = channel_with(50)
    data, _ = channel.read(Position(channel.latest.epoch, 0), "jsonl", 1_000)
    assert len(objects(data)) > 1
    assert len(data) <= 1_000
    assert len(objects(channel.read(Position(channel.latest.epoch, 0), "jsonl", 1)[0])) == 1


def test_a_reader_resumes_after_its_position() -> None:
    channel = channel_with(10)
    (first, *others) = read_all(channel, Position(channel.latest.epoch, 6))
    assert first["position"] == f"{channel.latest.epoch}.7"
    assert [each["actor"] for each in (first, *others)] == ["A6", "A7", "A8", "A9"]
    assert channel.missed(Position(channel.latest.epoch, 6)) == 0


def test_what_is_no_longer_kept_is_told_as_a_gap_and_the_latest_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "KEPT_MAX", 10)
    channel = channel_with(100)
    epoch = channel.latest.epoch
    assert channel.missed(Position(epoch, 90)) == 0
    assert channel.missed(Position(epoch, 89)) == 1
    gap, *others = read_all(channel, Position(epoch, 20))
    assert gap == {"position": f"{epoch}.90", "happening": "gap", "namespace": "default", "missed": 70}
    assert [each["actor"] for each in others] == [f"A{n}" for n in range(90, 100)]


def test_a_gap_leaves_out_what_does_not_fit_so_that_a_slow_reader_sees_the_latest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_module, "KEPT_MAX", 10)
    channel = channel_with(100)
    data, position = channel.read(Position(channel.latest.epoch, 20), "jsonl", 1_000)
    gap, *others = objects(data)
    assert position == channel.latest
    assert gap["missed"] + len(others) == 80
    assert others[-1]["actor"] == "A99"
    assert len(others) < 10


@pytest.mark.parametrize("text", ["00000000.5", "{epoch}.101"])
def test_how_much_a_reader_of_another_server_missed_is_not_known(text: str) -> None:
    channel = channel_with(100)
    position = parse_position(text.format(epoch=channel.latest.epoch))
    assert channel.missed(position) is None
    gap, *others = read_all(channel, position)
    assert gap["missed"] is None
    assert others[-1]["actor"] == "A99"


def test_every_channel_has_an_epoch_of_its_own() -> None:
    assert len({Channel("default").latest.epoch for _ in range(100)}) == 100


def test_the_bytes_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "_KEPT_BYTES_MAX", 5_000)
    channel = channel_with(1_000)
    assert 0 < len(channel.kept) < 30
    assert channel.kept_bytes <= 5_000


def test_a_large_payload_is_not_kept() -> None:
    channel = Channel("default")
    for number in range(1_000):
        large = offer(f"A{number}", payload=b'"' + b"x" * 200_000 + b'"')
        channel.add(Happening(Synced(1, "default", "coin", number, (large,))))
    assert len(channel.kept) == 1_000
    assert "xxx" not in json.dumps(read_all(channel, Position(channel.latest.epoch, 0)))


def test_a_happening_is_encoded_once_for_all_readers_and_never_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []
    document = json_log.document

    def counted(effect: Any) -> dict[str, object]:
        encoded.append(effect)
        return document(effect)

    monkeypatch.setattr(channel_module, "document", counted)
    channel = channel_with(10)
    assert encoded == []
    for _ in range(50):
        for output in FRAMINGS:
            channel.read(Position(channel.latest.epoch, 0), output, CHUNK_BYTES_MAX)
        channel.notify()
    assert len(encoded) == 10


def test_readers_at_one_position_get_the_same_bytes() -> None:
    channel = channel_with(10)
    start = Position(channel.latest.epoch, 0)
    first, second = (channel.read(start, "sse", CHUNK_BYTES_MAX)[0] for _ in range(2))
    assert first is second


def test_the_framing_of_server_sent_events() -> None:
    channel = channel_with(1)
    epoch = channel.latest.epoch
    data, _ = channel.read(Position(epoch, 0), "sse", CHUNK_BYTES_MAX)
    id, event, body, end = data.decode().split("\n", 3)
    assert (id, event, end) == (f"id: {epoch}.1", "event: pending", "\n")
    lines, _ = channel.read(Position(epoch, 0), "jsonl", CHUNK_BYTES_MAX)
    assert body == "data: " + lines.decode().rstrip("\n")


@pytest.mark.parametrize("text", ["", "17", "x.1", "3f9a0c12", "3f9a0c12.", "3f9a0c12.-1", "3F9A0C12.1", "3f9a0c12.1 "])
def test_texts_that_are_no_positions(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a position such as 3f9a0c12\.1042"):
        parse_position(text)


# --- the feed --------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0


def with_feed(test: Callable[[Feed, Coordinator, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()

        def call(function: Callable[..., object], *arguments: object) -> bool:
            loop.call_soon_threadsafe(function, *arguments)
            return True

        coordinator = Coordinator(timer_thread=False)
        clock = Clock()
        await test(Feed(coordinator, call, lambda: clock.now_s), coordinator, clock)

    asyncio.run(run())


def make(coordinator: Coordinator, *offers: Offer) -> None:
    for each in offers:
        Client(coordinator, each)


def actors(channel: Channel, after: Position) -> list[Any]:
    return [each.get("actor", each["happening"]) for each in read_all(channel, after)]


def test_without_readers_the_coordinator_has_no_observer() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        assert coordinator._observers == ()
        channel = feed.join("default")
        assert coordinator._observers != ()
        feed.leave(channel)
        clock.now_s += 59
        feed.beat()
        assert coordinator._observers != ()
        clock.now_s += 2
        feed.beat()
        assert coordinator._observers == ()
        make(coordinator, offer("A"))
        feed.drain()
        assert not channel.kept

    with_feed(run)


def test_a_reader_that_comes_back_within_a_minute_finds_its_channel() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channel = feed.join("default")
        position = channel.latest
        feed.leave(channel)
        make(coordinator, offer("VM"), offer("CUST"))
        clock.now_s += 59
        feed.beat()
        again = feed.join("default")
        assert again is channel
        feed.drain()
        assert actors(again, position) == ["VM", "CUST", "synced"]
        feed.leave(again)
        clock.now_s += 61
        feed.beat()
        assert feed.join("default").missed(position) is None

    with_feed(run)


def test_a_channel_has_its_own_namespace_and_numbers_and_one_has_all() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        one, everything = feed.join("one"), feed.join(ANY_NAMESPACE)
        starts = one.latest, everything.latest
        make(coordinator, offer("A", namespace="one"), offer("B", namespace="two"), offer("C", "x", namespace="one"))
        feed.flush()
        assert actors(one, starts[0]) == ["A", "C"]
        assert actors(everything, starts[1]) == ["A", "B", "C"]
        assert (one.latest.number, everything.latest.number) == (2, 3)

    with_feed(run)


def test_a_new_reader_gets_what_is_pending_and_then_what_happens_each_once() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        make(coordinator, offer("A"), offer("Z", "other", namespace="elsewhere"))
        channel = feed.join("default")
        make(coordinator, offer("B", "x"))
        (data,), position, _ = feed.opening(channel, "jsonl")
        opening, first, second = objects(data)
        assert opening == {"happening": "open", "namespace": "default", "pending": 2, "listed": 2}
        assert "position" not in first
        assert (first["actor"], second["actor"], second["position"]) == ("A", "B", str(position))
        make(coordinator, offer("C", "y"))
        feed.flush()
        assert actors(channel, position) == ["C"]

    with_feed(run)


def test_an_opening_lists_so_many_offers_at_most_and_is_used_again() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        make(coordinator, *[offer(f"A{number}", f"e{number}") for number in range(1_500)])
        channel = feed.join("default")
        pieces, position, read = feed.opening(channel, "jsonl")
        assert all(len(piece) <= CHUNK_BYTES_MAX for piece in pieces)
        opening, *offers = objects(b"".join(pieces))
        assert (opening["pending"], opening["listed"], len(offers), read) == (1_500, 1_000, 1_000, 1_500)
        make(coordinator, offer("B"))
        again, same, read = feed.opening(channel, "sse")
        assert (same, read) == (position, 0)
        assert b"".join(again).count(b"event: pending\n") == 1_000
        assert actors(channel, same) == ["B"]

    with_feed(run)


def test_readers_wait_for_news_and_wake_together() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channel = feed.join("default")
        position = channel.latest
        waits = [asyncio.ensure_future(feed.wait(channel, is_behind=False)) for _ in range(50)]
        await asyncio.sleep(0)
        assert not any(wait.done() for wait in waits)
        make(coordinator, offer("A"))
        await asyncio.gather(*waits)
        assert actors(channel, position) == ["A"]

    with_feed(run)


def test_a_reader_that_is_behind_is_woken_without_news() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        await feed.wait(feed.join("default"), is_behind=True)

    with_feed(run)


def test_a_closed_feed_ends_every_wait() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channel = feed.join("default")
        waiting = asyncio.ensure_future(feed.wait(channel, is_behind=False))
        await asyncio.sleep(0)
        feed.close()
        await waiting
        await feed.wait(channel, is_behind=False)

    with_feed(run)


def make_many(coordinator: Coordinator, first: int, offers: int, namespace: str = "default") -> None:
    numbers = range(first, first + offers)
    make(coordinator, *[offer(f"A{number}", f"e{number}", namespace=namespace) for number in numbers])


def test_more_than_a_channel_takes_at_once_becomes_one_gap_with_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "KEPT_MAX", 10)

    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channel = feed.join("default")
        start = channel.latest
        feed.flush()
        for first in range(0, 30, 10):
            make_many(coordinator, first, 10)
            feed.flush()
        assert actors(channel, start) == [f"A{number}" for number in range(10)]
        assert channel.is_leaving_out
        before = channel.latest
        clock.now_s += 1
        feed.flush()
        make_many(coordinator, 30, 2)
        feed.flush()
        gap, *others = read_all(channel, before)
        assert gap == {"position": f"{start.epoch}.30", "happening": "gap", "namespace": "default", "missed": 20}
        assert [each["actor"] for each in others] == ["A30", "A31"]
        assert channel.latest.number == 32

    with_feed(run)


def test_the_gap_comes_without_further_happenings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "KEPT_MAX", 10)

    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channel = feed.join("default")
        feed.flush()
        make_many(coordinator, 0, 15)
        feed.flush()
        assert channel.latest.number == 10
        clock.now_s += 1
        await feed.wait(channel, is_behind=False)
        assert channel.latest.number == 15

    with_feed(run)


def test_a_position_within_a_gap_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reader was given one."""
    channel = channel_with(5)
    epoch = channel.latest.epoch
    channel.leave_out(10)
    assert [channel.missed(Position(epoch, number)) for number in (4, 5, 6, 14, 15)] == [0, 0, None, None, 0]
    assert read_all(channel, Position(epoch, 6)) == [
        {"position": f"{epoch}.15", "happening": "gap", "namespace": "default", "missed": None}
    ]


def test_who_opens_the_trace_while_happenings_are_left_out_missed_none_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel_module, "KEPT_MAX", 10)

    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        early = feed.join("default")
        start = early.latest
        make_many(coordinator, 0, 15)
        late = feed.join("default")
        pieces, position, _ = feed.opening(late, "jsonl")
        assert len(objects(b"".join(pieces))) == 1 + 15
        clock.now_s += 1
        feed.flush()
        make_many(coordinator, 15, 1)
        feed.flush()
        assert actors(late, position) == ["A15"]
        assert actors(early, start)[-2:] == ["gap", "A15"]

    with_feed(run)


def test_a_flood_of_one_namespace_takes_nothing_from_the_readers_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "KEPT_MAX", 10)

    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        flooded, quiet = feed.join("flooded"), feed.join("quiet")
        start = quiet.latest
        feed.flush()
        make_many(coordinator, 0, 100, "flooded")
        make_many(coordinator, 100, 5, "quiet")
        feed.flush()
        assert flooded.is_leaving_out
        assert actors(quiet, start) == [f"A{number}" for number in range(100, 105)]

    with_feed(run)


@pytest.mark.parametrize("seed", range(20))
def test_what_readers_got_and_what_they_missed_add_up(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bursts and pauses, and readers that come at random: each sees all numbers once, in order."""
    monkeypatch.setattr(channel_module, "KEPT_MAX", 30)
    monkeypatch.setattr(channel_module, "_TAKEN_PER_S", 20)
    random = Random(seed)

    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channel = feed.join("default")
        known = [channel.latest] * 3
        made = 0

        def look(reader: int, bytes_max: int) -> None:
            data, after = channel.read(known[reader], "jsonl", bytes_max)
            number = known[reader].number
            for each in objects(data):
                number += each.get("missed", 1)
                assert each["position"] == f"{after.epoch}.{number}"
                assert each.get("actor") in (None, f"A{number - 1}")
            assert number == after.number
            known[reader] = after

        for _ in range(200):
            offers = random.choice((0, 0, 1, 5, 40))
            make_many(coordinator, made, offers)
            made += offers
            clock.now_s += random.choice((0.02, 0.25, 1.0))
            feed.flush()
            for reader in range(3):
                if random.random() < 0.5**reader:
                    look(reader, random.choice((1, 2_000, CHUNK_BYTES_MAX)))
        feed.drain()
        for reader in range(3):
            while known[reader] != channel.latest:
                look(reader, CHUNK_BYTES_MAX)
            assert known[reader].number == made

    with_feed(run)


def test_all_channels_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_KEPT_BYTES_IN_ALL_MAX", 20_000)

    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channels = [feed.join(f"n{number}") for number in range(20)]
        for number in range(500):
            make(coordinator, offer(f"A{number}", f"e{number}", namespace=f"n{number % 20}"))
        feed.flush()
        assert 10_000 < sum(channel.kept_bytes for channel in channels) <= 20_000

    with_feed(run)


def test_more_readers_get_smaller_shares_in_longer_intervals() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        feed.join("default")
        assert (feed.interval_s, feed.chunk_bytes_max) == (0.02, CHUNK_BYTES_MAX)
        for _ in range(999):
            feed.join("default")
        assert feed.interval_s == 1.0
        assert 8_000 < feed.chunk_bytes_max <= 8_389

    with_feed(run)


def test_more_channels_get_smaller_shares_because_each_is_encoded() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channels = [feed.join(f"n{number % 200}") for number in range(400)]
        assert 1_000_000 < feed.chunk_bytes_max * 200 / feed.interval_s <= 1_048_576
        for channel in channels[1:]:
            feed.leave(channel)
        assert feed.chunk_bytes_max == CHUNK_BYTES_MAX

    with_feed(run)


def test_readers_are_woken_at_the_end_of_an_interval() -> None:
    async def run(feed: Feed, coordinator: Coordinator, clock: Clock) -> None:
        channel = feed.join("default")
        for _ in range(999):
            feed.join("elsewhere")
        start = channel.latest

        async def woken_after(passed_s: float) -> bool:
            waiting = channel.news()
            clock.now_s += passed_s
            make(coordinator, offer("A", f"e{clock.now_s}"))
            feed.flush()
            return waiting.done()

        assert [await woken_after(0.25) for _ in range(9)] == [True, *[False, False, False, True] * 2]
        assert len(actors(channel, start)) == 9

    with_feed(run)


def test_a_feed_works_on_one_loop_after_the_other() -> None:
    """An ASGI application may be used so, for instance by tests."""
    coordinator = Coordinator(timer_thread=False)
    feed = Feed(coordinator, lambda *_: False)

    async def run() -> None:
        position = feed.join("default").latest
        make(coordinator, offer(f"A{coordinator.machine.pending_total}"))
        feed.flush()
        assert len(read_all(feed.join("default"), position)) >= 1
        assert len(coordinator._observers) == 1
        assert feed.readers == 2

    for _ in range(3):
        asyncio.run(run())
