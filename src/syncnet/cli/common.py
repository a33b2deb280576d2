"""What the subcommands that ask a server have in common: where it is, who asks, exit statuses, formats.

An exit status tells how it ended, so that a script need not read what was printed; docs/command-line.md has the table.
"""

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
    "asking",
    "client_options",
    "default_actor",
    "fail",
    "identity_options",
    "make_client",
    "namespace_option",
    "printed",
]

REFUSED: Final = 3
UNREACHABLE: Final = 4
ABORTED: Final = 5
WITHDRAWN: Final = 6
TIMED_OUT: Final = 124
_BY_SIGNAL: Final = 128

_STATUSES: Final[tuple[tuple[type[SyncnetError], int], ...]] = (
    (TimedOutError, TIMED_OUT),
    (AbortedError, ABORTED),
    (WithdrawnError, WITHDRAWN),
    (UnavailableError, UNREACHABLE),
    (UsageError, REFUSED),
)

_NAME_CHARACTERS_MAX: Final = 63
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._-]+")

_F = TypeVar("_F", bound=Callable[..., Any])


def identity_options(command: _F) -> _F:
    """Add the options that say as whom to ask, and whom to trust."""
    file = click.Path(exists=True, dir_okay=False)
    for option in reversed(
        (
            click.option(
                "--token", envvar="SYNCNET_TOKEN", show_envvar=True, help="Who asks, where the server wants it."
            ),
            click.option("--ca", type=file, help="Authorities to trust for https, as PEM, instead of the system's."),
            click.option("--cert", type=file, help="A certificate of ours with its key, as PEM."),
            click.option("--insecure", is_flag=True, help="Do not check the certificate of the server."),
        )
    ):
        command = option(command)
    return command


def client_options(command: _F) -> _F:
    """Add the options that say which server, and as whom."""
    command = click.option(
        "--reconnect",
        type=DURATION,
        default="30s",
        show_default=True,
        help="For how long at a stretch the server may be away.",
    )(command)
    return click.option(
        "--url",
        envvar="SYNCNET_URL",
        default="http://localhost:8000",
        show_default=True,
        show_envvar=True,
        help="Where the server is.",
    )(identity_options(command))


namespace_option: Final = click.option("--namespace", help="A world of events of its own.  [default: default]")


def make_client(options: dict[str, Any], **more: Any) -> Client:
    """Take the options of `client_options` out of `options`, and return a client made of them."""
    return Client(
        options.pop("url"),
        token=options.pop("token"),
        ca=options.pop("ca"),
        cert=options.pop("cert"),
        verify=not options.pop("insecure"),
        reconnect_s=options.pop("reconnect"),
        **more,
    )


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Turn how it ended into an exit status: errors of the contract, Ctrl-C, and being told to end.

    A terminal that is closed tells it to end too: killed by that signal, it would leave its offer standing for its
    linger, to be counted without anybody behind it. Under nohup the signal stays ignored.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {signum: signal.getsignal(signum) for signum in map(signal.Signals.__getitem__, names)}
    for signum, was in before.items():
        if was is not signal.SIG_IGN:
            signal.signal(signum, _end)
    try:
        yield
    except SyncnetError as error:
        fail(error)
    except KeyboardInterrupt:
        raise SystemExit(_BY_SIGNAL + signal.SIGINT) from None
    finally:
        for signum, was in before.items():
            signal.signal(signum, was)


def fail(error: SyncnetError) -> NoReturn:
    """Say what went wrong, and end with the status for it."""
    code = f" ({error.code})" if isinstance(error, RefusedError) else ""
    click.echo(f"Error: {error}{code}", err=True)
    raise SystemExit(next((status for kind, status in _STATUSES if isinstance(error, kind)), 1))


def default_actor() -> str:
    """Return a name for this process: host name and process id, made a valid name."""
    number = f"-{os.getpid()}"
    host = _NOT_IN_NAMES.sub("-", socket.gethostname())[: _NAME_CHARACTERS_MAX - len(number)].strip("._-")
    return (host or "host") + number


def printed(document: Any, output: str) -> str:
    """Return a document as `json` or `yaml`, without a line end after it."""
    if output == "yaml":
        import yaml  # slow to import

        text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        return text.rstrip("\n")
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _end(signum: int, _: object) -> NoReturn:
    raise SystemExit(_BY_SIGNAL + signum)
