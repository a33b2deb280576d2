"""`syncnet bench URL`: put a load on a server, and show how it bears it.

Safe unless told otherwise: it ends by itself, has a namespace of its own, and leaves nothing pending. Before the load
it makes one offer alone, through the ordinary client, so that a wrong URL, token or payload is said in the words and
with the exit status of the other commands, instead of being counted a hundred thousand times.
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
from syncnet.cli.common import asking, identity_options, printed
from syncnet.cli.durations import DURATION
from syncnet.client.requests import Target
from syncnet.client.threads.client import Client

__all__ = ["bench"]

_SOME_FAILED: Final = 7
_BY_SIGNAL: Final = 128

_CONNECTIONS: Final = 64
_CONNECTIONS_MAX: Final = 10_000
_MATES_MAX: Final = _CONNECTIONS_MAX - 1
_RATE_MAX: Final = 1e6
_DURATION_S_MAX: Final = 3600.0
_PAYLOAD_BYTES_MAX: Final = 16_777_216
_FILES_BESIDE: Final = 32
"""Files that this process has open beside its connections, with room to spare."""

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
    help="Exchanges to begin per second, whether or not those before have ended.  [default: as fast as it goes]",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, _CONNECTIONS_MAX),
    help=f"Connections, and so offers at once at most.  [default: {_CONNECTIONS}, or what one sync takes]",
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
@click.option("--namespace", help="A world of events of its own.  [default: bench- and something random]")
@click.option("--output", type=click.Choice(["json", "text"]), default="text", show_default=True)
@identity_options
def bench(url: str, namespace: str | None, concurrency: int | None, output: str, **options: Any) -> None:
    """Put a load on the server at URL, and print how long its answers took.

    Groups of `mates + 1` offers meet, each group under an event that nobody else uses. An exchange is one offer and the
    answer to it. "From asking to the answer" is what an offer waits in all; with --rate it counts from the moment at
    which the offer was due, so a server that falls behind is not excused. "From the last arrival to its answer" is
    what the server adds: that offer waits for nobody.

    The load generator is one process with one thread. On one machine it and the server share the cores, and both are
    slower than they would be apart; how busy the generator was is said where it may have been what was measured.

    Ends with 0, 7 some exchanges failed, 2 wrong usage, 3 refused, 4 no server, 130 interrupted (with the figures so
    far). An error before the load begins is told like those of the other commands.
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
    with asking():
        _offer_alone(url, plan, identity)
        figures, signum = _run(Target(url, **identity), plan)
        if output == "json":
            click.echo(printed({"url": url, "namespace": plan.namespace, **figures.document()}, "json"))
        else:
            click.echo(f"{url}, namespace {plan.namespace}: {figures.text()}", nl=False)
    if signum:
        raise SystemExit(_BY_SIGNAL + signum)
    if figures.errors:
        raise SystemExit(_SOME_FAILED)


def _offer_alone(url: str, plan: Plan, identity: dict[str, Any]) -> None:
    """Make one offer that needs nobody, as the load will make them.

    :raises SyncnetError: it did not sync.
    """
    with Client(url, reconnect_s=0.0, **identity) as net:
        net.sync(
            f"{plan.run}-alone",
            actor="bench-0",
            mates=0,
            namespace=plan.namespace,
            timeout=plan.timeout_s,
            payload="x" * plan.payload_bytes,
            linger=0,
        )


def _run(target: Target, plan: Plan) -> tuple[Figures, int]:
    """Return the figures, and the signal that ended it early, else 0."""
    import uvloop  # not needed to refuse a wrong command line

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
    """Show on a terminal how far the run is, from a thread, so that a terminal that stands still does not stop it."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_draw, args=(load, over), name="syncnet-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _draw(load: Load, over: threading.Event) -> None:
    figures = load.figures

    def so_far(_: object) -> str:
        return f"{figures.syncs:,} syncs, {sum(tuple(figures.errors.values())):,} errors"

    with contextlib.suppress(OSError, ValueError):  # the terminal is gone; the run is not
        ticks = max(1, round(load.plan.duration_s * _TICKS_PER_S))
        with click.progressbar(length=ticks, file=sys.stderr, item_show_func=so_far, update_min_steps=0) as bar:
            while not over.wait(_DRAW_S):
                passed = min(ticks, int(max(0.0, now_s() - load.began_s) * _TICKS_PER_S))
                bar.update(passed - bar.pos)
            if not figures.is_interrupted:
                bar.update(ticks - bar.pos)


def _allow_open_files(connections: int) -> None:
    """See to it that so many connections can be open at once."""
    needed = connections + _FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise click.BadParameter(
            f"expected at most {hard - _FILES_BESIDE} connections, because this process may have {hard} open files",
            param_hint="--concurrency",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
