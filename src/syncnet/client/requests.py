"""The requests of a client as HTTP: the address of the server, the credentials, and one function for each request.

These are pure functions: nothing here does input or output.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from syncnet.errors import ParameterError
from syncnet.wire.api import OfferOptions
from syncnet.wire.durations import parse_duration_s

if TYPE_CHECKING:
    import ssl

__all__ = [
    "CertificateFiles",
    "FilePath",
    "OfferDocument",
    "Request",
    "Target",
    "Urls",
    "make_abort",
    "make_explain",
    "make_id",
    "make_offer",
    "make_stats",
    "make_targets",
    "make_withdrawal",
    "next_page",
    "without_nones",
]

FilePath: TypeAlias = str | os.PathLike[str]
CertificateFiles: TypeAlias = FilePath | tuple[FilePath, FilePath]
"""A file with a certificate and its key, or one file for each."""

Urls: TypeAlias = str | Iterable[str]
"""The URL of a server, or those of several servers of one cluster: as a list, or as one text with commas."""

_PORTS: Final = {"http": 80, "https": 443}
_ID_BYTES: Final = 12
_NEXT: Final = re.compile(r'<\?(?P<query>[!-;=?-~]*\bafter=(?P<after>[0-9]{1,20})[!-;=?-~]*)>; rel="next"')
_AFTER: Final = re.compile(r"[?&]after=(?P<after>[0-9]{1,20})")


class Request(NamedTuple):
    """One request. `path` is relative to the URL of the server and includes the query.

    `is_idempotent` says whether sending the request twice has the same effect as sending it once. `offer_id` is the id
    of the offer that the request is about, if it is about one. `waits` says whether the answer waits for other actors.
    `traceparent` is the header of that name, empty if there is none.
    """

    method: str
    path: str
    body: bytes
    is_idempotent: bool = True
    offer_id: str | None = None
    waits: bool = False
    traceparent: str = ""


class OfferDocument(NamedTuple):
    """The request that makes an offer, the same for every attempt, and the parameters that the client itself needs."""

    id: str
    events: tuple[str, ...]
    actor: str
    namespace: str | None
    timeout_s: float | None
    other_actors: tuple[str, ...]
    mates: int
    request: Request


class Target:
    """The address of a server, and the credentials for it.

    `url` is `http://host:port` or `https://host:port`, with the path under which the server is mounted if there is one.
    `token` is sent with every request and never shown. For https: `verify` says whether to check the certificate of the
    server, `ca` is a file of authorities to trust instead of those of the system, and `cert` is the client's own
    certificate: one file, or a pair of files (certificate, key).

    :raises ParameterError: the URL or the token is invalid.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        verify: bool = True,
        ca: FilePath | None = None,
        cert: CertificateFiles | None = None,
    ) -> None:
        self.url: str = url.rstrip("/") if isinstance(url, str) else str(url)
        parts = _split(url)
        self.host: str = parts.hostname or ""
        self.is_tls: bool = parts.scheme == "https"
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
        if request.traceparent:
            headers = [*headers, ("Traceparent", request.traceparent)]
        return self._prefix + request.path, headers

    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context, or None for http.

        :raises ParameterError: a certificate file cannot be read.
        """
        if self.is_tls and self._tls is None:
            self._tls = _tls_context(*self._tls_files)
        return self._tls


def make_targets(
    urls: Urls,
    *,
    token: str | None = None,
    verify: bool = True,
    ca: FilePath | None = None,
    cert: CertificateFiles | None = None,
) -> tuple[Target, ...]:
    """Return the servers at these URLs, at least one; the credentials are for all of them.

    :raises ParameterError: a URL or the token is invalid.
    """
    if isinstance(urls, str):
        urls = [url.strip() for url in urls.split(",")]
    elif not isinstance(urls, Iterable):
        raise ParameterError("url", f"expected a URL such as http://localhost:8000, or several, got {urls!r}")
    targets = [Target(url, token=token, verify=verify, ca=ca, cert=cert) for url in urls]
    if not targets:
        raise ParameterError("url", "expected at least one URL, got none")
    return tuple(targets)


def make_id() -> str:
    """Return a new id that is unique and cannot be guessed."""
    return os.urandom(_ID_BYTES).hex()


def make_offer(events: tuple[str, ...], actor: str, payload: Any, options: OfferOptions) -> OfferDocument:
    """Return the request for an offer.

    A text of labels is sent in the query, because the server reads it there as `k1=v1,k2=v2`.

    :raises ParameterError: a value has no JSON form, or the timeout is not a duration. The server checks the rest.
    """
    given = without_nones(options)
    offer_id = given.setdefault("id", make_id())
    labels, expect, mates = given.get("labels"), given.get("expect"), given.get("mates", 1)
    path = "/event"
    if isinstance(labels, str):
        path += _query({"labels": given.pop("labels")})
    elif isinstance(labels, Mapping):
        given["labels"] = dict(labels)
    if isinstance(expect, Iterable) and not isinstance(expect, str):
        given["expect"] = expect = list(expect)
    timeout_s = _seconds("timeout", given["timeout"]) if "timeout" in given else None
    document = {"event": list(events), "actor": actor, "payload": payload, **given}
    return OfferDocument(
        id=offer_id,
        events=events,
        actor=actor,
        namespace=given.get("namespace"),
        timeout_s=timeout_s,
        other_actors=tuple(name for name in _roster(expect) if name != actor),
        mates=mates if isinstance(mates, int) else 1,
        request=Request("POST", path, _json(document), offer_id=offer_id, waits=True, traceparent=_traceparent()),
    )


def _traceparent() -> str:
    """Return the W3C header that names the active span; empty where there is none, or no OpenTelemetry."""
    if "opentelemetry.trace" not in sys.modules:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(headers)
    return headers.get("traceparent", "")


def make_withdrawal(id: str, namespace: str | None) -> Request:
    """Return the request that withdraws the offer `id`."""
    path = "/event" + _query(without_nones({"id": id, "namespace": namespace}))
    return Request("DELETE", path, b"", offer_id=id)


def make_abort(**options: str | None) -> Request:
    """Return the request that ends the offers of an event, an actor or an id."""
    given = without_nones(options)
    return Request("POST", "/abort", _json(given), is_idempotent="id" in given)


def make_stats(namespace: str | None) -> Request:
    """Return the request for the first page of the pending offers of a namespace."""
    return Request("GET", "/stats" + (_query({"namespace": namespace}) if namespace else ""), b"")


def make_explain(actor: str | None, event: str | None, id: str | None, namespace: str | None) -> Request:
    """Return the request for the first page of explanations."""
    given = {"actor": actor, "event": event, "id": id, "namespace": namespace, "output": "json"}
    return Request("GET", "/explain" + _query({name: text for name, text in given.items() if text}), b"")


def next_page(page: Request, link: str) -> Request | None:
    """Return the request for the page that follows `page`, of which `link` is the header `Link`; None after the last.

    A server whose pages do not advance cannot keep us in a loop: there is no page after such a one.
    """
    match = _NEXT.fullmatch(link)
    if match is None or int(match["after"]) <= _after(page):
        return None
    return Request("GET", f"{page.path.partition('?')[0]}?{match['query']}", b"")


def _after(page: Request) -> int:
    match = _AFTER.search(page.path)
    return int(match["after"]) if match else -1


def without_nones(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def _roster(expect: Any) -> list[str]:
    if isinstance(expect, str):
        return [name.strip() for name in expect.split(",")]
    return expect if isinstance(expect, list) else []


def _query(parameters: Mapping[str, Any]) -> str:
    try:
        return "?" + urlencode(parameters)
    except UnicodeEncodeError as error:  # a lone surrogate
        parameter = next((name for name, value in parameters.items() if value == error.object), "id")
        raise ParameterError(parameter, f"expected a text that UTF-8 can encode, but: {error}") from None


def _json(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:  # a lone surrogate is a ValueError too
        parameter = next((name for name, value in document.items() if not _is_json(value)), "payload")
        raise ParameterError(parameter, f"expected a JSON value, but: {error}") from None


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


def _split(url: str) -> SplitResult:
    wanted = "expected a URL such as http://localhost:8000"
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError):
        raise ParameterError("url", f"{wanted}, got {url!r}") from None
    if parts.username is not None or parts.password is not None:
        raise ParameterError("url", f"{wanted}, got one with a user name or a password (not shown); use a token")
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


def _tls_context(verify: bool, ca: FilePath | None, cert: CertificateFiles | None) -> ssl.SSLContext:
    import ssl  # slow to import, and not needed for http

    parameter = "ca"
    try:
        context = ssl.create_default_context(cafile=ca)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        parameter = "cert"
        if cert is not None:
            certificate, key = cert if isinstance(cert, tuple) else (cert, None)
            context.load_cert_chain(certificate, key)
    except OSError as error:
        raise ParameterError(parameter, f"expected a file of certificates as PEM, but: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
