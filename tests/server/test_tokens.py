"""Token files: what they contain, and errors that have the line and never a token."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncnet.errors import AccessError
from syncnet.server.tokens import TokenFileError, load_tokens, new_token, parse_tokens

SECRET = "syncnet_this-is-a-secret"
HASH = hashlib.sha256(SECRET.encode()).hexdigest()
GOOD = f"""
- name: ci
  sha256: {HASH}
  namespaces: ["ci-*", "shared"]
  roles: [sync]
"""


def test_a_new_token_is_found_by_its_entry() -> None:
    created = [new_token(name, ["a", "b-*"], ["sync", "observe"]) for name in ("one", "two", "no", "17")]
    tokens = parse_tokens("\n".join(entry for _, entry in created).encode())
    assert len(tokens) == 4
    for (secret, entry), name in zip(created, ("one", "two", "no", "17"), strict=True):
        found = tokens.find(secret)
        assert found is not None
        assert (found.name, found.namespaces) == (name, ("a", "b-*"))
        assert found.roles == {"sync", "observe"}
        assert secret not in entry
        assert len(secret) > 43, "256 bits"
        assert tokens.find(secret + "x") is None
        assert tokens.find(secret[:-1]) is None
    assert tokens.find("") is None
    assert len({secret for secret, _ in created}) == 4


def test_a_hash_of_digits_is_read_as_text() -> None:
    parse_tokens(GOOD.replace(HASH, "1" * 64).encode())
    parse_tokens(GOOD.replace(HASH, "1" * 61 + "e12").encode())


def test_a_token_file_may_be_json() -> None:
    text = f'[{{"name": "ci", "sha256": "{HASH.upper()}", "namespaces": ["*"], "roles": ["admin"]}}]'
    assert parse_tokens(text.encode()).find(SECRET) is not None


def test_with_an_empty_list_no_token_is_found() -> None:
    assert parse_tokens(b"[]").find(SECRET) is None


@pytest.mark.parametrize(
    ("role", "namespace", "admitted"),
    [
        ("sync", None, True),
        ("sync", "ci-17", True),
        ("sync", "ci-", True),
        ("sync", "shared", True),
        ("sync", "shared2", False),
        ("sync", "xci-1", False),
        ("sync", "CI-1", False),
        ("sync", "default", False),
        ("sync", "*", False),
        ("observe", "shared", False),
        ("admin", "shared", False),
    ],
)
def test_a_token_requires_role_and_namespace(role: str, namespace: str | None, admitted: bool) -> None:
    token = parse_tokens(GOOD.encode()).find(SECRET)
    assert token is not None
    if admitted:
        token.require(role, namespace)
        return
    with pytest.raises(AccessError, match=r"expected a token (with the role|for the namespace)") as error:
        token.require(role, namespace)
    assert error.value.code == "forbidden"


@pytest.mark.parametrize(("given", "implied"), [("admin", {"sync", "observe", "admin"}), ("observe", {"observe"})])
def test_only_admin_implies_the_other_roles(given: str, implied: set[str]) -> None:
    token = parse_tokens(GOOD.replace("[sync]", f"[{given}]").encode()).find(SECRET)
    assert token is not None
    for role in ("sync", "observe", "admin"):
        if role in implied:
            token.require(role, "shared")
        else:
            with pytest.raises(AccessError):
                token.require(role, "shared")


BAD = [
    (b"", "expected a list of tokens, each with name, sha256, namespaces, roles"),
    (b"tokens: []", "expected a list of tokens"),
    (b"\xff", "expected YAML in UTF-8"),
    (b"- name: ci\n  sha256: [", "line 2: expected valid YAML"),
    (b"[" * 50_000, "expected YAML in UTF-8"),
    (b"- ci", "line 1, entry 1: expected a map with name"),
    (GOOD.replace("roles:", "role:").encode(), "line 5, entry 1: expected the keys name, sha256, namespaces, roles"),
    (GOOD.replace("  roles: [sync]", "").encode(), "line 2, entry 1: roles: missing"),
    (GOOD.replace("name: ci", "name: ci\n  name: ci").encode(), "line 3, entry 1: name: given twice"),
    (GOOD.replace("name: ci", "name: c i").encode(), "line 2, entry 1: name: expected at most 63 letters"),
    (GOOD.replace(HASH, SECRET).encode(), "line 3, entry 1: sha256: expected 64 hexadecimal digits"),
    (GOOD.replace("[sync]", "[]").encode(), "line 5, entry 1: roles: expected a list of sync, observe, admin"),
    (GOOD.replace("[sync]", "sync").encode(), "line 5, entry 1: roles: expected a list of sync, observe, admin"),
    (GOOD.replace("[sync]", f"[{SECRET}]").encode(), "line 5, entry 1: roles: expected a list"),
    (GOOD.replace('"shared"', '"a b"').encode(), "line 4, entry 1: namespaces: expected a list of names"),
    (GOOD.replace('"shared"', "[x]").encode(), "line 4, entry 1: namespaces: expected a list of names"),
    (
        (GOOD + GOOD.replace("ci\n", "ci2\n", 1)).encode(),
        "line 7, entry 2: sha256: expected a unique value, got that of entry 1",
    ),
    (
        (GOOD + GOOD.replace(HASH, "0" * 64)).encode(),
        "line 7, entry 2: name: expected a unique value, got that of entry 1",
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[message for _, message in BAD])
def test_an_invalid_file_raises_an_error_with_the_line_and_no_token(content: bytes, message: str) -> None:
    with pytest.raises(TokenFileError) as error:
        parse_tokens(content)
    assert message in str(error.value)
    assert SECRET not in str(error.value)


@given(st.one_of(st.binary(max_size=200), st.text(alphabet="-:[]{}\"'&*!|>%@\n ab0", max_size=100).map(str.encode)))
def test_random_bytes_are_parsed_or_raise_token_file_error(content: bytes) -> None:
    try:
        tokens = parse_tokens(content)
    except TokenFileError:
        return
    assert len(tokens) == 0, "a valid hash is not generated by chance"


def test_load_tokens_rejects_unsafe_files(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    with pytest.raises(TokenFileError, match=r"tokens\.yaml: cannot be read: No such file"):
        load_tokens(file)
    file.write_text(GOOD)
    file.chmod(0o644)
    assert len(load_tokens(file)) == 1, "a readable file is accepted: it contains only hashes"
    file.chmod(0o646)
    with pytest.raises(TokenFileError, match="that every user can write"):
        load_tokens(file)
    with pytest.raises(TokenFileError, match=r"expected a regular file|Is a directory"):
        load_tokens(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TokenFileError, match="expected a regular file"):
        load_tokens(tmp_path / "pipe")
    file.chmod(0o600)
    file.write_text("#" * 1_048_577)
    with pytest.raises(TokenFileError, match="expected at most 1048576 bytes"):
        load_tokens(file)
