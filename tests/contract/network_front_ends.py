"""The front ends over the network: the clients and the command line, on one server.

Each test has namespaces of its own.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from syncnet import (
    AbortedError,
    AsyncClient,
    Client,
    Member,
    RefusedError,
    Sync,
    SyncnetError,
    TimedOutError,
    UsageError,
    WithdrawnError,
)
from syncnet.cli.exit_statuses import ExitStatus
from syncnet.wire.results import Happened
from tests.contract.front_ends import PATIENCE_S, FrontEnd, Party, ThreadFrontEnd, asyncio_front_end, trio_front_end

__all__ = ["NETWORK_FRONT_ENDS"]

_numbers = itertools.count(1)


class _NamespacedClient:
    """A client that adds a prefix of its own to all namespaces."""

    def __init__(self, net: Any) -> None:
        self._net = net
        self._prefix = f"contract-{next(_numbers)}"

    def namespace(self, name: str | None = None) -> str:
        return f"{self._prefix}.{name or 'default'}"

    def send(self, *events: str, namespace: str | None = None, **options: Any) -> Any:
        return self._net.send(*events, namespace=self.namespace(namespace), **options)

    def sync(self, event: str, namespace: str | None = None, **options: Any) -> Any:
        return self._net.sync(event, namespace=self.namespace(namespace), **options)

    def choose(self, *events: str, namespace: str | None = None, **options: Any) -> Any:
        return self._net.choose(*events, namespace=self.namespace(namespace), **options)

    def stats(self, namespace: str | None = None) -> Any:
        return self._net.stats(self.namespace(namespace))

    def withdraw(self, id: str) -> Any:
        return self._net.withdraw(id, namespace=self.namespace())

    def abort(self, **what: Any) -> Any:
        return self._net.abort(namespace=self.namespace(), **what)

    def aclose(self) -> Any:
        return self._net.aclose()


@contextlib.contextmanager
def client_front_end(url: str) -> Iterator[FrontEnd]:
    with Client(url) as net:
        yield ThreadFrontEnd(_NamespacedClient(net))


# --- the command line --------------------------------------------------------------------------------------

_TIMED_OUT: Final = re.compile(
    r"waited ([0-9.]+) s for [^;]*; present: ([^;]*); (?:gave up: [^;]*; )?(?:never came|missing): ([^;]*)"
)
_ABORTED: Final = re.compile(r"the offer was aborted(?: by (\S+))?: (.*)")
_REFUSED: Final = re.compile(r"(.*) \(([a-z-]+)\)")


class CommandLineFrontEnd:
    """`syncnet event …`, one process for each party."""

    def __init__(self, net: _NamespacedClient, url: str) -> None:
        self._net, self._url = net, url

    def begin(self, *events: str, actor: str, namespace: str | None = None, **offer: Any) -> Party:
        arguments = [
            *events[:1],
            *(f"--or={event}" for event in events[1:]),
            f"--actor={actor}",
            f"--namespace={self._net.namespace(namespace)}",
        ]
        for name, value in offer.items():
            if name == "payload":
                arguments += ["--json", f"--payload={json.dumps(value)}"]
            elif name == "labels" and isinstance(value, str):
                pytest.skip("the command line takes one option for each label")
            elif name == "selector" and not value:
                pytest.skip("an empty option of the command line may be an unset variable of a shell")
            elif name == "labels":
                arguments += [f"--label={key}={label}" for key, label in value.items()]
            elif name == "expect" and not isinstance(value, str):
                arguments.append(f"--expect={','.join(value)}")
            else:
                arguments.append(f"--{name}={value}")
        return _ProcessParty(self._run("event", *arguments))

    def stats(self, namespace: str = "default") -> dict[str, Any]:
        arguments = [f"--namespace={self._net.namespace(namespace)}", "--output=json"]
        return dict(json.loads(self._printed("stats", *arguments)))

    def withdraw(self, id: str) -> bool:
        return bool(self._net.withdraw(id))  # the command line has no command for this

    def abort(self, **what: Any) -> int:
        arguments = [f"--{name}={value}" for name, value in what.items()]
        return int(self._printed("abort", f"--namespace={self._net.namespace()}", *arguments))

    def _printed(self, *arguments: str) -> str:
        out, err = self._run(*arguments).communicate(timeout=PATIENCE_S)
        assert err == ""
        return out

    def _run(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {**os.environ, "SYNCNET_URL": self._url}
        return subprocess.Popen(
            [sys.executable, "-m", "syncnet", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


class _ProcessParty:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def outcome(self) -> Sync:
        out, err = self._process.communicate(timeout=PATIENCE_S)
        if self._process.returncode != 0:
            raise _error(self._process.returncode, err)
        document = json.loads(out)
        members = tuple(Member(**member) for member in document["members"])
        return Sync(Happened(document["event"], document["sync"], document["payloads"], members), document["rank"])

    def cancel(self) -> None:
        self._process.send_signal(signal.SIGINT)
        _, err = self._process.communicate(timeout=PATIENCE_S)
        assert (self._process.returncode, err) == (130, "")


def _error(status: int, err: str) -> SyncnetError:
    """Return the error for an exit status and the text on standard error."""
    text = err.strip().rpartition("Error: ")[2]
    if status == ExitStatus.TIMED_OUT and (match := _TIMED_OUT.search(text)):
        present = tuple(match[2].split(", ")) if match[2] not in ("nobody", "none") else ()
        names = () if match[3].isdigit() else tuple(match[3].split(", "))
        missing = int(match[3]) if match[3].isdigit() else len(names)
        return TimedOutError(text, waited_s=float(match[1]), present=present, missing=missing, missing_actors=names)
    if status == ExitStatus.ABORTED and (match := _ABORTED.search(text)):
        return AbortedError(text, by=match[1] or "", reason=match[2])
    if status == ExitStatus.WITHDRAWN:
        return WithdrawnError(text)
    if status == ExitStatus.REFUSED and (match := _REFUSED.fullmatch(text)):
        return RefusedError(match[1], match[2])
    assert status in (2, ExitStatus.REFUSED), f"{status}: {err}"
    return UsageError(text)


@contextlib.contextmanager
def command_line_front_end(url: str) -> Iterator[FrontEnd]:
    with Client(url) as net:
        yield CommandLineFrontEnd(_NamespacedClient(net), url)


NETWORK_FRONT_ENDS: dict[str, Callable[[str], contextlib.AbstractContextManager[FrontEnd]]] = {
    "AsyncClient": lambda url: asyncio_front_end(_NamespacedClient(AsyncClient(url)), asyncio.new_event_loop),
    "AsyncClient-trio": lambda url: trio_front_end(_NamespacedClient(AsyncClient(url))),
    "Client": client_front_end,
    "command-line": command_line_front_end,
}
"""The front ends over the network by name; each takes the URL of a server."""
