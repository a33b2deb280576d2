"""The server conforms to its own description: /openapi.json is valid, and responses to random requests match it.

`SYNCNET_FUZZ_EXAMPLES` is the number of requests for each operation; `make fuzz` sends many.
"""

import json
import os
from typing import Any

import pytest
import schemathesis
import schemathesis.transport.asgi  # imported here, because importing it deep inside a test fails on CPython 3.11
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
from syncnet.server.page import PAGE_PATHS
from syncnet.wire.durations import parse_duration_s
from syncnet.wire.parameter_table import PARAMETERS, TRACE_OUTPUTS
from tests.end_to_end.running import Server

EXAMPLES = int(os.environ.get("SYNCNET_FUZZ_EXAMPLES", "30"))
REQUEST_S_MAX = 20
OFFER_TIMEOUT_S_MAX = 0.02
STREAMS = [output for output in TRACE_OUTPUTS if output != "json"]
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)


ROUTES = {path: route for path, route in Handler(Coordinator()).routes.items() if path not in PAGE_PATHS}
DESCRIBED: Any = schemathesis.openapi.from_dict(json.loads(openapi_document(ROUTES, LIMITS)))
OPERATIONS = {
    f"{method} {path}": DESCRIBED[path][method]
    for path, (_, methods) in ROUTES.items()
    for method in methods
    if method != "HEAD"
}


def is_too_long(timeout: object) -> bool:
    try:
        seconds = parse_duration_s("timeout", timeout) if isinstance(timeout, str) else timeout
    except ParameterError:
        return False
    return timeout is None or (isinstance(seconds, int | float) and not seconds <= OFFER_TIMEOUT_S_MAX)


def with_short_timeout(case: Any) -> Any:
    """Shorten the timeout of an offer, or add one; an invalid timeout is not changed."""
    if case.path == "/event" and case.method in ("GET", "POST"):
        parameters = case.body if isinstance(case.body, dict) else case.query
        if isinstance(parameters, dict) and is_too_long(parameters.get("timeout")):
            parameters["timeout"] = f"{OFFER_TIMEOUT_S_MAX}s"
    return case


def without_stream(case: Any) -> Any:
    """Ask for a page instead of a stream, which does not end; an invalid output is not changed.

    Only the media types in which a response never ends are left out; test_live_trace.py reads them.
    """
    if (
        case.path == "/trace"
        and isinstance(case.query, dict)
        and case.query.get("output") in [*STREAMS, *([each] for each in STREAMS)]
    ):
        case.query["output"] = "json"
    return case


def modes(operation: Any) -> list[GenerationMode]:
    """Return the kinds of requests for an operation: valid ones, and invalid ones if it has parameters or a body."""
    return list(GenerationMode) if operation.query or operation.body else [GenerationMode.POSITIVE]


@pytest.mark.parametrize(
    ("label", "mode"), [(label, mode) for label, operation in OPERATIONS.items() for mode in modes(operation)]
)
def test_responses_to_random_requests_match_the_document(server: Server, label: str, mode: GenerationMode) -> None:
    """No 5xx, no undocumented status, header or body, and no hang: every offer has a short timeout."""

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        without_stream(with_short_timeout(case)).call_and_validate(
            base_url=server.url, checks=CHECKS, timeout=REQUEST_S_MAX
        )

    ask()


def test_the_document_is_valid_openapi(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["openapi"].startswith("3.1.")


def test_every_problem_of_an_operation_is_described(server: Server) -> None:
    """Two problems belong to no operation."""
    text = server.client.get("/openapi.json").text
    described = {code for code in PROBLEMS if f"`{code}`" in text}
    assert set(PROBLEMS) - described == {"unknown-path", "method-not-allowed"}


def operations(document: Any) -> list[Any]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def component(document: Any, reference: dict[str, str]) -> Any:
    kind, name = reference["$ref"].removeprefix("#/components/").split("/")
    return document["components"][kind][name]


def test_every_parameter_of_the_table_is_described(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    names = set()
    for operation in operations(document):
        described = [component(document, parameter) for parameter in operation.get("parameters", [])]
        names |= {parameter["name"] for parameter in described if parameter["in"] == "query"}
        for media in operation.get("requestBody", {}).get("content", {}).values():
            names |= set(component(document, media["schema"])["properties"])
    assert names == set(PARAMETERS)


def test_parameters_responses_and_bodies_are_named_components(server: Server) -> None:
    """A generator of clients makes its names from those of the components."""
    document = server.client.get("/openapi.json").json()
    for operation in operations(document):
        bodies = [media["schema"] for media in operation.get("requestBody", {}).get("content", {}).values()]
        for part in (*operation.get("parameters", []), *operation["responses"].values(), *bodies):
            assert part.keys() == {"$ref"}
            assert component(document, part)
    assert {"Problem", "Sync", "Member", "Offer", "OfferForm", "Abort", "Trace"} <= document["components"][
        "schemas"
    ].keys()
    assert document["components"]["responses"]["Synced"]["content"]["application/json"] == {
        "schema": {"$ref": "#/components/schemas/Sync"}
    }


def test_the_same_name_is_never_given_to_two_components() -> None:
    """A component of one operation equals that of the same name of any other: alone or together, it is the same."""
    whole = json.loads(openapi_document(ROUTES, LIMITS))["components"]
    for path, (role, methods) in ROUTES.items():
        for method in methods:
            part = json.loads(openapi_document({path: (role, [method])}, LIMITS))["components"]
            for kind, components in part.items():
                assert all(whole[kind][name] == each for name, each in components.items())


def test_probes_and_the_document_itself_require_no_token(server: Server) -> None:
    paths = server.client.get("/openapi.json").json()["paths"]
    assert {path for path, methods in paths.items() if methods.get("get", {}).get("security") == []} == {
        "/healthz",
        "/readyz",
        "/openapi.json",
    }
    assert paths["/event"]["get"]["security"] == [{}, {"token": []}]


@pytest.mark.parametrize(("mount_path", "url"), [("/", "/"), ("", "/"), ("/sync", "/sync")])
def test_the_servers_url_is_the_mount_path(mount_path: str, url: str) -> None:
    assert json.loads(openapi_document(ROUTES, LIMITS, mount_path))["servers"] == [{"url": url}]
