"""What the client subcommands share: options for the server and the identity, exit statuses, output formats."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn, TypeVar

import click

from syncnet.cli.durations import DURATION
from syncnet.cli.exit_statuses import ExitStatus
from syncnet.client.requests import Target, make_targets
from syncnet.client.threads.client import Client
from syncnet.errors import (
    AbortedError,
    RefusedError,
    SyncnetError,
    TimedOutError,
    UnavailableError,
    UsageError,
    WithdrawnError,
)

__all__ = [
    "client_options",
    "default_actor",
    "exit_on_error",
    "exit_with",
    "formatted",
    "identity_options",
    "make_client",
    "namespace_option",
    "targets_of",
]

_SIGNALED: Final = 128
"""The exit status of a command that a signal ended, less the number of the signal."""

_STATUSES: Final[tuple[tuple[type[SyncnetError], ExitStatus], ...]] = (
    (TimedOutError, ExitStatus.TIMED_OUT),
    (AbortedError, ExitStatus.ABORTED),
    (WithdrawnError, ExitStatus.WITHDRAWN),
    (UnavailableError, ExitStatus.UNREACHABLE),
    (UsageError, ExitStatus.REFUSED),
)

_NAME_CHARACTERS_MAX: Final = 63
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")

_F = TypeVar("_F", bound=Callable[..., Any])


def identity_options(command: _F) -> _F:
    """Add the options for the token and the certificates."""
    file = click.Path(exists=True, dir_okay=False)
    for option in reversed(
        (
            click.option(
                "--token", envvar="SYNCNET_TOKEN", show_envvar=True, help="The token, where the server requires one."
            ),
            click.option("--ca", type=file, help="Authorities to trust for https, as PEM, instead of the system's."),
            click.option("--cert", type=file, help="A client certificate with its key, as PEM."),
            click.option("--insecure", is_flag=True, help="Do not check the certificate of the server."),
        )
    ):
        command = option(command)
    return command


def client_options(command: _F) -> _F:
    """Add the options for the server's address, retries and identity."""
    command = click.option(
        "--reconnect",
        type=DURATION,
        default="30s",
        show_default=True,
        help="How long to retry while the server cannot be reached.",
    )(command)
    return click.option(
        "--url",
        envvar="SYNCNET_URL",
        default="http://localhost:8000",
        show_default=True,
        show_envvar=True,
        help="The URL of the server; of a cluster's servers with commas between them.",
    )(identity_options(command))


namespace_option: Final = click.option("--namespace", help="The namespace of the event.  [default: default]")


def make_client(options: dict[str, Any], **more: Any) -> Client:
    """Take the options of `client_options` out of `options`, and return a client that uses them.

    `more` are further arguments of `Client`.
    """
    return Client(
        options.pop("url"),
        token=options.pop("token"),
        ca=options.pop("ca"),
        cert=options.pop("cert"),
        verify=not options.pop("insecure"),
        reconnect_s=options.pop("reconnect"),
        **more,
    )


def targets_of(options: dict[str, Any]) -> tuple[Target, ...]:
    """Take the options of `identity_options` and the URL out of `options`, and return the servers that they name."""
    return make_targets(
        options.pop("url"),
        token=options.pop("token"),
        ca=options.pop("ca"),
        cert=options.pop("cert"),
        verify=not options.pop("insecure"),
    )


@contextlib.contextmanager
def exit_on_error() -> Iterator[None]:
    """Turn errors of the contract, Ctrl-C, SIGTERM and SIGHUP into exit statuses.

    SIGHUP (the terminal was closed) is handled because a process that is killed by it could not withdraw its offer,
    which would stay pending for its linger. Under nohup the signal stays ignored.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {signum: signal.getsignal(signum) for signum in map(signal.Signals.__getitem__, names)}
    for signum, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(signum, _exit_on_signal)
    try:
        yield
    except SyncnetError as error:
        exit_with(error)
    except KeyboardInterrupt:
        raise SystemExit(ExitStatus.INTERRUPTED) from None
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def exit_with(error: SyncnetError) -> NoReturn:
    """Print the error to standard error, and exit with its status."""
    code = f" ({error.code})" if isinstance(error, RefusedError) else ""
    click.echo(f"Error: {error}{code}", err=True)
    raise SystemExit(next((status for kind, status in _STATUSES if isinstance(error, kind)), ExitStatus.FAILED))


def default_actor() -> str:
    """Return a name for this process: host name and process id, made a valid name."""
    number = f"-{os.getpid()}"
    host = _NOT_IN_NAMES.sub("-", socket.gethostname())[: _NAME_CHARACTERS_MAX - len(number)].strip("._-")
    return (host or "host") + number


def formatted(document: Any, output: str) -> str:
    """Return a document as `json` or `yaml`, without a newline at its end."""
    if output == "yaml":
        import yaml  # slow to import

        text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _exit_on_signal(signum: int, _: object) -> NoReturn:
    raise SystemExit(_SIGNALED + signum)
