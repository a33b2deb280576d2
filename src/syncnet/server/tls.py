"""TLS: checks the certificate files before the server starts.

Granian reads the files itself, and aborts the process with a panic if it cannot use them. So they are read here first,
with OpenSSL, to report a clear error. A file that OpenSSL accepts and rustls rejects (an unusual curve, a certificate
of version 1) still causes that panic, before the server reports that it is ready.

The minimum version is TLS 1.2. Of its cipher suites, rustls (which granian uses) supports only those with forward
secrecy and authenticated encryption.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["TLS", "TLSError", "check_tls"]


_MISMATCHES: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class TLSError(Exception):
    """A certificate file is invalid; the message says which and why."""


class TLS(NamedTuple):
    """Paths of PEM files: the certificate with its chain, its key, and the authorities of client certificates.

    With `client_ca`, a client without a certificate from one of these authorities cannot connect.
    """

    cert: Path
    key: Path
    client_ca: Path | None = None


def check_tls(tls: TLS) -> None:
    """Return if a server can use these files.

    :raises TLSError: a file is missing, cannot be read, is not PEM, has a password, or the key does not match.
    """
    _expect(tls.cert, "CERTIFICATE", "a certificate")
    key = _expect(tls.key, "PRIVATE KEY", "a private key")
    if "ENCRYPTED" in key:
        raise TLSError(f"{tls.key}: expected a key without a password; openssl pkey -in {tls.key} removes it")
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
