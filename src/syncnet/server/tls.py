"""Certificates: which files a server uses, and whether they do, before it serves.

Granian reads the files itself, and aborts the process with a panic where it cannot. So they are read here first, with
OpenSSL, to say what is wrong with them. What OpenSSL takes and rustls does not (a curve that the web does not use, a
certificate of version 1) is left to that panic, which comes before the server says that it serves.

TLS 1.2 is the least that is spoken: rustls, which granian uses, has of it only the cipher suites with forward secrecy
and authenticated encryption.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["TLS", "TLSError", "check_tls"]


_MISMATCHES: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class TLSError(Exception):
    """A file does not do; the message says which and why."""


class TLS(NamedTuple):
    """Files in PEM: the certificate with its chain, its key, and the authorities of client certificates.

    With `client_ca` a client without a certificate of one of those authorities gets no connection.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None


def check_tls(tls: TLS) -> None:
    """Return if a server can use these files.

    :raises TLSError: one is missing, cannot be read, is no PEM, has a password, or the key is another certificate's.
    """
    _expect(tls.cert, "CERTIFICATE", "a certificate")
    key = _expect(tls.key, "PRIVATE KEY", "a private key")
    if "ENCRYPTED" in key:
        raise TLSError(f"{tls.key}: expected a key without a password; openssl pkey -in {tls.key} takes it off")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert, tls.key)
    except ssl.SSLError as error:
        if error.reason in _MISMATCHES:
            raise TLSError(f"{tls.key}: expected the key of {tls.cert}, got that of another certificate") from None
        raise TLSError(f"{tls.cert} and {tls.key}: cannot be used: {_reason(error)}") from None
    if tls.client_ca is not None:
        _expect(tls.client_ca, "CERTIFICATE", "certificates of authorities")
        try:
            context.load_verify_locations(tls.client_ca)
        except ssl.SSLError as error:
            raise TLSError(f"{tls.client_ca}: cannot be used: {_reason(error)}") from None


def _expect(path: Path, label: str, what: str) -> str:
    try:
        text = path.read_text("latin-1")
    except OSError as error:
        raise TLSError(f"{path}: cannot be read: {error.strerror}") from None
    if f"{label}-----" not in text:
        raise TLSError(f"{path}: expected {what} in PEM, got none")
    return text


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "no valid PEM").replace("_", " ").lower()
