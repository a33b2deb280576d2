"""The options of `syncnet serve` that say who may come in, and what they mean for a listening socket."""

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
    """What the options say, read and checked.

    :raises click.ClickException: (when it is made) options that do not go together, or a file that does not do.
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
        """How long a client may be silent, in seconds, before its connection is taken for lost."""
        return self.keepalive

    @property
    def scheme(self) -> str:
        """What URLs of this server begin with."""
        return "http" if self.tls is None else "https"

    def of(self, listener: socket.socket) -> dict[str, Any]:
        """Return what `syncnet.server.serve.serve` is to be told of a server on `listener`."""
        checks_hosts = is_loopback(listener) or self.allow_host
        access = Access(self.tokens, origins=self.cors_origin, hosts=self.allow_host if checks_hosts else None)
        on_hangup = None if self.token_file is None else functools.partial(_reload, access, self.token_file)
        return {"access": access, "tls": self.tls, "on_hangup": on_hangup}

    def warnings(self, listener: socket.socket) -> Iterator[str]:
        """Yield lines that say what strangers can do, where they can reach `listener` and do something."""
        if is_loopback(listener):
            return
        host, port = listener.getsockname()[:2]
        where = "all addresses of this machine" if host in ("::", "0.0.0.0") else host  # noqa: S104 - compared
        if self.tokens is None and self.tls_client_ca is None:
            yield f"WARNING: whoever reaches port {port} may do everything: it listens on {where} and wants no token."
            yield "WARNING:   to serve this machine only:   syncnet 127.0.0.1:" + str(port)
            yield "WARNING:   to serve those with a token:  syncnet token NAME >> tokens.yaml"
            yield f"WARNING:                                 syncnet :{port} --token-file tokens.yaml"
        elif self.tokens is not None and self.tls is None:
            yield (
                f"WARNING: tokens come in clear over the network to {where}; "
                "--tls-cert and --tls-key, or a proxy that speaks TLS, keep them secret"
            )


def _reload(access: Access, token_file: Path) -> None:
    try:
        tokens = load_tokens(token_file)
    except TokenFileError as error:
        click.echo(f"syncnet: the tokens stay as they were: {error}", err=True)
        return
    access.tokens = tokens
    click.echo(f"syncnet: {len(tokens)} {'token' if len(tokens) == 1 else 'tokens'} read from {token_file}", err=True)


class _Parsed(click.ParamType[_T], Generic[_T]):
    """An option that is read by a function which raises `ValueError` for what does not do."""

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
    return int(seconds)  # TCP counts seconds; never later than was asked for


_FILE: Final = click.Path(path_type=Path)
_OPTIONS: Final = (
    click.option(
        "--token-file",
        metavar="FILE",
        type=_FILE,
        help="Who may do what: tokens that `syncnet token` made. Read again at SIGHUP. Default: everybody everything.",
    ),
    click.option(
        "--cors-origin",
        metavar="ORIGIN",
        type=_Parsed("origin", parse_origin),
        multiple=True,
        help="Let web pages of this origin ask, or of any: *. May be given several times. Default: none but its own.",
    ),
    click.option(
        "--allow-host",
        metavar="NAME",
        type=_Parsed("host", parse_host),
        multiple=True,
        help="A name by which it may be asked, beside localhost. Checked where this is given, and on loopback.",
    ),
    click.option("--tls-cert", metavar="FILE", type=_FILE, help="Serve HTTPS: certificate and chain, as PEM."),
    click.option(
        "--tls-key", metavar="FILE", type=_FILE, help="The key of the certificate, as PEM without a password."
    ),
    click.option(
        "--tls-client-ca",
        metavar="FILE",
        type=_FILE,
        help="Let in only clients with a certificate of these authorities, as PEM.",
    ),
    click.option(
        "--keepalive",
        metavar="DURATION",
        type=_Parsed("duration", _parse_keepalive),
        default=f"{KEEPALIVE_S}s",
        show_default=True,
        help="How soon a client whose machine or network vanished without a word is taken for gone.",
    ),
)


def security_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options, and hand them to it as one `Security` in the parameter `security`."""

    @functools.wraps(command)
    def collected(**values: Any) -> None:
        named = {each.name: values.pop(each.name) for each in fields(Security) if each.init}
        command(**values, security=Security(**named))

    for option in reversed(_OPTIONS):
        collected = option(collected)
    return collected
