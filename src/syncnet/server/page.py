"""The live page: the static files of `syncnet/page`, served at `/` and below `/ui/`.

Only the names in `FILES` are served, so that no path can lead anywhere else. A file is read when it is first asked for.
The files contain nothing secret: they need no token, but the checks of host and origin apply to them as to any request.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from syncnet.server.responses import Header, Response

if TYPE_CHECKING:
    from syncnet.server.request import Request

__all__ = ["FILES", "PAGE_PATHS", "Page"]

FILES: Final = (
    "index.html",
    "style.css",
    "icon.svg",
    "api.js",
    "charts.js",
    "details.js",
    "dom.js",
    "feed.js",
    "filter.js",
    "lanes.js",
    "main.js",
    "model.js",
    "offer.js",
    "picture.js",
    "settings.js",
    "sse.js",
    "waiting.js",
)

_NAMES: Final = {"/": "index.html", "/favicon.ico": "icon.svg"} | {f"/ui/{name}": name for name in FILES[1:]}
PAGE_PATHS: Final = tuple(_NAMES)
"""The paths of the page and its files."""

_MEDIA_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Final[tuple[Header, ...]] = (
    ("cache-control", "no-cache"),
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
)


class _File(NamedTuple):
    """The content of a file, and the headers of every answer with it."""

    content: bytes
    etag: str
    headers: tuple[Header, ...]


class Page:
    """Answers requests for the page and its files."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def file(self, request: Request) -> None:
        """Answer with the file of a path of `PAGE_PATHS`; with 304 if the client has this version of it."""
        name = _NAMES[request.path]
        file = self._files.get(name)
        if file is None:
            file = self._files[name] = _read(name)
        if file.etag in request.header("if-none-match"):
            request.answer(Response(304, list(file.headers[1:]), b""))
        else:
            request.answer(Response(200, list(file.headers), file.content))


def _read(name: str) -> _File:
    content = files("syncnet").joinpath("page", name).read_bytes()
    etag = f'"{sha256(content).hexdigest()[:32]}"'
    media_type = ("content-type", _MEDIA_TYPES[name.rpartition(".")[2]])
    return _File(content, etag, (media_type, ("etag", etag), *_HEADERS))
