"""`syncnet event coin --actor VM`: make an offer, wait for the sync, and print it or run a command."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from syncnet.cli.common import (
    client_options,
    default_actor,
    exit_on_error,
    formatted,
    make_client,
    namespace_option,
)
from syncnet.cli.durations import DURATION
from syncnet.cli.exit_statuses import ExitStatus
from syncnet.cli.live_line import LiveLine
from syncnet.errors import ParameterError
from syncnet.wire.results import Sync

__all__ = ["event"]

_NOT_IN_VARIABLES: Final = re.compile(r"[^A-Za-z0-9_]")


class _CommandAfterDashes(click.Command):
    """Splits off what follows `--`: it is the command to run, not an argument of ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["syncnet.command"] = args[:at], args[at + 1 :]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND …]"]


def _event(ctx: click.Context, __: click.Parameter, given: tuple[str, ...]) -> str:
    """Return the one event. More than one argument is most likely a command whose `--` was forgotten."""
    event, *others = given
    if others:
        if "syncnet.command" in ctx.meta:
            raise click.UsageError(f"expected one EVENT, got also {' '.join(others)}; a choice is --or {others[0]}")
        raise click.UsageError(
            f"expected one EVENT, got also {' '.join(others)}; "
            f"a command to run comes after --, as in: syncnet event {event} -- {' '.join(others)}; "
            f"a choice of events is --or, as in: syncnet event {event} --or {others[0]}"
        )
    return event


def _labels(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"expected key=value, got {pair!r}")
        labels[key] = value
    return labels or None


def _payload(_: click.Context, __: click.Parameter, given: str) -> str:
    try:
        if given == "-":
            return sys.stdin.buffer.read().decode()
        return Path(given[1:]).read_bytes().decode() if given.startswith("@") else given
    except OSError as error:
        raise click.BadParameter(f"cannot read {given[1:] or 'standard input'}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"expected UTF-8, got the byte 0x{error.object[error.start]:02x}") from None


@click.command(cls=_CommandAfterDashes)
@click.argument("event", metavar="EVENT", nargs=-1, required=True, callback=_event)
@click.option("--or", "others", metavar="EVENT", multiple=True, help="Another event, as a choice; may be repeated.")
@click.option(
    "--actor",
    envvar="SYNCNET_ACTOR",
    show_envvar=True,
    help="The name of this actor.  [default: host name and process id]",
)
@click.option("--mates", type=int, help="How many others are needed.  [default: 1]")
@click.option("--expect", metavar="A,B,C", help="Exactly these actors, instead of --mates and --selector.")
@click.option("--payload", default="", callback=_payload, help="Sent to every member: a text, @FILE, or - for stdin.")
@click.option("--json", "is_json", is_flag=True, help="The payload is JSON, not a text.")
@click.option("--selector", help="The labels that the others must have, as in Kubernetes.")
@click.option("--label", "labels", metavar="K=V", multiple=True, callback=_labels, help="A label; may be repeated.")
@click.option("--timeout", type=DURATION, help="Give up after that long: 250ms, 5s, 2m.  [default: never]")
@click.option("--id", help="The id of this offer; a retry with the same id is safe.  [default: random]")
@click.option("--linger", type=DURATION, help="How long the offer outlives its connection.  [default: 10s]")
@namespace_option
@click.option(
    "--output",
    type=click.Choice(["json", "yaml", "text"]),
    help="The format of the sync; text is the payloads of the others.  [default: json, nothing with COMMAND]",
)
@client_options
@click.pass_context
def event(
    ctx: click.Context, /, event: str, others: tuple[str, ...], is_json: bool, output: str | None, **options: Any
) -> None:
    """Offer EVENT, wait until it happens, and print the sync.

    With --or the offer is a choice: the first of the events that can happen. With -- COMMAND the command is run once
    the event has happened. Its environment has SYNCNET_RANK (0 for the first to arrive), SYNCNET_LEADER (1 for that
    one, else 0), SYNCNET_EVENT, SYNCNET_NUMBER, SYNCNET_PAYLOADS (JSON) and SYNCNET_PAYLOAD_<ACTOR>.

    Exits with 0 (or the status of COMMAND), 124 timed out, 3 refused, 4 no server, 5 aborted, 6 withdrawn, 130
    interrupted.
    """
    command = ctx.meta.get("syncnet.command")
    if command == []:
        raise click.UsageError("expected a command after --, got none")
    actor = options.pop("actor")
    if actor is None:
        actor = default_actor()
    events = (event, *others)
    with exit_on_error():
        if is_json:
            options["payload"] = _from_json(options["payload"])
        with LiveLine(_waiting(actor, events, options)) as line, make_client(options, on_retry=line.away) as client:
            sync = client.choose(*events, actor=actor, **options)
    if output or not command:
        text = _text(sync) if output == "text" else formatted(_document(sync), output or "json")
        click.echo(text, nl=output != "text")
    if command:
        _run(command, {**os.environ, **_variables(sync)})


def _from_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ParameterError("payload", f"expected JSON, but: {error}") from None


def _waiting(actor: str, events: tuple[str, ...], options: dict[str, Any]) -> str:
    """Return the text of the live line: the actor, its events, and the others that it waits for."""
    if options["expect"]:
        others = ", ".join(name.strip() for name in options["expect"].split(",") if name.strip() != actor)
    else:
        mates = 1 if options["mates"] is None else options["mates"]
        others = f"{mates} {'other' if mates == 1 else 'others'}"
        if options["selector"]:
            others += f" with {options['selector']}"
    return f"{actor} waits for {' or '.join(events)} with {others}"


def _document(sync: Sync) -> dict[str, Any]:
    members = [
        {"id": member.id, "actor": member.actor, "labels": dict(member.labels), "payload": member.payload}
        for member in sync.members
    ]
    return {
        "event": sync.event,
        "sync": sync.number,
        "rank": sync.rank,
        "payloads": dict(sync.payloads),
        "members": members,
    }


def _text(sync: Sync) -> str:
    """Return the payloads of the others in order of arrival, one per line: strings as they are, all else as JSON."""
    others = (member.payload for rank, member in enumerate(sync.members) if rank != sync.rank)
    return "".join(f"{_as_text(payload)}\n" for payload in others)


def _as_text(payload: Any) -> str:
    return payload if isinstance(payload, str) else formatted(payload, "json")


def _variables(sync: Sync) -> dict[str, str]:
    """Return the variables that are added to the environment of the command."""
    variables = {
        "SYNCNET_EVENT": sync.event,
        "SYNCNET_NUMBER": str(sync.number),
        "SYNCNET_RANK": str(sync.rank),
        "SYNCNET_LEADER": "1" if sync.leader else "0",
        "SYNCNET_ACTOR": sync.members[sync.rank].actor,
        "SYNCNET_ID": sync.members[sync.rank].id,
        "SYNCNET_PAYLOADS": json.dumps(dict(sync.payloads), separators=(",", ":")),
    }
    for actor, payload in sync.payloads.items():
        text = _as_text(payload)
        if "\0" not in text:  # a variable cannot hold it; SYNCNET_PAYLOADS has it escaped
            variables["SYNCNET_PAYLOAD_" + _NOT_IN_VARIABLES.sub("_", actor)] = text
    return variables


def _run(command: list[str], environment: dict[str, str]) -> NoReturn:
    """Replace this process by the command, as `exec` in a shell does."""
    sys.stdout.flush()
    sys.stderr.flush()
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores these, and the command would inherit that
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - the user gave this command
    except OSError as error:
        reason = error.strerror
        if error.errno == errno.E2BIG:
            reason = "the payloads are too large for its environment; print them with --output instead"
        click.echo(f"Error: cannot run {command[0]}: {reason}", err=True)
        is_missing = error.errno == errno.ENOENT
        raise SystemExit(ExitStatus.NOT_FOUND if is_missing else ExitStatus.NOT_EXECUTABLE) from None
