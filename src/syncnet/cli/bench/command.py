"""`syncnet bench URL`: put a load on a server, and print its response times.

The defaults are safe: the run ends by itself, uses a namespace of its own, and leaves no offer pending. Before the load
it makes one offer through the ordinary client, so that a wrong URL, token or payload is reported once, with the message
and the exit status of the other commands, and not counted a hundred thousand times.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

import click

from syncnet.cli.bench.connection import now_s
from syncnet.cli.bench.figures import Figures
from syncnet.cli.bench.load import Load, Plan
from syncnet.cli.common import exit_on_error, formatted, identity_options
from syncnet.cli.durations import DURATION
from syncnet.cli.exit_statuses import ExitStatus
from syncnet.client.requests import Target
from syncnet.client.threads.client import Client

__all__ = ["bench"]

_SIGNALED: Final = 128

_CONNECTIONS: Final = 64
_CONNECTIONS_MAX: Final = 10_000
_MATES_MAX: Final = _CONNECTIONS_MAX - 1
_RATE_MAX: Final = 1e6
_DURATION_S_MAX: Final = 3600.0
_PAYLOAD_BYTES_MAX: Final = 16_777_216
_OTHER_FILES_MAX: Final = 32
"""An upper bound of the files that this process has open besides its connections."""

_DRAW_S: Final = 0.2
_TICKS_PER_S: Final = 10


def _bounded(least_s: float, most_s: float) -> Any:
    def check(_: click.Context, __: click.Parameter, given_s: float) -> float:
        if not least_s <= given_s <= most_s:
            raise click.BadParameter(f"expected {least_s:g} to {most_s:g} seconds, got {given_s:g}")
        return given_s

    return check


@click.command()
@click.argument("url")
@click.option(
    "--rate",
    type=click.FloatRange(0.001, _RATE_MAX),
    help="Exchanges to start per second, whether or not earlier ones have ended.  [default: as fast as possible]",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, _CONNECTIONS_MAX),
    help=f"Connections, and so pending offers at most.  [default: {_CONNECTIONS}, or as many as one sync needs]",
)
@click.option("--duration", type=DURATION, default="10s", show_default=True, callback=_bounded(0.1, _DURATION_S_MAX))
@click.option("--mates", type=click.IntRange(0, _MATES_MAX), default=1, show_default=True, help="Mates of an offer.")
@click.option("--payload-bytes", type=click.IntRange(0, _PAYLOAD_BYTES_MAX), default=0, help="Payload of an offer.")
@click.option(
    "--timeout",
    type=DURATION,
    default="5s",
    show_default=True,
    callback=_bounded(0.01, _DURATION_S_MAX),
    help="Timeout of an offer.",
)
@click.option("--namespace", help="The namespace of the events.  [default: bench- and a random number]")
@click.option("--output", type=click.Choice(["json", "text"]), default="text", show_default=True)
@identity_options
def bench(url: str, namespace: str | None, concurrency: int | None, output: str, **options: Any) -> None:
    """Put a load on the server at URL, and print its response times.

    Groups of `mates + 1` offers sync with each other, each group under an event of its own. An exchange is one offer
    and its response. "From request to response" is the whole time that an offer waits; with --rate it counts from the
    moment at which the offer was due, so that it includes the delay of a server that falls behind. "From last arrival
    to response" is the time that the server adds, because the last offer to arrive has no mate to wait for.

    The load generator is one process with one thread. If it runs on the machine of the server, the two share the cores,
    and both are slower than on two machines. A line at the end warns if the generator itself was the bottleneck.

    Exits with 0, 7 some exchanges failed, 2 wrong usage, 3 refused, 4 no server, 130 interrupted (with the figures so
    far). An error before the load is reported as by the other commands.
    """
    run = f"bench-{secrets.token_hex(4)}"
    mates = options["mates"]
    if concurrency is None:
        concurrency = max(_CONNECTIONS, mates + 1)
    if concurrency <= mates:
        raise click.BadParameter(
            f"expected {mates + 1} or more, which is what one sync with --mates {mates} takes, got {concurrency}",
            param_hint="--concurrency",
        )
    plan = Plan(
        run=run,
        namespace=run if namespace is None else namespace,
        mates=mates,
        groups=concurrency // (mates + 1),
        rate=options["rate"],
        duration_s=options["duration"],
        timeout_s=options["timeout"],
        payload_bytes=options["payload_bytes"],
    )
    _allow_open_files(plan.groups * (mates + 1))
    identity = {name: options[name] for name in ("token", "ca", "cert")} | {"verify": not options["insecure"]}
    with exit_on_error():
        _try_one_offer(url, plan, identity)
        figures, signum = _run(Target(url, **identity), plan)
        if output == "json":
            click.echo(formatted({"url": url, "namespace": plan.namespace, **figures.document()}, "json"))
        else:
            click.echo(f"{url}, namespace {plan.namespace}: {figures.text()}", nl=False)
    if signum:
        raise SystemExit(_SIGNALED + signum)
    if figures.errors:
        raise SystemExit(ExitStatus.SOME_FAILED)


def _try_one_offer(url: str, plan: Plan, identity: dict[str, Any]) -> None:
    """Make one offer without mates, otherwise like those of the load.

    :raises SyncnetError: it did not sync.
    """
    with Client(url, reconnect_s=0.0, **identity) as client:
        client.sync(
            f"{plan.run}-trial",
            actor="bench-0",
            mates=0,
            namespace=plan.namespace,
            timeout=plan.timeout_s,
            payload="x" * plan.payload_bytes,
            linger=0,
        )


def _run(target: Target, plan: Plan) -> tuple[Figures, int]:
    """Run the load; return the figures, and the signal that ended it early, or else 0."""
    import uvloop  # slow to import, and not needed to refuse a wrong command line

    caught: list[int] = []

    async def run() -> Figures:
        load = Load(target, plan)

        def end(signum: int) -> None:
            caught.append(signum)
            load.stop()

        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, end, signum)
        with _bar(load):
            return await load.run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run())
    return figures, caught[0] if caught else 0


@contextlib.contextmanager
def _bar(load: Load) -> Iterator[None]:
    """Show the progress on a terminal, from a thread, because writing to a terminal that is paused blocks."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_draw, args=(load, ended), name="syncnet-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _draw(load: Load, ended: threading.Event) -> None:
    figures = load.figures

    def status(_: object) -> str:
        return f"{figures.syncs:,} syncs, {sum(tuple(figures.errors.values())):,} errors"

    with contextlib.suppress(OSError, ValueError):  # the terminal was closed; the run continues
        ticks = max(1, round(load.plan.duration_s * _TICKS_PER_S))
        with click.progressbar(length=ticks, file=sys.stderr, item_show_func=status, update_min_steps=0) as bar:
            while not ended.wait(_DRAW_S):
                passed = min(ticks, int(max(0.0, now_s() - load.began_s) * _TICKS_PER_S))
                bar.update(passed - bar.pos)
            if not figures.is_interrupted:
                bar.update(ticks - bar.pos)


def _allow_open_files(connections: int) -> None:
    """Raise the limit on open files so far that this many connections can be open at once."""
    needed = connections + _OTHER_FILES_MAX
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise click.BadParameter(
            f"expected at most {hard - _OTHER_FILES_MAX} connections, because this process may have {hard} open files",
            param_hint="--concurrency",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
