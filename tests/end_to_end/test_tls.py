"""HTTPS and client certificates, with certificates made here and a real curl; and invalid files."""

import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.end_to_end.running import Server, running

HOUR = timedelta(hours=1)


class Files:
    """A certificate for `localhost` with its key and authority, and a client certificate of another authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        authority, clients = trustme.CA(), trustme.CA()
        own, client = authority.issue_cert("localhost", "127.0.0.1"), clients.issue_cert("client@example.org")
        self.cert, self.key = self.file("cert.pem", *own.cert_chain_pems), self.file("key.pem", own.private_key_pem)
        self.ca = self.file("ca.pem", authority.cert_pem)
        self.client_ca = self.file("client-ca.pem", clients.cert_pem)
        self.client = self.file("client.pem", client.private_key_and_cert_chain_pem)
        self.other_key = self.file("other-key.pem", client.private_key_pem)

    def file(self, name: str, *blobs: trustme.Blob) -> str:
        path = self.folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)

    def of_client(self, certificate: str | None = None) -> dict[str, ssl.SSLContext]:
        """Return arguments for httpx with these files."""
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(certificate)
        return {"verify": context}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def https(files: Files) -> Iterator[Server]:
    with running("--tls-cert", files.cert, "--tls-key", files.key, client=files.of_client()) as server:
        yield server


def curl(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["curl", "--silent", "--show-error", "--max-time", "20", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_curl_syncs_over_https(https: Server, files: Files) -> None:
    url = f"{https.url}/event?event=coin&actor="
    assert url.startswith("https://")
    with subprocess.Popen(["curl", "--silent", "--cacert", files.ca, f"{url}VM"], stdout=subprocess.PIPE) as waiting:
        https.until_pending(1)
        done = curl("--cacert", files.ca, f"{url}CUST")
        assert '"payloads":{"VM":"","CUST":""}' in done.stdout
        assert waiting.communicate()[0].decode() == done.stdout


@pytest.mark.parametrize(("version", "works"), [("1.3", True), ("1.2", True), ("1.1", False)])
def test_tls_1_2_and_later_are_supported(https: Server, files: Files, version: str, works: bool) -> None:
    done = curl("--cacert", files.ca, "--tls-max", version, f"{https.url}/healthz")
    assert (done.stdout == "ok\n") is works, done.stderr


def test_http1_is_negotiated_with_a_client_that_offers_http2(https: Server, files: Files) -> None:
    """G6 depends on it; see docs/decisions.md."""
    done = curl("--http2", "--cacert", files.ca, "--write-out", "%{http_version}", f"{https.url}/healthz")
    assert done.stdout == "ok\n1.1"


def test_g6_the_offer_of_a_killed_client_is_withdrawn_over_tls(https: Server, files: Files) -> None:
    for signum in (signal.SIGKILL, signal.SIGINT):
        url = f"{https.url}/event?event=coin&actor=VM"
        with subprocess.Popen(["curl", "--silent", "--cacert", files.ca, url], stdout=subprocess.PIPE) as waiting:
            https.until_pending(1)
            waiting.send_signal(signum)
            https.until_pending(0)


def test_g8_silent_handshakes_delay_nobody(https: Server) -> None:
    silent = [socket.create_connection(("127.0.0.1", https.port)) for _ in range(200)]
    for number in range(10):
        assert https.client.get(f"/event?event=e-{number}&actor=A&mates=0").status_code == 200
    for each in silent:
        each.close()


def test_the_servers_own_origin_is_https(https: Server) -> None:
    assert https.client.get("/stats", headers={"origin": https.url}).status_code == 200
    assert https.client.get("/stats", headers={"origin": https.url.replace("https", "http")}).status_code == 403


def test_only_clients_with_a_certificate_of_the_authority_can_connect(files: Files) -> None:
    options = ("--tls-cert", files.cert, "--tls-key", files.key, "--tls-client-ca", files.client_ca)
    with running(*options, address=":0", client=files.of_client(files.client)) as server:
        assert "WARNING" not in server.stderr, "every client has a certificate"
        url = f"{server.url}/event?event=e&actor=A&mates=0"
        assert '"sync":1' in curl("--cacert", files.ca, "--cert", files.client, url).stdout
        without = curl("--cacert", files.ca, url)
        assert (without.returncode != 0, without.stdout) == (True, "")
        foreign = trustme.CA().issue_cert("client@example.org")
        forged = files.file("forged.pem", foreign.private_key_and_cert_chain_pem)
        refused = curl("--cacert", files.ca, "--cert", forged, url)
        assert (refused.returncode != 0, refused.stdout) == (True, "")
        assert '"sync":2' in server.client.get(url).text


def test_a_key_that_only_openssl_accepts_ends_the_server_before_it_is_ready(tmp_path: Path) -> None:
    """Granian aborts the process; the server must not have printed before that it is ready."""
    key = ec.generate_private_key(ec.SECP256K1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + HOUR)
    both = tmp_path / "both.pem"
    both.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", "--tls-cert", str(both), "--tls-key", str(both)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0
    assert "failed to parse private key" in ended.stderr
    assert "serves on" not in ended.stderr


def test_invalid_files_end_the_server_with_a_message(files: Files, tmp_path: Path) -> None:
    noise, secret = tmp_path / "noise.pem", tmp_path / "secret.pem"
    noise.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    key = load_pem_private_key(Path(files.key).read_bytes(), None)
    secret.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")))
    cases = [
        (["--tls-cert", files.cert], "--tls-cert and --tls-key go together."),
        (["--tls-client-ca", files.ca], "--tls-client-ca needs --tls-cert and --tls-key."),
        (["--tls-cert", "none.pem", "--tls-key", files.key], "none.pem: cannot be read: No such file"),
        (["--tls-cert", files.cert, "--tls-key", str(tmp_path)], "cannot be read: Is a directory"),
        (["--tls-cert", files.key, "--tls-key", files.key], "key.pem: expected a certificate in PEM, got none"),
        (["--tls-cert", files.cert, "--tls-key", files.cert], "cert.pem: expected a private key in PEM, got none"),
        (["--tls-cert", str(noise), "--tls-key", files.key], "noise.pem and "),
        (["--tls-cert", files.cert, "--tls-key", files.other_key], "got that of another certificate"),
        (["--tls-cert", files.cert, "--tls-key", str(secret)], "expected a key without a password"),
        (
            ["--tls-cert", files.cert, "--tls-key", files.key, "--tls-client-ca", str(noise)],
            "noise.pem: cannot be used",
        ),
        (["--tls-cert", files.cert, "--tls-key", files.key, "--tls-client-ca", files.key], "expected certificates of"),
    ]
    for options, message in cases:
        command = [sys.executable, "-m", "syncnet", "127.0.0.1:0", *options]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert ended.returncode in (1, 2), options
        assert message in ended.stderr, options
        assert "serves on" not in ended.stderr
        assert "Traceback" not in ended.stderr
