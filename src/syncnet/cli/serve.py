"""`syncnet serve`: start a server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import uvloop

import syncnet
from syncnet.cli.clustering import Clustering, cluster_options
from syncnet.cli.durations import DURATION
from syncnet.cli.exit_statuses import ExitStatus
from syncnet.cli.folders import FOLDER
from syncnet.cli.limits import limit_options, limits_of
from syncnet.cli.security import Security, security_options
from syncnet.cli.terminal import TerminalLog
from syncnet.coordinator.coordinator import Coordinator, Observer
from syncnet.core.circles import Circle
from syncnet.core.effects import Effect
from syncnet.core.limits import LIMITS, Limits
from syncnet.core.machine import Machine
from syncnet.errors import JournalError
from syncnet.server.address import Address, AddressError, listen, parse_address
from syncnet.view.graph_log import GraphLog
from syncnet.view.json_log import circle_line, json_line

if TYPE_CHECKING:
    from syncnet.log.journal import Journal
    from syncnet.server.spans import SyncSpans

__all__ = ["serve"]

_FILES_KEPT: Final = 256
"""Open files that are kept for the mates of pending requests, which must still connect, and for the server itself."""

_STDERR: Final = 2

_PLENTY: Final = 10_000
"""From so many pending offers on, a lower limit on open files is not reported."""

_GARBAGE_THRESHOLDS: Final = (10_000, 50, 20)
"""The thresholds of `gc.set_threshold` for the three generations.

Nothing on the way of a request makes a cycle. With the default of 700, a full collection of all pending offers and of
the trace comes every few thousand requests: with 15,000 pending offers that is a pause of a tenth of a second.
"""

_ALLOCATOR: Final = ("_RJEM_MALLOC_CONF", "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0")
"""The settings of granian's allocator (jemalloc), unless the environment has some: one arena for all threads, so that
the memory of one wave of clients serves the next, and free memory goes back to the system after a second."""

_LOG_FORMATS: Final[dict[str, Callable[[], Callable[[Effect], list[str]]] | None]] = {
    "graph": lambda: GraphLog().lines,
    "json": lambda: lambda effect: [json_line(effect)],
    "none": None,
}


_SWITCH_S: Final = 0.001
"""How long a thread that does long work may keep the others waiting. Offers are handled in a thread of their own."""


class _AddressType(click.ParamType[Address]):
    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        if isinstance(value, Address):
            return value
        try:
            return parse_address(value)
        except AddressError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("address", type=_AddressType(), default=":8000")
@click.option(
    "--log-format",
    type=click.Choice(list(_LOG_FORMATS)),
    default="graph",
    show_default=True,
    help="What standard output shows: lanes for people, JSON lines for programs, or nothing.",
)
@click.option(
    "--journal",
    type=FOLDER,
    metavar="DIR",
    help="Write every command to this folder before it is answered; a crash or a restart loses nothing.",
)
@click.option(
    "--drain",
    type=DURATION,
    default="0s",
    show_default=True,
    help="How long pending requests are kept after SIGTERM, while /readyz already answers 503.",
)
@click.option(
    "--otel",
    is_flag=True,
    help="Send an OpenTelemetry span of each sync by OTLP over HTTP; the variables OTEL_* say where to.",
)
@limit_options
@cluster_options
@security_options
def serve(
    address: Address,
    log_format: str,
    journal: Path | None,
    drain: float,
    otel: bool,
    security: Security,
    clustering: Clustering,
    **limit_values: Any,
) -> None:
    """Serve on ADDRESS: :8000 (every address of this machine), 127.0.0.1:8000, [::1]:8000; port 0 is any free one.

    Ends at Ctrl-C or SIGTERM; requests that are still pending then get 503.
    """
    if journal is not None and clustering.cluster is not None:
        raise click.UsageError("expected --journal or --cluster, got both: a cluster keeps its log in NATS")
    _open_standard_streams()
    limits = machine_limits = limits_of(**limit_values)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="syncnet: %(message)s")
    try:
        listener = listen(address, security.keepalive_s)
    except AddressError as error:
        raise _listen_failure(error) from None
    limits = replace(limits, pending_offers_max=_within_open_files(limits.pending_offers_max))
    os.environ.setdefault(*_ALLOCATOR)  # read when granian is loaded, and so not imported above
    from syncnet.server.serve import serve as serve_coordinator

    started = f"{syncnet.__version__} serves on {_url(listener, security.scheme)}"
    for line in security.warnings(listener):
        _say(line)

    sys.setswitchinterval(_SWITCH_S)
    output = _Output(log_format, otel)

    async def run() -> int:
        async with _coordinator(journal, clustering, limits, machine_limits, output.observers) as coordinator:
            _look_seldom_for_garbage()
            return await serve_coordinator(
                coordinator,
                listener,
                lambda: _say(started),
                limits=limits,
                drain_s=drain,
                node_name=clustering.name_of(listener.getsockname()[1]),
                **output.options(),
                **security.of(listener),
            )

    try:
        waiting = uvloop.run(run())
    except JournalError as error:
        raise click.ClickException(str(error)) from None
    finally:
        output.close()
    if waiting:
        _say(f"ended; {waiting} waiting {'client' if waiting == 1 else 'clients'} got 503")


@contextlib.asynccontextmanager
async def _coordinator(
    journal: Path | None,
    clustering: Clustering,
    limits: Limits,
    machine_limits: Limits,
    observers: list[Observer],
) -> AsyncIterator[Coordinator]:
    """Make the coordinator for the log that was asked for, and close it at the end.

    `machine_limits` are those of all nodes of a cluster; in `limits` that on pending offers is within the open files.
    """
    if clustering.cluster is not None:
        member = await clustering.join(clustering.cluster, machine_limits, observers)
        try:
            yield member.coordinator
        finally:
            member.coordinator.close()
            await member.stream.close()
        return
    hand_over = asyncio.get_running_loop().call_soon_threadsafe
    on_disk = _journal(journal, hand_over, limits) if journal else None
    coordinator = Coordinator(on_disk, Machine(limits), observers)
    try:
        yield coordinator
    finally:
        coordinator.close()
        if on_disk is not None:
            _say(f"the journal took {on_disk.commands_total} commands in {on_disk.commits_total} commits")


class _Output:
    """What is written of offers and syncs: the log on standard output, and spans with `--otel`.

    :raises click.ClickException: (by the constructor) spans cannot be sent.
    """

    def __init__(self, log_format: str, otel: bool) -> None:
        self._spans = _sync_spans() if otel else None
        make_lines = _LOG_FORMATS[log_format]
        self._log = TerminalLog(make_lines, sys.stdout.fileno()) if make_lines and sys.stdout else None
        self._is_json = log_format == "json"

    @property
    def observers(self) -> list[Observer]:
        """The observers of the coordinator."""
        return [each for each in (self._log, self._spans) if each is not None]

    def options(self) -> dict[str, Any]:
        """Return keyword arguments of `syncnet.server.serve.serve`."""
        if self._log is None:
            return {}
        warn_of_circle = partial(_write_circle, self._log) if self._is_json else None
        return {"output_left_out": partial(getattr, self._log, "left_out_total"), "warn_of_circle": warn_of_circle}

    def close(self) -> None:
        """Write what is left, for a limited time."""
        for each in (self._log, self._spans):
            if each is not None:
                each.close()


def _write_circle(log: TerminalLog, at_ns: int, namespace: str, circle: Circle) -> None:
    log.write(circle_line(at_ns, namespace, circle))


def _sync_spans() -> SyncSpans:
    try:
        from syncnet.server.spans import SyncSpans  # needs an extra
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise click.ClickException("--otel needs OpenTelemetry: pip install 'syncnet-server[otel]'") from None
    try:
        return SyncSpans()
    except ValueError as error:
        raise click.ClickException(f"--otel: {error}") from None


def _open_standard_streams() -> None:
    """Open the standard streams that are closed, as /dev/null.

    Otherwise the sockets of the server would get their numbers, and the process would abort when it ends.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(fd)


class _PortTakenError(click.ClickException):
    exit_code = ExitStatus.PORT_TAKEN


def _listen_failure(error: AddressError) -> click.ClickException:
    """Return the error to exit with; a taken port has an exit status of its own."""
    cause = error.__context__
    is_taken = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
    return (_PortTakenError if is_taken else click.ClickException)(str(error))


def _journal(folder: Path, hand_over: Callable[[Callable[[], None]], object], limits: Limits) -> Journal:
    from syncnet.log.journal import Journal  # SQLite is loaded only where it is needed

    return Journal(folder, hand_over, limits)


def _look_seldom_for_garbage() -> None:
    gc.collect()
    gc.freeze()  # what was loaded at the start stays, and need not be examined again
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


def _say(text: str) -> None:
    click.echo(f"syncnet: {text}", err=True)


def _url(listener: socket.socket, scheme: str) -> str:
    host, port = listener.getsockname()[:2]
    if host in ("::", "0.0.0.0"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _within_open_files(pending_max: int) -> int:
    """Raise the limit on open files as far as possible; return how many offers may be pending under it.

    Report where that is fewer than wanted: every pending request holds an open file, and where none is left its mates
    cannot connect.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = pending_max + _FILES_KEPT
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft == resource.RLIM_INFINITY or soft >= pending_max + _FILES_KEPT:
        return pending_max
    possible = max(1, soft - _FILES_KEPT)
    if pending_max == LIMITS.pending_offers_max and possible >= _PLENTY:
        return possible  # the default was not asked for, and few miss the rest
    _say(
        f"the limit on open files ({soft}) allows {possible} pending offers, not {pending_max}; "
        f"raise it with `ulimit -Hn {pending_max + _FILES_KEPT}`, "
        f"or set a lower limit with --limit pending-offers-max={possible}"
    )
    return possible
