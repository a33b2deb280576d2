"""Access control: which request is admitted, and what its caller may do. Pure decisions, no I/O.

A request is checked twice. `Access.admit` checks where it comes from, before the request is processed: its `Host` (that
there is exactly one, as RFC 9112 section 3.2 requires; and its name, against DNS rebinding), the origin of the web page
that sent it (against cross-site requests), and its token. It returns a `Caller`. `Caller.require` checks the role, once
the operation and the namespace are known.

A browser says where a request comes from in headers that a page can neither set nor remove: `Sec-Fetch-Site` (W3C Fetch
Metadata) and `Origin` (RFC 6454). Other clients send neither, and are admitted.

Without tokens, every caller may do everything. This module knows nothing about paths and parameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

from syncnet.core.labels import shown
from syncnet.errors import AccessError
from syncnet.server.tokens import Token, Tokens

__all__ = ["ANONYMOUS", "ANY_NAMESPACE", "ANY_ORIGIN", "Access", "Asking", "Caller", "parse_host", "parse_origin"]

Headers: TypeAlias = tuple[tuple[str, str], ...]

ANY_ORIGIN: Final = "*"
ANY_NAMESPACE: Final = "*"
"""The namespace to `require` for an operation that shows all namespaces: only tokens for `*` have it."""

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^][:/@?#\s,]+?)\.?(?::(?P<port>[0-9]*))?")
_LOOPBACK: Final = re.compile(r"localhost|.+\.localhost|127(?:\.[0-9]{1,3}){3}|\[::1\]")
_ORIGIN: Final = re.compile(r"(?P<origin>(?P<scheme>[a-z][-a-z0-9+.]*)://[^/@?#\s,*]+?)(?::(?P<port>[0-9]+))?")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
_ACCEPTED_HOSTS_MAX: Final = 64  # the cache of hosts that were checked

_VARY: Final = ("vary", "Origin")
_EXPOSED: Final = (
    "access-control-expose-headers",
    "Syncnet-Id, Syncnet-Rank, Syncnet-Pending, Syncnet-Syncs, Syncnet-Misses, Syncnet-Node, "
    "Allow, Link, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate",
)
_PREFLIGHT: Final = (
    ("access-control-allow-methods", "GET, HEAD, POST, DELETE"),
    ("access-control-allow-headers", "Authorization, Content-Type, Last-Event-ID, Traceparent, Tracestate"),
    ("access-control-max-age", "600"),
)


class Asking(Protocol):
    """What `Access` reads from a request."""

    method: str
    present: frozenset[str]
    """The headers that it has, of those that are looked at."""

    host: str
    """Empty if it has no `Host`; with a comma in it if it has several."""

    @property
    def http_version(self) -> str:
        """`1.1`, for example."""

    @property
    def scheme(self) -> str:
        """`http` or `https`."""

    def header(self, name: str) -> str:
        """Return the value of the header `name` (in lower case); empty if the request does not have it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of an admitted request.

    `name` is the name of its token, empty if no tokens are in use. `headers` must be added to every response to this
    request. `is_preflight` is true for a CORS preflight request, whose response is 204 with these headers. If it is
    not `is_restricted`, `require` never raises.
    """

    name: str = ""
    headers: Headers = ()
    is_preflight: bool = False
    is_restricted: bool = False
    _token: Token | None = None
    _refusal: str = ""

    def require(self, role: str, namespace: str | None = None) -> None:
        """Return if the caller has `role` in `namespace` (in any, if None).

        :raises AccessError: 401 if it sent no known token, 403 if its token lacks the role or the namespace.
        """
        if self._refusal:
            raise AccessError("unauthorized", self._refusal)
        if self._token is not None:
            self._token.require(role, namespace)

    def may(self, role: str, namespace: str) -> bool:
        """Return whether `require` would return without an error."""
        try:
            self.require(role, namespace)
        except AccessError:
            return False
        return True


ANONYMOUS: Final = Caller()
"""The caller where nothing is restricted."""


class Access:
    """The access rules of one server.

    `tokens` may be replaced at any time; with None every caller may do everything. `origins`, as `parse_origin` returns
    them, are the origins whose pages may send requests, in addition to the server's own; with None origins are not
    checked, for an application that checks them itself. `hosts`, as `parse_host` returns them, are the host names that
    are accepted, in addition to loopback names; with None every host is accepted.
    """

    def __init__(
        self, tokens: Tokens | None = None, *, origins: Iterable[str] | None = (), hosts: Iterable[str] | None = None
    ) -> None:
        self.tokens = tokens
        self._origins = None if origins is None else frozenset(origins)
        self._hosts = None if hosts is None else frozenset(hosts)
        self._accepted_hosts: set[str] = set()
        self._caller = replace(ANONYMOUS, headers=(_VARY,)) if self._origins else ANONYMOUS

    def admit(self, request: Asking) -> Caller:
        """Return the caller of a request.

        :raises AccessError: 400: its `Host` is missing or repeated. 403: the request comes from a page of another site,
            or its `Host` is not this server's.
        """
        if request.host not in self._accepted_hosts:
            self._check_host(request)
        caller = self._caller
        present = request.present
        if self.tokens is None and "origin" not in present and "sec-fetch-site" not in present:
            return caller
        site, origin = request.header("sec-fetch-site"), request.header("origin")
        if (site or origin) and self._origins is not None:
            caller = self._check_origin(request, site, origin, self._origins)
        if self.tokens is None or caller.is_preflight:  # browsers send preflight requests without the token
            return caller
        return _with_token(caller, self.tokens, request.header("authorization"))

    def may_still(self, caller: Caller, role: str, namespace: str) -> bool:
        """Return whether a caller that was admitted earlier has `role` in `namespace` by the present tokens."""
        if self.tokens is None:
            return True
        token = None if caller._token is None else self.tokens.renewed(caller._token)
        return token is not None and replace(caller, _token=token).may(role, namespace)

    def _check_host(self, request: Asking) -> None:
        host = request.host
        if not host and request.http_version != "1.1":  # a browser always sends one
            return
        if not host or "," in host:
            got = f"several: {shown(host)}" if host else "none"
            raise AccessError("bad-host", f"expected the header Host once, got {got}")
        if self._hosts is not None:
            match = _HOST.fullmatch(host.lower())
            name = match["name"] if match else ""
            if name not in self._hosts and not _LOOPBACK.fullmatch(name):
                raise AccessError(
                    "unknown-host", f"expected a Host name of this server, got {shown(host)}; --allow-host adds a name"
                )
        if len(self._accepted_hosts) < _ACCEPTED_HOSTS_MAX:
            self._accepted_hosts.add(host)

    def _check_origin(self, request: Asking, site: str, origin: str, allowed: frozenset[str]) -> Caller:
        """Return the caller of a request from a browser: same origin or an allowed one; refuse other origins."""
        if site == "same-origin" or (
            site in ("", "none") and origin in ("", f"{request.scheme}://{request.header('host').lower()}")
        ):
            return self._caller
        if ANY_ORIGIN not in allowed and (not origin or origin not in allowed):
            got = f"Origin: {shown(origin)}" if origin else f"Sec-Fetch-Site: {shown(site)}"
            raise AccessError("cross-site", f"expected no page of another origin, got {got}; --cors-origin allows one")
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
        return replace(caller, is_restricted=True, _refusal="expected a token from the token file, got an unknown one")
    return replace(caller, name=token.name, is_restricted=True, _token=token)


def parse_host(text: str) -> str:
    """Return a host name in the form in which `Access` compares it: in lower case, without a port.

    :raises ValueError: it is not a host name, or has a port.
    """
    name = f"[{text}]" if text.count(":") > 1 and not text.startswith("[") else text
    match = _HOST.fullmatch(name.lower())
    if match is None or match["port"] is not None or "*" in name:
        raise ValueError(f"expected a host name without a port, such as sync.example.com, got {shown(text)}")
    return match["name"]


def parse_origin(text: str) -> str:
    """Return an origin in the form in which browsers send it, or `*`.

    :raises ValueError: it is neither.
    """
    if text == ANY_ORIGIN:
        return text
    match = _ORIGIN.fullmatch(text.lower().removesuffix("/"))
    if match is None:
        raise ValueError(f'expected an origin such as https://example.com, or "*", got {shown(text)}')
    port = match["port"]
    return match["origin"] if port in (None, _DEFAULT_PORTS.get(match["scheme"])) else f"{match['origin']}:{port}"
