"""The place where processes meet: synchronous events for any number of parties.

What is imported from here is public; `ASGIApp` puts syncnet into an application of yours.
"""

from __future__ import annotations

from syncnet.errors import (
    DrainingError,
    LabelError,
    ParameterError,
    SelectorError,
    SyncnetError,
    UsageError,
    WorldError,
)
from syncnet.hub import Hub
from syncnet.server.asgi import ASGIApp

__version__ = "0.1.0"

__all__ = [
    "ASGIApp",
    "DrainingError",
    "Hub",
    "LabelError",
    "ParameterError",
    "SelectorError",
    "SyncnetError",
    "UsageError",
    "WorldError",
    "__version__",
]
