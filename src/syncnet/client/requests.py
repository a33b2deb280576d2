"""What a client asks for, as HTTP: where the server is, who asks, and the requests for each thing that can be asked.

Pure: nothing here talks to anybody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict
from urllib.parse import quote, urlencode, urlsplit

from syncnet.errors import ParameterError
from syncnet.wire.durations import parse_duration_s

if TYPE_CHECKING:
    import ssl

__all__ = ["OfferDocument", "OfferOptions", "Request", "Target", "make_id", "make_offer", "without_nones"]

_PORTS: Final = {"http": 80, "https": 443}
_ID_BYTES: Final = 12


class OfferOptions(TypedDict, total=False):
    """What an offer can say beside its events and its actor; what is left out, or None, has the server's default.

    `timeout` and `linger` are seconds, or a text such as `"250ms"` or `"2m"`. `expect` is a roster: actors, or a text
    `"a,b,c"`. `labels` are added to `actor=<actor>`. `payload` is any JSON value. `id` is the client's own name for the
    offer; one is made up where none is given.
    """

    payload: Any
    mates: int | None
    expect: Iterable[str] | str | None
    labels: Mapping[str, str] | None
    selector: str | None
    timeout: float | str | None
    id: str | None
    linger: float | str | None
    namespace: str | None


class Request(NamedTuple):
    """One request. `path` is below the URL of the server, with its query.

    `is_repeatable` tells whether it does no more when it is asked for twice.
    """

    method: str
    path: str
    body: bytes
    is_repeatable: bool = True


class OfferDocument(NamedTuple):
    """An offer as it is asked for, and what its client must know of it: the same request every time that it asks."""

    id: str
    events: tuple[str, ...]
    actor: str
    namespace: str | None
    timeout_s: float | None
    parties: tuple[str, ...]
    mates: int
    request: Request


class Target:
    """Where a server is, and as whom to ask it.

    `url` is `http://host:port` or `https://host:port`, perhaps with a path below which the server is. `token` goes
    along with every request, and is never shown. For https, `verify` tells whether to check the server's certificate,
    `ca` is a file with the authorities to trust instead of the system's, and `cert` the client's own certificate: a
    file, or a pair of files, certificate and key.

    :raises ParameterError: one of them does not do.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        verify: bool = True,
        ca: str | os.PathLike[str] | None = None,
        cert: str | os.PathLike[str] | tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
    ) -> None:
        self.url = url.rstrip("/") if isinstance(url, str) else str(url)
        parts = _split(url)
        self.host: str = parts.hostname or ""
        self.is_tls = parts.scheme == "https"
        self.port: int = parts.port or _PORTS[parts.scheme]
        self._prefix = quote(parts.path.rstrip("/"), safe="/%~!$&'()*+,;=:@")
        host = f"[{self.host}]" if ":" in self.host else self.host
        self._headers = [
            ("Host", host if parts.port is None else f"{host}:{self.port}"),
            ("Accept", "application/json"),
        ]
        if token is not None:
            if not token or not token.isascii() or not token.isprintable() or " " in token:
                raise ParameterError("token", "expected visible ASCII characters, got something else (not shown)")
            self._headers.append(("Authorization", f"Bearer {token}"))
        self._tls_files = (verify, ca, cert)
        self._tls: ssl.SSLContext | None = None

    def head(self, request: Request) -> tuple[str, list[tuple[str, str]]]:
        """Return the request target and the headers of a request."""
        headers = self._headers
        if request.body:
            length = str(len(request.body))
            headers = [*headers, ("Content-Type", "application/json"), ("Content-Length", length)]
        elif request.method == "POST":
            headers = [*headers, ("Content-Length", "0")]
        return self._prefix + request.path, headers

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context; None for http.

        :raises ParameterError: a file of certificates cannot be read.
        """
        if self.is_tls and self._tls is None:
            self._tls = _tls_context(*self._tls_files)
        return self._tls


def make_id() -> str:
    """Return an id that nobody else has and nobody can guess."""
    return os.urandom(_ID_BYTES).hex()


def make_offer(events: tuple[str, ...], actor: str, options: Mapping[str, Any]) -> OfferDocument:
    """Return the offer that a caller's words make.

    :raises ParameterError: the payload is no JSON value, or a time is none. All else is for the server to judge.
    """
    unknown = set(options) - OfferOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"expected options out of {', '.join(OfferOptions.__annotations__)}, got {min(unknown)}")
    given = without_nones(options)
    offer_id = given.setdefault("id", make_id())
    expect = given.get("expect")
    if expect is not None and not isinstance(expect, str):
        given["expect"] = list(expect)
    if "labels" in given:
        given["labels"] = dict(given["labels"])
    timeout_s = _seconds("timeout", given["timeout"]) if "timeout" in given else None
    parties = [name.strip() for name in expect.split(",")] if isinstance(expect, str) else given.get("expect", [])
    mates = given.get("mates", 1)
    return OfferDocument(
        id=offer_id,
        events=events,
        actor=actor,
        namespace=given.get("namespace"),
        timeout_s=timeout_s,
        parties=tuple(name for name in parties if name != actor),
        mates=mates if isinstance(mates, int) else 1,
        request=Request("POST", "/event", _json({"event": list(events), "actor": actor, **given})),
    )


def make_withdrawal(id: str, namespace: str | None) -> Request:
    """Return the request that takes back the offer `id`."""
    return Request("DELETE", "/event?" + urlencode(without_nones({"id": id, "namespace": namespace})), b"")


def make_abort(**options: str | None) -> Request:
    """Return the request that ends the offers of an event, an actor or an id."""
    given = without_nones(options)
    return Request("POST", "/abort", _json(given), is_repeatable="id" in given)


def make_stats(namespace: str | None) -> Request:
    """Return the request for what is pending."""
    return Request("GET", "/stats" + (f"?{urlencode({'namespace': namespace})}" if namespace else ""), b"")


def without_nones(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was given; a payload may be None, because JSON has a null."""
    return {name: value for name, value in options.items() if value is not None or name == "payload"}


def _json(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:  # a lone surrogate is a ValueError too
        culprit = next((name for name, value in document.items() if not _is_json(value)), "payload")
        raise ParameterError(culprit, f"expected a JSON value, but: {error}") from None


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _seconds(parameter: str, given: float | str) -> float:
    if isinstance(given, str):
        return parse_duration_s(parameter, given)
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise ParameterError(
            parameter, f"expected a duration such as 250ms, 5s, 2m or a number of seconds, got {given!r}"
        )
    return given


def _split(url: str) -> Any:
    wanted = "expected a URL such as http://localhost:8000"
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError):
        raise ParameterError("url", f"{wanted}, got {url!r}") from None
    if parts.username is not None or parts.password is not None:
        raise ParameterError("url", f"{wanted}, got one with a name or a password (not shown); use a token")
    is_readable = url.isprintable() and " " not in url
    if (
        not is_readable
        or parts.scheme not in _PORTS
        or not parts.hostname
        or port == 0
        or parts.query
        or parts.fragment
    ):
        raise ParameterError("url", f"{wanted}, got {url!r}")
    return parts


def _tls_context(verify: bool, ca: Any, cert: Any) -> ssl.SSLContext:
    import ssl  # not needed for http, and slow to import

    parameter = "ca"
    try:
        context = ssl.create_default_context(cafile=ca)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        parameter = "cert"
        if cert is not None:
            context.load_cert_chain(*(cert if isinstance(cert, tuple) else (cert,)))
    except OSError as error:
        raise ParameterError(parameter, f"expected a file of certificates as PEM, but: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
