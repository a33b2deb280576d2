"""The place where processes meet: synchronous events for any number of parties.

What is imported from here is public. `connect` gives a program its world, in-process or over the network; `ASGIApp`
puts syncnet into an application of yours. Nothing is loaded before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from syncnet.client.aio.client import AsyncClient
    from syncnet.client.threads.client import Client
    from syncnet.errors import (
        AbortedError,
        DrainingError,
        LabelError,
        ParameterError,
        RefusedError,
        SelectorError,
        SyncnetError,
        TimedOutError,
        UnavailableError,
        UsageError,
        WithdrawnError,
        WorldError,
    )
    from syncnet.hub import Hub
    from syncnet.server.asgi import ASGIApp
    from syncnet.wire.results import Member, Sync

__version__ = "0.1.0"

__all__ = [
    "ASGIApp",
    "AbortedError",
    "AsyncClient",
    "Client",
    "DrainingError",
    "Hub",
    "LabelError",
    "Member",
    "ParameterError",
    "RefusedError",
    "SelectorError",
    "Sync",
    "SyncnetError",
    "TimedOutError",
    "UnavailableError",
    "UsageError",
    "WithdrawnError",
    "WorldError",
    "__version__",
    "connect",
]

_HOMES: Final = {
    "ASGIApp": "syncnet.server.asgi",
    "AsyncClient": "syncnet.client.aio.client",
    "Client": "syncnet.client.threads.client",
    "Hub": "syncnet.hub",
    "Member": "syncnet.wire.results",
    "Sync": "syncnet.wire.results",
}
"""Where a public name is at home; those not listed are in `errors`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES.get(name, "syncnet.errors")), name)
    return value


def connect(url: str | None = None, **options: Any) -> Any:
    """Return the world that a program's tasks meet in: one of this process, or that of the server at `url`.

    With None it is a `Syncnet`, else an `AsyncClient`; `options` are theirs. Both have the same methods, and are used
    as `async with connect(url) as net:`.

    :raises ParameterError: the URL or an option does not do.
    """
    if url is None:
        return importlib.import_module("syncnet.local").Syncnet(**options)
    from syncnet.client.aio.client import AsyncClient

    return AsyncClient(url, **options)
