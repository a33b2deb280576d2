"""The requests that a client makes of its parameters."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from syncnet import AsyncClient, Client, OfferOptions, ParameterError
from syncnet.client.requests import Request, Target, Urls, make_id, make_offer, make_targets, make_withdrawal, next_page


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "header"),
    [
        ("http://localhost:8000", "localhost", 8000, "/event", "localhost:8000"),
        ("http://localhost:8000/", "localhost", 8000, "/event", "localhost:8000"),
        ("https://sync.example", "sync.example", 443, "/event", "sync.example"),
        ("http://[::1]:80/a/b%20c", "::1", 80, "/a/b%20c/event", "[::1]:80"),
    ],
)
def test_a_url_gives_host_port_path_and_header(url: str, host: str, port: int, path: str, header: str) -> None:
    target = Target(url)
    assert (target.host, target.port) == (host, port)
    request_target, headers = target.head(Request("GET", "/event", b""))
    assert request_target == path
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
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ParameterError, match=r"^url: expected a URL such as http://localhost:8000, got ") as caught:
        AsyncClient(url)
    assert caught.value.parameter == "url"


@pytest.mark.parametrize(
    "urls",
    [
        "http://a:8000,http://b:8001/under",
        " http://a:8000 , http://b:8001/under/",
        ["http://a:8000", "http://b:8001/under"],
        ("http://a:8000/", "http://b:8001/under"),
        (url for url in ("http://a:8000", "http://b:8001/under")),
    ],
)
def test_several_servers_are_named_by_a_list_or_by_commas(urls: Urls) -> None:
    targets = make_targets(urls, token="s3cret")
    assert [target.url for target in targets] == ["http://a:8000", "http://b:8001/under"]
    assert {header for target in targets for header in target.head(Request("GET", "/stats", b""))[1]} >= {
        ("Authorization", "Bearer s3cret"),
        ("Host", "a:8000"),
        ("Host", "b:8001"),
    }


@pytest.mark.parametrize("urls", ["", ",", "http://a:8000,", "http://a:8000,b:8000", [], ["http://a", ""], None, 8000])
def test_invalid_lists_of_servers(urls: Any) -> None:
    with pytest.raises(ParameterError, match=r"^url: expected "):
        make_targets(urls)


def test_secrets_are_not_shown() -> None:
    with pytest.raises(ParameterError) as caught:
        Client("http://me:s3cret@localhost")
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ParameterError) as caught:
        Client("http://localhost", token="s3cret\r\nX: y")
    assert "s3cret" not in str(caught.value)
    client = Client("http://localhost", token="s3cret")
    assert "s3cret" not in repr(client)
    assert ("Authorization", "Bearer s3cret") in client._callers.targets[0].head(Request("GET", "/stats", b""))[1]


def test_a_certificate_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no")
    given: list[dict[str, Any]] = [{"ca": tmp_path / "no.pem"}, {"cert": tmp_path / "missing.pem"}]
    for options in given:
        with pytest.raises(ParameterError, match=f"^{next(iter(options))}: expected a file of certificates"):
            Target("https://localhost", **options).tls()


def test_an_offer_has_the_given_options_and_an_id() -> None:
    offer = make_offer(("coin",), "VM", None, {"mates": 2, "timeout": "1m30s", "labels": None, "selector": ""})
    assert offer.request.path == "/event"
    assert json.loads(offer.request.body) == {
        "event": ["coin"],
        "actor": "VM",
        "payload": None,
        "mates": 2,
        "timeout": "1m30s",
        "selector": "",
        "id": offer.id,
    }
    assert offer.timeout_s == 90
    assert len({make_id() for _ in range(100)}) == 100


def test_labels_as_a_text_are_sent_in_the_query() -> None:
    """The server reads the text there, so that its syntax and its errors are those of a URL."""
    offer = make_offer(("coin",), "VM", "", {"labels": "tier=gold, zone=ä"})
    assert parse_qs(urlsplit(offer.request.path).query) == {"labels": ["tier=gold, zone=ä"]}
    assert "labels" not in json.loads(offer.request.body)


def test_a_roster_can_be_a_text_or_any_iterable() -> None:
    for expect in ("BEN, CLARA", ["BEN", "CLARA"], (name for name in ("BEN", "CLARA"))):
        assert make_offer(("start",), "ANNA", "", {"expect": expect}).other_actors == ("BEN", "CLARA")


@pytest.mark.parametrize(
    ("parameter", "payload", "options"),
    [
        ("payload", {1, 2}, {}),
        ("payload", float("nan"), {}),
        ("payload", "\ud800", {}),
        ("labels", "", {"labels": "k=\ud800"}),
        ("labels", "", {"labels": {1, 2}}),
        ("timeout", "", {"timeout": "soon"}),
        ("timeout", "", {"timeout": True}),
    ],
)
def test_a_value_without_a_json_form_is_refused(parameter: str, payload: Any, options: OfferOptions) -> None:
    with pytest.raises(ParameterError) as caught:
        make_offer(("coin",), "VM", payload, options)
    assert caught.value.parameter == parameter


def test_an_id_that_utf8_cannot_encode_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"^id: expected a text that UTF-8 can encode"):
        make_withdrawal("\ud800", None)


def test_an_unknown_option_is_a_type_error() -> None:
    with Client("http://localhost") as client:
        with pytest.raises(TypeError, match="unexpected keyword argument 'mate'"):
            client.sync("coin", actor="VM", mate=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="unexpected keyword argument 'mate'"):
            client.actor("VM").sync("coin", mate=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("path", "link", "following"),
    [
        ("/stats", '<?namespace=default&after=7&limit=2>; rel="next"', "/stats?namespace=default&after=7&limit=2"),
        ("/stats?namespace=ci&after=7", '<?namespace=ci&after=8>; rel="next"', "/stats?namespace=ci&after=8"),
        ("/stats?after=7", '<?after=7>; rel="next"', None),
        ("/stats", "", None),
        ("/stats", '<?after=7>; rel="prev"', None),
        ("/stats", '<https://elsewhere.example/?after=7>; rel="next"', None),
        ("/stats", '<?after=7 HTTP/1.1\r\nX: y>; rel="next"', None),
    ],
)
def test_the_next_page_is_the_one_that_the_link_names(path: str, link: str, following: str | None) -> None:
    page = next_page(Request("GET", path, b""), link)
    assert (page and page.path) == following
