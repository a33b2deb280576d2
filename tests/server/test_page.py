"""The files of the live page: which there are, how they are answered, and that no other can be read."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import syncnet
from syncnet.server.access import Access
from syncnet.server.page import FILES, PAGE_PATHS
from tests.server.fakes import USUAL, Answer, Exchange, Server

FOLDER = Path(syncnet.__file__).parent / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TEXTS = {name: (FOLDER / name).read_text() for name in FILES}


@pytest.fixture
def server() -> Iterator[Server]:
    with closing(Server()) as server:
        yield server


def answer(server: Server, path: str, method: str = "GET", **headers: str) -> Answer:
    ((status, answered, body),) = server.take(Exchange("", USUAL | headers, method, path)).answers
    return status, answered, body


def test_every_file_of_the_page_is_served_and_no_other() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(FILES)
    assert set(PAGE_PATHS) == {"/", "/favicon.ico", *(f"/ui/{name}" for name in FILES if name != "index.html")}


@pytest.mark.parametrize(
    ("path", "media_type", "name"),
    [
        ("/", "text/html; charset=utf-8", "index.html"),
        ("/ui/main.js", "text/javascript; charset=utf-8", "main.js"),
        ("/ui/style.css", "text/css; charset=utf-8", "style.css"),
        ("/ui/icon.svg", "image/svg+xml", "icon.svg"),
        ("/favicon.ico", "image/svg+xml", "icon.svg"),
    ],
)
def test_a_file_has_its_media_type_and_strict_headers(server: Server, path: str, media_type: str, name: str) -> None:
    status, headers, body = answer(server, path)
    assert (status, body) == (200, (FOLDER / name).read_bytes())
    named = dict(headers)
    assert named["content-type"] == media_type
    assert named["cache-control"] == "no-cache"
    assert named["content-security-policy"] == POLICY
    assert named["x-content-type-options"] == "nosniff"
    assert named["referrer-policy"] == "no-referrer"


def test_a_file_that_the_browser_has_is_not_sent_again(server: Server) -> None:
    _, headers, _ = answer(server, "/ui/main.js")
    etag = dict(headers)["etag"]
    status, headers, body = answer(server, "/ui/main.js", **{"if-none-match": f'"other", W/{etag}'})
    assert (status, body) == (304, b"")
    assert dict(headers)["etag"] == etag
    assert answer(server, "/ui/main.js", **{"if-none-match": '"other"'})[0] == 200


def test_head_is_answered_and_nothing_else(server: Server) -> None:
    assert answer(server, "/", "HEAD")[0] == 200
    for method in ("POST", "DELETE", "PUT", "OPTIONS"):
        status, headers, _ = answer(server, "/", method)
        assert (status, dict(headers)["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    ["/ui", "/ui/", "/ui/index.html", "/ui/../errors.py", "/ui/%2e%2e/errors.py", "/ui//main.js", "/ui/main.js/", "//"],
)
def test_no_other_path_leads_to_a_file(server: Server, path: str) -> None:
    assert answer(server, path)[0] == 404


def test_the_page_of_a_server_is_not_for_other_origins_and_hosts() -> None:
    with closing(Server(access=Access(hosts=()))) as server:
        assert answer(server, "/", host="evil.example")[0] == 403
        assert answer(server, "/", **{"sec-fetch-site": "cross-site"})[0] == 403
        assert answer(server, "/", **{"sec-fetch-site": "none"})[0] == 200


def test_the_page_has_no_inline_code_and_loads_nothing_from_elsewhere() -> None:
    html = TEXTS["index.html"]
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", html) == []
    references = re.findall(r"(?:src|href)=\"([^\"]*)\"", html)
    assert references
    assert all(reference.removeprefix("ui/") in FILES for reference in references)
    for name, text in TEXTS.items():
        urls = set(re.findall(r"https?://[^\"'` )]+", text)) - {"http://www.w3.org/2000/svg"}
        assert urls == set(), name


def test_the_page_never_reads_a_text_as_markup() -> None:
    for name, text in TEXTS.items():
        markup = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\b|Function\(", text
        )
        assert markup == [], name
