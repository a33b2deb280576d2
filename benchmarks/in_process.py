"""How many pairs a second meet inside one program: syncnet next to what programs use for that without it.

Two parties meet again and again: two tasks of one asyncio loop (the stock loop, and uvloop), two tasks of trio, two
threads. Syncnet hands each the payload of the other, the names of the members and a number. Compared with it are

- `asyncio.Barrier(2)`, which hands over a number from 0 to 1;
- `Chan` of aiochan and anyio's memory object stream, where one task puts and the other takes;
- trio's memory channel of size 0, where one task sends and the other receives;
- `threading.Barrier(2)`.

Tasks never idle here, so for them processor time is counted, which other work on the machine disturbs little. Threads
do idle, so for them it is wall-clock time.

Every round measures all rows one after the other and begins with another one. A ratio is taken within its round; the
medians are printed. Not measured: more than two parties, many events, offers with selectors, contention.

With `--before` the rows of syncnet are measured a second time, from another checkout, in a process of its own:

    PYTHONPATH=DIR/src python -m benchmarks.in_process

reads the number of a row and how many pairs, one line each time, and answers with the seconds that they took.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import statistics
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final, NamedTuple

import anyio
import trio
import uvloop

from benchmarks.figures import machine, ratios, spread, table
from benchmarks.options import Options
from benchmarks.processes import BenchmarkError, python, running
from benchmarks.servers import environment
from syncnet import Syncnet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it was written for an earlier Python
    import aiochan

__all__ = ["report"]

_PAIRS_PER_ROUND: Final = 5_000
_WARM_UP_PAIRS: Final = 500
_ROUNDS: Final = 15
_BEFORE_SHARE_MIN: Final = 0.9

_Step = Callable[[], Awaitable[object]]


class _Side(NamedTuple):
    """One row: `measure` lets so many pairs meet, and returns how many seconds that took."""

    group: str
    name: str
    measure: Callable[[int], float]


async def _time_tasks(one: _Step, other: _Step, pairs: int) -> float:
    async def run(step: _Step) -> None:
        for _ in range(pairs):
            await step()

    tasks = [asyncio.ensure_future(run(step)) for step in (one, other)]
    began = process_time()
    await asyncio.gather(*tasks)
    return process_time() - began


async def _barrier(pairs: int) -> float:
    barrier = asyncio.Barrier(2)
    return await _time_tasks(barrier.wait, barrier.wait, pairs)


async def _aiochan(pairs: int) -> float:
    chan: Any = aiochan.Chan()
    return await _time_tasks(lambda: chan.put(1), chan.get, pairs)


async def _anyio_stream(pairs: int) -> float:
    send, receive = anyio.create_memory_object_stream[int](0)
    async with send, receive:
        return await _time_tasks(lambda: send.send(1), receive.receive, pairs)


async def _syncnet(pairs: int) -> float:
    async with Syncnet() as net:
        return await _time_tasks(lambda: net.sync("coin", actor="VM"), lambda: net.sync("coin", actor="CUST"), pairs)


async def _time_trio_tasks(one: _Step, other: _Step, pairs: int) -> float:
    async def run(step: _Step) -> None:
        for _ in range(pairs):
            await step()

    began = process_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, one)
        nursery.start_soon(run, other)
    return process_time() - began


async def _trio_channel(pairs: int) -> float:
    send, receive = trio.open_memory_channel[int](0)
    return await _time_trio_tasks(lambda: send.send(1), receive.receive, pairs)


async def _trio_syncnet(pairs: int) -> float:
    async with Syncnet() as net:
        one, other = (lambda: net.sync("coin", actor="VM")), (lambda: net.sync("coin", actor="CUST"))
        return await _time_trio_tasks(one, other, pairs)


def _time_threads(one: Callable[[], object], other: Callable[[], object], pairs: int) -> float:
    def run(step: Callable[[], object]) -> None:
        for _ in range(pairs):
            step()

    threads = [threading.Thread(target=run, args=(step,)) for step in (one, other)]
    began = perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return perf_counter() - began


def _threading_barrier(pairs: int) -> float:
    barrier = threading.Barrier(2)
    return _time_threads(barrier.wait, barrier.wait, pairs)


def _thread_syncnet(pairs: int) -> float:
    with Syncnet() as net:
        vm, cust = net.blocking.actor("VM"), net.blocking.actor("CUST")
        return _time_threads(lambda: vm.sync("coin"), lambda: cust.sync("coin"), pairs)


def _asyncio(measure: Callable[[int], Coroutine[Any, Any, float]]) -> Callable[[int], float]:
    return lambda pairs: asyncio.run(measure(pairs))


def _uvloop(measure: Callable[[int], Coroutine[Any, Any, float]]) -> Callable[[int], float]:
    return lambda pairs: uvloop.run(measure(pairs))


_SYNCNET: Final = "syncnet"
_BEFORE: Final = "syncnet, before"
_SIDES: Final = (
    _Side("asyncio", _SYNCNET, _asyncio(_syncnet)),
    _Side("asyncio", "asyncio.Barrier", _asyncio(_barrier)),
    _Side("asyncio", "aiochan.Chan", _asyncio(_aiochan)),
    _Side("asyncio", "anyio stream", _asyncio(_anyio_stream)),
    _Side("uvloop", _SYNCNET, _uvloop(_syncnet)),
    _Side("uvloop", "asyncio.Barrier", _uvloop(_barrier)),
    _Side("uvloop", "aiochan.Chan", _uvloop(_aiochan)),
    _Side("uvloop", "anyio stream", _uvloop(_anyio_stream)),
    _Side("trio", _SYNCNET, lambda pairs: trio.run(_trio_syncnet, pairs)),
    _Side("trio", "trio channel", lambda pairs: trio.run(_trio_channel, pairs)),
    _Side("threads", _SYNCNET, _thread_syncnet),
    _Side("threads", "threading.Barrier", _threading_barrier),
)


def report(options: Options) -> str:
    """Measure (about half a minute) and return the report as Markdown.

    :raises BenchmarkError: the other checkout could not be measured.
    """
    with contextlib.ExitStack() as stack:
        sides = list(_SIDES)
        if options.before is not None:
            other = stack.enter_context(_other_checkout(options.before))
            for number, side in enumerate(_SIDES):
                if side.name == _SYNCNET:
                    measure = functools.partial(_ask, other, number)
                    sides.insert(sides.index(side) + 1, _Side(side.group, _BEFORE, measure))
        rates = _measured(sides)
    rows = []
    for (group, name), of_side in rates.items():
        times = spread(ratios(rates[group, _SYNCNET], of_side)) if name != _SYNCNET else ""
        rows.append([group, name, f"{statistics.median(of_side):,.0f}", times])
    lines = ["## In-process", "", machine("uvloop", "trio", "anyio", "aiochan"), ""]
    lines += [f"{_ROUNDS} rounds of {_PAIRS_PER_ROUND:,} pairs.", ""]
    lines += [*table(["", "", "pairs/s", "syncnet's rate to it"], rows), ""]
    to_trio = ratios(rates["asyncio", _SYNCNET], rates["trio", "trio channel"])
    lines.append(f"- syncnet on asyncio, compared with trio's channel on trio: {spread(to_trio)} times")
    for group in dict.fromkeys(side.group for side in sides if side.name == _BEFORE):
        share = statistics.median(ratios(rates[group, _SYNCNET], rates[group, _BEFORE]))
        reached = "reached" if share >= _BEFORE_SHARE_MIN else "**not reached**"
        lines.append(f"- {group}, of the rate before: at least {_BEFORE_SHARE_MIN:.2f}: {share:.2f}, {reached}")
    return "\n".join(lines)


def _measured(sides: list[_Side]) -> dict[tuple[str, str], list[float]]:
    """Return the pairs a second of each row in each round, by group and name."""
    rates: dict[tuple[str, str], list[float]] = {(side.group, side.name): [] for side in sides}
    for side in sides:
        side.measure(_WARM_UP_PAIRS)
    for round_ in range(_ROUNDS):
        first = round_ % len(sides)
        for side in sides[first:] + sides[:first]:
            rates[side.group, side.name].append(_PAIRS_PER_ROUND / side.measure(_PAIRS_PER_ROUND))
    return rates


@contextlib.contextmanager
def _other_checkout(tree: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = python("benchmarks.in_process")
    pipe = subprocess.PIPE
    with running(command, stdin=pipe, stdout=pipe, stderr=None, env=environment(tree)) as process:
        yield process


def _ask(other: subprocess.Popen[bytes], number: int, pairs: int) -> float:
    assert other.stdin is not None
    assert other.stdout is not None
    other.stdin.write(b"%d %d\n" % (number, pairs))
    other.stdin.flush()
    seconds = other.stdout.readline()
    if not seconds:
        raise BenchmarkError("expected the other checkout to let pairs meet, but its process ended")
    return float(seconds)


def _answer() -> None:
    for line in sys.stdin:
        number, pairs = map(int, line.split())
        print(_SIDES[number].measure(pairs), flush=True)


if __name__ == "__main__":
    _answer()
