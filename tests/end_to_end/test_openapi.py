"""The server keeps to its own description: /openapi.json is valid, and random requests meet only what it says.

`SYNCNET_FUZZ_EXAMPLES` says how many requests each operation gets; `make fuzz` sends many.
"""

import json
import os
from typing import Any

import pytest
import schemathesis
import schemathesis.transport.asgi  # loaded here, because to load it deep inside a test fails on CPython 3.11
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from syncnet.coordinator.coordinator import Coordinator
from syncnet.core.limits import LIMITS
from syncnet.errors import PROBLEMS, ParameterError
from syncnet.server.handler import Handler
from syncnet.server.openapi import openapi_document
from syncnet.wire.durations import parse_duration_s
from syncnet.wire.parameter_table import PARAMETERS
from tests.end_to_end.running import Server

EXAMPLES = int(os.environ.get("SYNCNET_FUZZ_EXAMPLES", "30"))
HANGS_S = 20
WAIT_S = 0.02
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


ROUTES = Handler(Coordinator()).routes
DESCRIBED: Any = schemathesis.openapi.from_dict(json.loads(openapi_document(ROUTES, LIMITS)))
OPERATIONS = {
    f"{method} {path}": DESCRIBED[path][method]
    for path, (_, methods) in ROUTES.items()
    for method in methods
    if method != "HEAD"
}


def waits_too_long(timeout: object) -> bool:
    try:
        seconds = parse_duration_s("timeout", timeout) if isinstance(timeout, str) else timeout
    except ParameterError:
        return False
    return timeout is None or (isinstance(seconds, int | float) and not seconds <= WAIT_S)


def made_to_end(case: Any) -> Any:
    """Give an offer that would wait a short timeout; one that does not do is left as it is."""
    if case.path == "/event" and case.method in ("GET", "POST"):
        place = case.body if isinstance(case.body, dict) else case.query
        if isinstance(place, dict) and waits_too_long(place.get("timeout")):
            place["timeout"] = f"{WAIT_S}s"
    return case


def modes(operation: Any) -> list[GenerationMode]:
    """Requests that are as described, and others, where there is anything to do otherwise."""
    return list(GenerationMode) if operation.query or operation.body else [GenerationMode.POSITIVE]


@pytest.mark.parametrize(
    ("label", "mode"), [(label, mode) for label, operation in OPERATIONS.items() for mode in modes(operation)]
)
def test_random_requests_meet_what_is_described(server: Server, label: str, mode: GenerationMode) -> None:
    """No 5xx, no undocumented status, header or body, and no hang: an offer is made to give up soon."""

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        made_to_end(case).call_and_validate(base_url=server.url, checks=CHECKS, timeout=HANGS_S)

    ask()


def test_the_document_is_valid_openapi(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1.")


def test_every_problem_is_described_somewhere(server: Server) -> None:
    """But the two that belong to no operation."""
    text = server.client.get("/openapi.json").text
    described = {code for code in PROBLEMS if f"`{code}`" in text}
    assert set(PROBLEMS) - described == {"unknown-path", "method-not-allowed"}


def test_every_parameter_of_the_table_is_described(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = {parameter["name"] for operation in operations for parameter in operation.get("parameters", [])}
    for operation in operations:
        for media in operation.get("requestBody", {}).get("content", {}).values():
            names |= set(media["schema"]["properties"])
    assert names == set(PARAMETERS)
