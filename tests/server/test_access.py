"""Access control without a server: hosts, origins, tokens."""

from collections.abc import Mapping
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet.errors import AccessError
from syncnet.server.access import Access, Caller, parse_host, parse_origin
from syncnet.server.request import LOOKED_AT
from syncnet.server.tokens import new_token, parse_tokens


class FakeRequest:
    """A request to http://localhost:8000 with the given headers."""

    def __init__(
        self, headers: Mapping[str, str], method: str = "GET", scheme: str = "http", http_version: str = "1.1"
    ) -> None:
        self.method, self.scheme, self.http_version = method, scheme, http_version
        self._headers = {"host": "localhost:8000", **headers}
        self.present = LOOKED_AT.intersection(self._headers)
        self.host = self._headers["host"]

    def header(self, name: str) -> str:
        return self._headers.get(name, "")


def admit(
    access: Access,
    headers: Mapping[str, str],
    method: str = "GET",
    scheme: str = "http",
    http_version: str = "1.1",
) -> Caller | str:
    """Return the caller, or the code of the error."""
    try:
        return access.admit(FakeRequest(headers, method, scheme, http_version))
    except AccessError as error:
        return error.code


OWN_ORIGIN = "http://localhost:8000"
OTHER_ORIGIN = "https://there.example"


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({}, True),  # curl
        ({"sec-fetch-site": "none"}, True),  # typed into a browser
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": OWN_ORIGIN}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://localhost:8000"}, True),  # behind a proxy with TLS
        ({"origin": OWN_ORIGIN}, True),  # a browser without Sec-Fetch-Site
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "something new"}, False),
        ({"sec-fetch-site": "cross-site", "origin": OWN_ORIGIN}, False),
        ({"sec-fetch-site": "same-site", "origin": "http://localhost:3000"}, False),
        ({"sec-fetch-site": "none", "origin": "chrome-extension://abcdef"}, False),
        ({"origin": OTHER_ORIGIN}, False),
        ({"origin": "http://localhost:8001"}, False),
        ({"origin": "https://localhost:8000"}, False),
        ({"origin": "http://localhost"}, False),
        ({"origin": "http://localhost:8000.there.example"}, False),
        ({"origin": "null"}, False),
    ],
)
def test_pages_of_other_origins_are_refused(headers: dict[str, str], admitted: bool) -> None:
    assert admit(Access(), headers) == (Caller() if admitted else "cross-site")


def test_the_servers_own_origin_has_its_scheme() -> None:
    assert admit(Access(), {"origin": "https://localhost:8000"}, scheme="https") == Caller()
    assert admit(Access(), {"origin": "http://localhost:8000"}, scheme="https") == "cross-site"


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
def test_an_allowed_origin_is_admitted_with_cors_headers(site: str) -> None:
    access = Access(origins=[OTHER_ORIGIN])
    caller = admit(access, {"origin": OTHER_ORIGIN, "sec-fetch-site": site})
    assert isinstance(caller, Caller)
    assert dict(caller.headers)["access-control-allow-origin"] == OTHER_ORIGIN
    assert dict(caller.headers)["vary"] == "Origin"
    assert "Syncnet-Id" in dict(caller.headers)["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in dict(caller.headers)
    assert not caller.is_preflight
    assert admit(access, {"origin": "https://elsewhere.example", "sec-fetch-site": site}) == "cross-site"
    assert admit(access, {"origin": "null", "sec-fetch-site": site}) == "cross-site"
    assert admit(access, {"sec-fetch-site": "cross-site"}) == "cross-site", "the origin is unknown"
    assert admit(access, {}) == Caller(headers=(("vary", "Origin"),))


def test_with_a_star_every_origin_is_admitted() -> None:
    access = Access(origins=["*"])
    for headers in ({"origin": OTHER_ORIGIN}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert isinstance(admit(access, headers), Caller)


def test_without_origins_no_origin_is_checked() -> None:
    assert admit(Access(origins=None), {"origin": OTHER_ORIGIN, "sec-fetch-site": "cross-site"}) == Caller()


def test_a_preflight_request_needs_an_allowed_origin_and_no_token() -> None:
    headers = {"origin": OTHER_ORIGIN, "access-control-request-method": "POST"}
    _, entry = new_token("x", ["*"], ["sync"])
    caller = admit(Access(parse_tokens(entry.encode()), origins=[OTHER_ORIGIN]), headers, "OPTIONS")
    assert isinstance(caller, Caller)
    assert caller.is_preflight
    assert dict(caller.headers)["access-control-allow-methods"] == "GET, HEAD, POST, DELETE"
    assert "Authorization, Content-Type" in dict(caller.headers)["access-control-allow-headers"]
    assert admit(Access(), headers, "OPTIONS") == "cross-site"
    get = admit(Access(origins=[OTHER_ORIGIN]), headers, "GET")
    assert isinstance(get, Caller)
    assert not get.is_preflight


@pytest.mark.parametrize(
    ("host", "admitted"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("LocalHost:8000", True),
        ("localhost.:8000", True),
        ("app.localhost:1", True),
        ("127.0.0.1", True),
        ("127.1.2.3:8000", True),
        ("[::1]:8000", True),
        ("sync.example.com:8000", True),
        ("evil.example", False),
        ("evil.example:8000", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("evillocalhost", False),
        (".localhost", False),
        ("sync.example.com.evil.example", False),
        ("x.sync.example.com", False),
        ("192.168.0.1", False),
        ("[::2]", False),
        ("localhost@evil.example", False),
        ("localhost:8000:9", False),
        ("localhost\n", False),
    ],
)
def test_only_loopback_and_allowed_hosts_are_admitted(host: str, admitted: bool) -> None:
    access = Access(hosts=[parse_host("Sync.Example.com")])
    for _ in range(2):  # the second time the host is cached
        assert admit(access, {"host": host}) == (Caller() if admitted else "unknown-host")
    assert admit(Access(), {"host": host}) == Caller()


@pytest.mark.parametrize("access", [Access(), Access(hosts=[])], ids=["any", "loopback"])
def test_exactly_one_host_is_required_except_in_http_1_0(access: Access) -> None:
    """RFC 9112, section 3.2. HTTP/2 has `:authority` instead."""
    assert admit(access, {"host": ""}) == "bad-host"
    for http_version in ("1.0", "2"):
        assert admit(access, {"host": ""}, http_version=http_version) == Caller()
    for http_version in ("1.0", "1.1"):
        assert admit(access, {"host": "localhost, localhost"}, http_version=http_version) == "bad-host"
    assert admit(access, {"host": ""}) == "bad-host", "what was admitted before is no excuse"


def test_more_hosts_than_the_cache_holds_are_admitted() -> None:
    access = Access(hosts=[])
    for number in range(1_000):
        assert admit(access, {"host": f"x{number}.localhost"}) == Caller()


HEADER = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["localhost", "same-origin", "none", OWN_ORIGIN, OTHER_ORIGIN, "Bearer x", "[::1]:1", "[", ":"]),
)


@given(st.fixed_dictionaries(dict.fromkeys(("host", "origin", "sec-fetch-site", "authorization"), HEADER)))
def test_random_headers_are_admitted_only_from_the_own_origin(headers: dict[str, str]) -> None:
    """Every header value is either admitted or refused, without another exception."""
    secret, entry = "x", f'- {{name: x, sha256: {sha256(b"x").hexdigest()}, namespaces: ["*"], roles: [sync]}}'
    caller = admit(Access(parse_tokens(entry.encode()), hosts=[]), headers)
    if isinstance(caller, Caller):
        assert headers["sec-fetch-site"] in ("", "none", "same-origin")
        assert (
            headers["origin"] in ("", f"http://{headers['host'].lower()}") or headers["sec-fetch-site"] == "same-origin"
        )
        assert caller.name == "" or headers["authorization"].split(" ")[-1].strip() == secret
    else:
        assert caller in ("cross-site", "unknown-host", "bad-host")


def test_a_token_has_only_its_roles_and_namespaces() -> None:
    secret, entry = new_token("ci", ["ci-*"], ["sync"])
    access = Access(parse_tokens(entry.encode()))
    caller = access.admit(FakeRequest({"authorization": f"bearer {secret}"}))
    assert caller.name == "ci"
    caller.require("sync", "ci-1")
    for role, namespace in (("sync", "default"), ("observe", "ci-1"), ("observe", None)):
        with pytest.raises(AccessError) as error:
            caller.require(role, namespace)
        assert error.value.code == "forbidden"
        assert secret not in str(error.value)


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Basic SECRET",
        "SECRET",
        "BearerSECRET",
        "Bearer SECRETx",
        "Bearer é",
    ],
)
def test_a_missing_or_unknown_token_is_unauthorized(authorization: str) -> None:
    secret, entry = new_token("ci", ["*"], ["admin"])
    sent = authorization.replace("SECRET", secret)
    caller = Access(parse_tokens(entry.encode())).admit(FakeRequest({"authorization": sent}))
    assert caller.name == ""
    with pytest.raises(AccessError) as error:
        caller.require("sync")
    assert error.value.code == "unauthorized"
    assert secret not in str(error.value)
    assert "nonsense" not in str(error.value)


def test_without_tokens_every_caller_may_do_everything() -> None:
    caller = Access().admit(FakeRequest({"authorization": "Bearer whatever"}))
    assert caller.name == ""
    for role in ("sync", "observe", "admin"):
        caller.require(role, "any")


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("*", "*"),
        ("https://a.example", "https://a.example"),
        ("HTTPS://A.example/", "https://a.example"),
        ("https://a.example:443", "https://a.example"),
        ("http://a.example:80", "http://a.example"),
        ("http://a.example:443", "http://a.example:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_parse_origin(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text", ["", "null", "a.example", "https://", "https://a/b", "https://*.a", "https://u@a", "a b"]
)
def test_parse_origin_rejects_other_text(text: str) -> None:
    with pytest.raises(ValueError, match="expected an origin such as"):
        parse_origin(text)


@pytest.mark.parametrize(
    ("text", "host"), [("A.example", "a.example"), ("10.0.0.7", "10.0.0.7"), ("::2", "[::2]"), ("[::2]", "[::2]")]
)
def test_parse_host(text: str, host: str) -> None:
    assert parse_host(text) == host


@pytest.mark.parametrize("text", ["", "a:80", "[::2]:80", "*", "*.example", "http://a", "a/b", "a b"])
def test_parse_host_rejects_other_text(text: str) -> None:
    with pytest.raises(ValueError, match="expected a host name"):
        parse_host(text)
