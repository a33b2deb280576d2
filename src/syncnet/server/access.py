"""Who may ask for what: the decisions, without any I/O.

A request is judged twice. `Access.admit` looks at where it comes from, before anything is done for it: the `Host`
that it asks for (no DNS rebinding), the page that it comes from (no other site), and the token that it brings. The
`Caller` that it returns is asked again, by `require`, once it is known what the request wants in which namespace.

Browsers say by themselves where a request comes from, in headers that no page can set or leave out: `Sec-Fetch-Site`
(W3C Fetch Metadata) and `Origin` (RFC 6454). Other clients send neither, and are let in.

Without tokens everybody may do everything. It knows nothing of paths and parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from syncnet.core.labels import shown
from syncnet.errors import AccessError
from syncnet.server.tokens import Token, Tokens

__all__ = ["ANY_NAMESPACE", "ANY_ORIGIN", "Access", "Asking", "Caller", "parse_host", "parse_origin"]

Headers: TypeAlias = tuple[tuple[str, str], ...]

ANY_ORIGIN: Final = "*"
ANY_NAMESPACE: Final = "*"
"""What to `require` for something that shows all namespaces at once: only tokens for `*` have that."""

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^][:/@?#\s,]+?)\.?(?::(?P<port>[0-9]*))?")
_LOOPBACK: Final = re.compile(r"localhost|.+\.localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
_ORIGIN: Final = re.compile(r"(?P<origin>(?P<scheme>[a-z][-a-z0-9+.]*)://[^/@?#\s,*]+?)(?::(?P<port>[0-9]+))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_HOSTS_REMEMBERED_MAX: Final = 64

_VARY: Final = ("vary", "Origin")
_EXPOSED: Final = (
    "access-control-expose-headers",
    "Syncnet-Id, Syncnet-Rank, Syncnet-Pending, Syncnet-Syncs, Syncnet-Misses, Retry-After, Allow, WWW-Authenticate",
)
_PREFLIGHT: Final = (
    ("access-control-allow-methods", "GET, HEAD, POST, DELETE"),
    ("access-control-allow-headers", "Authorization, Content-Type, Last-Event-ID"),
    ("access-control-max-age", "600"),
)


class Asking(Protocol):
    """What must be known of a request to judge it."""

    method: str
    present: frozenset[str]
    """The headers that it has, of those that are looked at."""

    host: str

    @property
    def scheme(self) -> str:
        """`http` or `https`."""

    def header(self, name: str) -> str:
        """Return the value of the header of that name (in small letters); empty where there is none."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    `name` is that of the token, empty where no tokens are in use. `headers` belong into the answer, whatever it is.
    An `is_preflight` is a browser's question whether it may ask: it is answered with 204 and the headers. Where it
    `is_restricted`, `require` may raise.
    """

    name: str = ""
    headers: Headers = ()
    is_preflight: bool = False
    is_restricted: bool = False
    _token: Token | None = None
    _refusal: str = ""

    def require(self, role: str, namespace: str | None = None) -> None:
        """Return if the caller has `role`; in `namespace`, where one is given.

        :raises AccessError: 401 where it brought no token that is known, 403 where its token has not that.
        """
        if self._refusal:
            raise AccessError("unauthorized", self._refusal)
        if self._token is not None:
            self._token.require(role, namespace)

    def may(self, role: str, namespace: str) -> bool:
        """Return whether `require` would return."""
        try:
            self.require(role, namespace)
        except AccessError:
            return False
        return True


_ANYBODY: Final = Caller()


class Access:
    """The rules of one server.

    `tokens` may be set anew at any time; None lets everybody do everything. `origins` are those whose pages may ask,
    beside the server's own, as `parse_origin` returns them; with None origins are not looked at, which is for an
    application that sees to them itself. `hosts` are names, as `parse_host` returns them, by which this server may be
    asked, beside those of the loopback; with None it may be asked by any.
    """

    def __init__(
        self, tokens: Tokens | None = None, *, origins: Iterable[str] | None = (), hosts: Iterable[str] | None = None
    ) -> None:
        self.tokens = tokens
        self._origins = None if origins is None else frozenset(origins)
        self._hosts = None if hosts is None else frozenset(hosts)
        self._hosts_remembered: set[str] = set()
        self._caller = replace(_ANYBODY, headers=(_VARY,)) if self._origins else _ANYBODY

    def admit(self, request: Asking) -> Caller:
        """Return who asks.

        :raises AccessError: 403: it comes from a page of another site, or asks for a host that is not this one.
        """
        if self._hosts is not None:
            host = request.host
            if host and host not in self._hosts_remembered:
                self._check_host(host, self._hosts)
        caller = self._caller
        present = request.present
        if self.tokens is None and "origin" not in present and "sec-fetch-site" not in present:
            return caller
        site, origin = request.header("sec-fetch-site"), request.header("origin")
        if (site or origin) and self._origins is not None:
            caller = self._from_page(request, site, origin, self._origins)
        if self.tokens is None or caller.is_preflight:  # a browser asks beforehand without the token
            return caller
        return _with_token(caller, self.tokens, request.header("authorization"))

    def _check_host(self, host: str, ours: frozenset[str]) -> None:
        match = _HOST.fullmatch(host.lower())
        name = match["name"] if match else ""
        if name not in ours and not _LOOPBACK.fullmatch(name):
            raise AccessError(
                "unknown-host", f"expected a Host that is this server's, got {shown(host)}; --allow-host makes it one"
            )
        if len(self._hosts_remembered) < _HOSTS_REMEMBERED_MAX:
            self._hosts_remembered.add(host)

    def _from_page(self, request: Asking, site: str, origin: str, allowed: frozenset[str]) -> Caller:
        """Judge what a browser sent: its own page, one of an origin that was allowed, or another site."""
        if site == "same-origin" or (
            site in ("", "none") and origin in ("", f"{request.scheme}://{request.header('host').lower()}")
        ):
            return self._caller
        if ANY_ORIGIN not in allowed and (not origin or origin not in allowed):
            what = f"Origin: {shown(origin)}" if origin else f"Sec-Fetch-Site: {shown(site)}"
            raise AccessError("cross-site", f"expected no page of another origin, got {what}; --cors-origin allows one")
        headers: Headers = (("access-control-allow-origin", origin or ANY_ORIGIN), _EXPOSED, _VARY)
        if request.method == "OPTIONS" and request.header("access-control-request-method"):
            return Caller(headers=(*headers, *_PREFLIGHT), is_preflight=True)
        return Caller(headers=headers)


def _with_token(caller: Caller, tokens: Tokens, authorization: str) -> Caller:
    if not authorization:
        refusal = "expected the header `Authorization: Bearer` with a token, got none"
        return replace(caller, is_restricted=True, _refusal=refusal)
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return replace(
            caller,
            is_restricted=True,
            _refusal="expected the header `Authorization: Bearer` with a token, got another scheme",
        )
    token = tokens.find(secret.strip())
    if token is None:
        return replace(caller, is_restricted=True, _refusal="expected a token that is known here, got another one")
    return replace(caller, name=token.name, is_restricted=True, _token=token)


def parse_host(text: str) -> str:
    """Return a name of a host in the form in which `Access` compares it: in small letters, without a port.

    :raises ValueError: it is no name, or has a port.
    """
    name = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    match = _HOST.fullmatch(name.lower())
    if match is None or match["port"] is not None or "*" in name:
        raise ValueError(f"expected the name of a host without a port, such as sync.example.com, got {shown(text)}")
    return match["name"]


def parse_origin(text: str) -> str:
    """Return an origin as browsers write it, or `*`.

    :raises ValueError: it is neither.
    """
    if text == ANY_ORIGIN:
        return text
    match = _ORIGIN.fullmatch(text.lower().removesuffix("/"))
    if match is None:
        raise ValueError(f'expected an origin such as https://example.com, or "*", got {shown(text)}')
    port = match["port"]
    return match["origin"] if port in (None, _DEFAULT_PORTS.get(match["scheme"])) else f"{match['origin']}:{port}"
