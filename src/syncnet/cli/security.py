"""The options of `syncnet serve` for tokens, hosts, origins and TLS, and what they mean for a listening socket."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import click

from syncnet.errors import ParameterError
from syncnet.server.access import Access, parse_host, parse_origin
from syncnet.server.address import KEEPALIVE_S, KEEPALIVE_S_MAX, KEEPALIVE_S_MIN, is_loopback
from syncnet.server.tls import TLS, TLSError, check_tls
from syncnet.server.tokens import TokenFileError, Tokens, load_tokens
from syncnet.wire.durations import parse_duration_s

__all__ = ["Security", "security_options"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Security:
    """The values of the options, with their files read and checked.

    :raises click.ClickException: (by the constructor) options contradict each other, or a file is invalid.
    """

    token_file: Path | None = None
    cors_origin: tuple[str, ...] = ()
    allow_host: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    keepalive: int = KEEPALIVE_S
    tokens: Tokens | None = field(init=False)
    tls: TLS | None = field(init=False)

    def __post_init__(self) -> None:
        try:
            tokens = None if self.token_file is None else load_tokens(self.token_file)
        except TokenFileError as error:
            raise click.ClickException(f"--token-file {error}") from None
        object.__setattr__(self, "tokens", tokens)
        object.__setattr__(self, "tls", self._tls())

    def _tls(self) -> TLS | None:
        if self.tls_cert is None and self.tls_key is None:
            if self.tls_client_ca is not None:
                raise click.UsageError("--tls-client-ca needs --tls-cert and --tls-key.")
            return None
        if self.tls_cert is None or self.tls_key is None:
            raise click.UsageError("--tls-cert and --tls-key go together.")
        tls = TLS(self.tls_cert, self.tls_key, self.tls_client_ca)
        try:
            check_tls(tls)
        except TLSError as error:
            raise click.ClickException(f"TLS: {error}") from None
        return tls

    @property
    def keepalive_s(self) -> int:
        """How long a client may be silent, in seconds, before its connection counts as lost."""
        return self.keepalive

    @property
    def scheme(self) -> str:
        """The scheme of the URLs of this server."""
        return "http" if self.tls is None else "https"

    def of(self, listener: socket.socket) -> dict[str, Any]:
        """Return keyword arguments of `syncnet.server.serve.serve` for a server on `listener`."""
        checks_hosts = is_loopback(listener) or self.allow_host
        access = Access(self.tokens, origins=self.cors_origin, hosts=self.allow_host if checks_hosts else None)
        on_hangup = None if self.token_file is None else functools.partial(_reload, access, self.token_file)
        return {"access": access, "tls": self.tls, "on_hangup": on_hangup}

    def warnings(self, listener: socket.socket) -> Iterator[str]:
        """Yield warnings, if clients of other machines can reach `listener` and are not authenticated or encrypted."""
        if is_loopback(listener):
            return
        host, port = listener.getsockname()[:2]
        where = "all addresses of this machine" if host in ("::", "0.0.0.0") else host  # noqa: S104 - compared
        if self.tokens is None and self.tls_client_ca is None:
            yield f"WARNING: port {port} gives full access to all clients: it listens on {where} and requires no token."
            yield "WARNING:   to serve this machine only:  syncnet 127.0.0.1:" + str(port)
            yield "WARNING:   to require tokens:           syncnet token NAME >> tokens.yaml"
            yield f"WARNING:                                syncnet :{port} --token-file tokens.yaml"
        elif self.tokens is not None and self.tls is None:
            yield (
                f"WARNING: tokens are sent unencrypted over the network to {where}; "
                "use --tls-cert and --tls-key, or a proxy that speaks TLS"
            )


def _reload(access: Access, token_file: Path) -> None:
    try:
        tokens = load_tokens(token_file)
    except TokenFileError as error:
        click.echo(f"syncnet: the tokens were not reloaded: {error}", err=True)
        return
    access.tokens = tokens
    click.echo(f"syncnet: {len(tokens)} {'token' if len(tokens) == 1 else 'tokens'} read from {token_file}", err=True)


class _Parsed(click.ParamType[_T], Generic[_T]):
    """An option that is parsed by a function which raises `ValueError` for an invalid value."""

    def __init__(self, name: str, parse: Callable[[str], _T]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> _T:
        if not isinstance(value, str):
            given: _T = value
            return given
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _parse_keepalive(text: str) -> int:
    try:
        seconds = parse_duration_s("keepalive", text)
    except ParameterError as error:
        raise ValueError(str(error)) from None
    if not KEEPALIVE_S_MIN <= seconds <= KEEPALIVE_S_MAX:
        raise ValueError(f"expected {KEEPALIVE_S_MIN}s to {KEEPALIVE_S_MAX // 3600}h, got {text}")
    return int(seconds)  # TCP counts whole seconds; rounded down


_FILE: Final = click.Path(path_type=Path)
_OPTIONS: Final = (
    click.option(
        "--token-file",
        metavar="FILE",
        type=_FILE,
        help="Require a token of this file, made by `syncnet token`. Read again at SIGHUP. Default: no token needed.",
    ),
    click.option(
        "--cors-origin",
        metavar="ORIGIN",
        type=_Parsed("origin", parse_origin),
        multiple=True,
        help="Allow web pages of this origin, or of any: *. May be repeated. Default: only those of the server itself.",
    ),
    click.option(
        "--allow-host",
        metavar="NAME",
        type=_Parsed("host", parse_host),
        multiple=True,
        help="A host name of this server, besides localhost. Checked if given, and always on loopback.",
    ),
    click.option("--tls-cert", metavar="FILE", type=_FILE, help="Serve HTTPS: certificate and chain, as PEM."),
    click.option(
        "--tls-key", metavar="FILE", type=_FILE, help="The key of the certificate, as PEM without a password."
    ),
    click.option(
        "--tls-client-ca",
        metavar="FILE",
        type=_FILE,
        help="Accept only clients with a certificate of these authorities, as PEM.",
    ),
    click.option(
        "--keepalive",
        metavar="DURATION",
        type=_Parsed("duration", _parse_keepalive),
        default=f"{KEEPALIVE_S}s",
        show_default=True,
        help="How long a client may be silent, because its machine or network failed, until it counts as disconnected.",
    ),
)


def security_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets their values as one `Security` in the parameter `security`."""

    @functools.wraps(command)
    def collected(**values: Any) -> None:
        named = {each.name: values.pop(each.name) for each in fields(Security) if each.init}
        command(**values, security=Security(**named))

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected
