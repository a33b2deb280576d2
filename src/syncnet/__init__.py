"""The place where processes meet: synchronous events for any number of parties.

What is imported from here is public. `Syncnet` is a world inside a program, `AsyncClient` and `Client` come to that of
a server, and `connect` gives the one or the other; `ASGIApp` puts syncnet into an application of yours. A name is
loaded when it is first used, so that a program pays for what it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from syncnet.errors import (
    AbortedError,
    DrainingError,
    LabelError,
    ParameterError,
    RefusedError,
    RetryableError,
    SelectorError,
    SyncnetError,
    TimedOutError,
    UnavailableError,
    UsageError,
    WithdrawnError,
)

if TYPE_CHECKING:
    from syncnet.client.aio.client import AsyncClient
    from syncnet.client.threads.client import Client
    from syncnet.coordinator.coordinator import Coordinator
    from syncnet.local import Offer, Syncnet
    from syncnet.server.asgi import ASGIApp
    from syncnet.wire.results import Member, Sync

__version__ = "0.1.0"

__all__ = [
    "ASGIApp",
    "AbortedError",
    "AsyncClient",
    "Client",
    "Coordinator",
    "DrainingError",
    "LabelError",
    "Member",
    "Offer",
    "ParameterError",
    "RefusedError",
    "RetryableError",
    "SelectorError",
    "Sync",
    "Syncnet",
    "SyncnetError",
    "TimedOutError",
    "UnavailableError",
    "UsageError",
    "WithdrawnError",
    "__version__",
    "connect",
]

_LOADED_WHEN_USED: Final = {
    "ASGIApp": "syncnet.server.asgi",
    "AsyncClient": "syncnet.client.aio.client",
    "Client": "syncnet.client.threads.client",
    "Coordinator": "syncnet.coordinator.coordinator",
    "Member": "syncnet.wire.results",
    "Offer": "syncnet.local",
    "Sync": "syncnet.wire.results",
    "Syncnet": "syncnet.local",
}


def __getattr__(name: str) -> Any:
    module = _LOADED_WHEN_USED.get(name)
    if module is None:
        raise AttributeError(f"module 'syncnet' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted(set(__all__) | globals().keys())


def connect(url: str | None = None, **options: Any) -> Any:
    """Return the world that a program's tasks meet in: one of this process, or that of the server at `url`.

    With None it is a `Syncnet`, else an `AsyncClient`; `options` are theirs. Both have the same methods, and are used
    as `async with connect(url) as net:`.

    :raises ParameterError: the URL or an option does not do.
    """
    if url is None:
        from syncnet.local import Syncnet

        return Syncnet(**options)
    from syncnet.client.aio.client import AsyncClient

    return AsyncClient(url, **options)
