"""Synchronous events for any number of parties.

All names in `__all__` are public. `Syncnet` is for tasks and threads of one process, `AsyncClient` and `Client` are for
processes that share a server, and `connect` returns a `Syncnet` or an `AsyncClient`. `ASGIApp` is the server as a part
of another application. A module is loaded when one of its names is first used, so a program loads only what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, overload

from syncnet.errors import (
    AbortedError,
    ClosedError,
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
    import os
    from collections.abc import Callable, Iterable

    from syncnet.client.aio.client import AsyncClient
    from syncnet.client.aio.offers import AsyncOffer
    from syncnet.client.threads.client import Client
    from syncnet.core.limits import Limits
    from syncnet.local import Offer, Syncnet
    from syncnet.server.asgi import ASGIApp
    from syncnet.wire.api import ActorHandle, Net, OfferHandle, OfferOptions
    from syncnet.wire.results import Member, Sync

__version__ = "0.1.0"

__all__ = [
    "ASGIApp",
    "AbortedError",
    "ActorHandle",
    "AsyncClient",
    "AsyncOffer",
    "Client",
    "ClosedError",
    "DrainingError",
    "LabelError",
    "Limits",
    "Member",
    "Net",
    "Offer",
    "OfferHandle",
    "OfferOptions",
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

_MODULES: Final = {
    "ASGIApp": "syncnet.server.asgi",
    "ActorHandle": "syncnet.wire.api",
    "AsyncClient": "syncnet.client.aio.client",
    "AsyncOffer": "syncnet.client.aio.offers",
    "Client": "syncnet.client.threads.client",
    "Limits": "syncnet.core.limits",
    "Member": "syncnet.wire.results",
    "Net": "syncnet.wire.api",
    "Offer": "syncnet.local",
    "OfferHandle": "syncnet.wire.api",
    "OfferOptions": "syncnet.wire.api",
    "Sync": "syncnet.wire.results",
    "Syncnet": "syncnet.local",
}
"""The modules of the names that are loaded on first use."""


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'syncnet' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted(set(__all__) | globals().keys())


@overload
def connect(url: None = None, *, limits: Limits | None = None) -> Syncnet: ...
@overload
def connect(
    url: str | Iterable[str],
    *,
    token: str | None = None,
    verify: bool = True,
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    reconnect_s: float | None = 30.0,
    connections_kept: int = 100,
    on_retry: Callable[[UnavailableError | None], None] | None = None,
) -> AsyncClient: ...
@overload
def connect(
    url: str | Iterable[str] | None,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    verify: bool = True,
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    reconnect_s: float | None = 30.0,
    connections_kept: int = 100,
    on_retry: Callable[[UnavailableError | None], None] | None = None,
) -> Net: ...
def connect(
    url: str | Iterable[str] | None = None,
    *,
    limits: Limits | None = None,
    token: str | None = None,
    verify: bool = True,
    ca: str | os.PathLike[str] | None = None,
    cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    reconnect_s: float | None = 30.0,
    connections_kept: int = 100,
    on_retry: Callable[[UnavailableError | None], None] | None = None,
) -> Net:
    """Return a `Syncnet` in this process if `url` is None, else an `AsyncClient` of the server at `url`.

    `url` may also name several servers of a cluster, as a list or as a text with commas.
    Use it as `async with connect(url) as net:`. Both have the methods of `Net`.

    `limits` is an option of `Syncnet`, the others are options of `AsyncClient`. A call whose `url` may be None can give
    options of both: those that do not apply have no effect.

    :raises ParameterError: the URL or an option is invalid.
    """
    if url is None:
        from syncnet.local import Syncnet

        return Syncnet() if limits is None else Syncnet(limits)
    from syncnet.client.aio.client import AsyncClient

    return AsyncClient(
        url,
        token=token,
        verify=verify,
        ca=ca,
        cert=cert,
        reconnect_s=reconnect_s,
        connections_kept=connections_kept,
        on_retry=on_retry,
    )
