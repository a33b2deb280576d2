"""What a client asks for, and as whom."""

import json
from pathlib import Path
from typing import Any

import pytest

from syncnet import AsyncClient, Client, ParameterError
from syncnet.client.requests import Request, Target, make_id, make_offer


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header"),
    [
        ("http://localhost:8000", "localhost", 8000, "/event", "localhost:8000"),
        ("http://localhost:8000/", "localhost", 8000, "/event", "localhost:8000"),
        ("https://sync.example", "sync.example", 443, "/event", "sync.example"),
        ("http://[::1]:80/a/b%20c", "::1", 80, "/a/b%20c/event", "[::1]:80"),
    ],
)
def test_where_a_server_is(url: str, host: str, port: int, path: str, header: str) -> None:
    target = Target(url)
    assert (target.host, target.port) == (host, port)
    asked, headers = target.head(Request("GET", "/event", b""))
    assert asked == path
    assert ("Host", header) in headers


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000",
        "ftp://x",
        "http://",
        "http://x:0",
        "http://x:99999",
        "http://x?a=b",
        "http://x/#f",
        "http://[",
        "http://x y",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ParameterError, match=r"^url: expected a URL such as http://localhost:8000, got ") as caught:
        AsyncClient(url)
    assert caught.value.parameter == "url"


def test_secrets_are_not_shown() -> None:
    with pytest.raises(ParameterError) as caught:
        Client("http://me:s3cret@localhost")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ParameterError) as caught:
        Client("http://localhost", token="s3cret\r\nX: y")
    assert "s3cret" not in str(caught.value)
    client = Client("http://localhost", token="s3cret")
    assert "s3cret" not in repr(client)
    assert ("Authorization", "Bearer s3cret") in client._target.head(Request("GET", "/stats", b""))[1]


def test_files_of_certificates_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no")
    given: list[dict[str, Any]] = [{"ca": tmp_path / "no.pem"}, {"cert": tmp_path / "missing.pem"}]
    for options in given:
        with pytest.raises(ParameterError, match=f"^{next(iter(options))}: expected a file of certificates"):
            Target("https://localhost", **options).tls()


def test_an_offer_says_what_was_said_and_has_an_id() -> None:
    offer = make_offer(("coin",), "VM", {"mates": 2, "timeout": "1m30s", "labels": None, "payload": None})
    said = json.loads(offer.request.body)
    assert said == {
        "event": ["coin"], "actor": "VM", "mates": 2, "timeout": "1m30s", "payload": None, "id": offer.id
    }  # fmt: skip
    assert offer.timeout_s == 90
    assert len({make_id() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("parameter", "options"),
    [
        ("payload", {"payload": {1, 2}}),
        ("payload", {"payload": float("nan")}),
        ("payload", {"payload": "\ud800"}),
        ("timeout", {"timeout": "soon"}),
        ("timeout", {"timeout": True}),
    ],
)
def test_what_cannot_be_asked_for(parameter: str, options: dict[str, Any]) -> None:
    with pytest.raises(ParameterError) as caught:
        make_offer(("coin",), "VM", options)
    assert caught.value.parameter == parameter


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(TypeError, match=r"expected options out of payload, mates, .*, got mate$"):
        make_offer(("coin",), "VM", {"mate": 1})
