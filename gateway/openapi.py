"""The API described as OpenAPI 3.1, from the same types and tables that the routes work with. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from events.domain import Registry
from events.ids import MAX_VERSION
from gateway.commands import StatusBody
from gateway.problems import CODES, phrase
from gateway.receipts import Receipt, Refused, statuses_of_commands
from runtime.health import Dependency, Readiness

Json = dict[str, Any]
ID: Final = "^[A-Za-z0-9._~-]{1,128}$"
KEY: Final = "^[A-Za-z0-9._~:-]{1,128}$"
REF: Final = "#/components/schemas/{name}"
EVERYWHERE: Final = (400, 405, 408, 431, 500, 503)
BODIES: Final = (413, 415)


def document(registry: Registry, paths: Json, schemas: Json) -> Json:
    """`paths` and `schemas` are the built-in domain's."""
    described, components = msgspec.json.schema_components([Receipt, Refused, StatusBody, Readiness, Dependency], ref_template=REF)
    del described
    components |= {"Problem": _problem(), "RefusedCommand": _refused_command(), "Posted": _posted(registry)} | schemas
    return {
        "openapi": "3.1.0",
        "info": {"title": "Headrace", "version": "1", "description": _ABOUT},
        "paths": paths | _command_paths() | _own_paths(),
        "components": {"schemas": components, "headers": _HEADERS, "parameters": _PARAMETERS},
    }


def operation(name: str, summary: str, responses: Json, parameters: Sequence[Json] = (), body: Json | None = None) -> Json:
    """One method of one path."""
    described: Json = {"operationId": name, "summary": summary, "responses": responses}
    if parameters:
        described["parameters"] = list(parameters)
    if body is not None:
        described["requestBody"] = {"required": True, "content": body}
    return described


def json_of(name: str) -> Json:
    """Content of one JSON schema."""
    return {"application/json": {"schema": ref(name)}}


def ref(name: str) -> Json:
    return {"$ref": REF.format(name=name)}


def parameter(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def path_parameter(name: str, pattern: str = ID) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}


def query_parameter(name: str, schema: Json, about: str, *, required: bool = False) -> Json:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": about}


def answer(about: str, content: Json | None = None, headers: Iterable[str] = ()) -> Json:
    """A response; `headers` by the names of the components."""
    described: Json = {"description": about}
    if content is not None:
        described["content"] = content
    if headers:
        described["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in headers}
    return described


def problems(*statuses: int, schema: str = "Problem") -> Json:
    """Responses with a problem, and in words which codes each may have."""
    found: Json = {}
    for status in sorted({*statuses, *EVERYWHERE}):
        codes = [code for code, (own, _) in CODES.items() if own == status]
        about = f"{phrase(status)}: {', '.join(codes)}" if codes else f"{phrase(status)}: a reason of the domain"
        headers = {405: ["Allow"], 503: ["Retry-After"]}.get(status, [])
        found[str(status)] = answer(about, {"application/problem+json": {"schema": ref(schema)}}, headers)
    return found


def command_responses(*, creates: bool) -> Json:
    """What any command may be answered."""
    refused = [status for status in statuses_of_commands() if status >= 300]
    done = {"200": answer("Applied (with Prefer: wait)", json_of("Receipt"), ["Headrace-Token", "ETag", "Preference-Applied"])}
    if creates:
        headers = ["Location", "Headrace-Token", "ETag", "Preference-Applied"]
        done["201"] = answer("Created (with Prefer: wait)", json_of("Receipt"), headers)
    accepted = answer("Accepted; not known yet what becomes of it", json_of("Receipt"), ["Location", "Preference-Applied"])
    return done | {"202": accepted} | problems(*refused, *BODIES, schema="RefusedCommand")


COMMAND_PARAMETERS: Final = [parameter(each) for each in ("IdempotencyKey", "Prefer", "IfMatch", "Actor", "Traceparent")]
HOLD_PARAMETERS: Final = [parameter("After"), parameter("Hold")]


def _command_paths() -> Json:
    batch = {"application/x-ndjson": {"schema": ref("Posted")}}
    lines = {"application/x-ndjson": {"schema": {"oneOf": [ref("Receipt"), ref("Refused")]}}}
    stream = query_parameter("stream", {"type": "string"}, "The command's stream, as its receipt names it", required=True)
    wait = query_parameter("wait", {"type": "number", "minimum": 0}, "Seconds to hold the answer while pending; at most 30")
    actor = query_parameter("actor", {"type": "string", "pattern": ID}, "Whose command it is")
    return {
        "/commands": {
            "post": operation(
                "postCommand", "Any command by its name", command_responses(creates=True), COMMAND_PARAMETERS, json_of("Posted")
            )
        },
        "/commands/batch": {
            "post": operation(
                "postBatch",
                "One command a line, one receipt a line, in order",
                {"200": answer("The receipts", lines, ["Preference-Applied"])} | problems(*BODIES),
                [parameter(each) for each in ("Prefer", "Actor", "Traceparent")],
                batch,
            )
        },
        "/commands/{command_id}": {
            "get": operation(
                "getCommand",
                "What became of a command",
                {"200": answer("As far as it is known", json_of("StatusBody"))} | problems(404),
                [path_parameter("command_id", KEY), stream, wait, actor, parameter("Actor")],
            )
        },
    }


def _own_paths() -> Json:
    def get(name: str, about: str, kind: str, schema: Json) -> Json:
        return {"get": operation(name, about, {"200": answer(about, {kind: {"schema": schema}})})}

    ready = get("ready", "Whether this gateway can do its work", "application/json", ref("Readiness"))
    ready["get"]["responses"]["503"] = answer("It cannot", json_of("Readiness"))
    return {
        "/healthz": get("live", "Whether this gateway lives", "application/json", {"type": "object"}),
        "/readyz": ready,
        "/metrics": get("metrics", "Prometheus text", "text/plain", {"type": "string"}),
        "/openapi.json": get("openapi", "This document", "application/json", {"type": "object"}),
        "/docs": get("docs", "This document as a page", "text/html", {"type": "string"}),
    }


def _posted(registry: Registry) -> Json:
    """One alternative a registered command, told apart by its name."""
    alternatives = []
    for name, kind in registry.commands.items():
        (data,), inner = msgspec.json.schema_components([kind.schema], ref_template="#/$defs/{name}")
        alternatives.append(
            {
                "type": "object",
                "required": ["name", "data"],
                "additionalProperties": False,
                "properties": {"name": {"const": name}, "data": _inlined(data, inner)} | _POSTED_FIELDS,
            }
        )
    return {"oneOf": alternatives}


def _inlined(schema: Any, inner: Json) -> Any:
    """`schema` with its `$defs` references resolved: a command's data is not recursive."""
    if isinstance(schema, list):
        return [_inlined(each, inner) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(inner[schema["$ref"].rpartition("/")[2]], inner)
    return {key: _inlined(each, inner) for key, each in schema.items()}


def _problem() -> Json:
    return {
        "type": "object",
        "required": ["type", "title", "status", "code", "detail", "correlation_id"],
        "properties": {
            "type": {"type": "string", "format": "uri"},
            "title": {"type": "string"},
            "detail": {"type": "string"},
            "status": {"type": "integer"},
            "correlation_id": {"type": "string"},
            "code": {"type": "string", "description": "Stable; one of those listed with each status, or the domain's reason"},
            "pointer": {"type": "string", "description": "JSON pointer to what is wrong in the body"},
        },
    }


def _refused_command() -> Json:
    """`status` is the problem's, a number; the receipt's stands in `outcome`."""
    text = {"type": "string"}
    fields = {
        "command_id": text,
        "stream": text,
        "status_url": text,
        "reason": text,
        "version": _VERSION,
        "outcome": {"enum": ["rejected", "failed"]},
    }
    return {"allOf": [ref("Problem"), {"type": "object", "properties": fields}]}


_ABOUT: Final = (
    "Commands are answered 202 once they are safely queued; `Prefer: wait` holds the answer until the outcome is known. "
    "Errors are problems (RFC 9457) with a stable `code`."
)
_VERSION: Final[Json] = {"type": "integer", "minimum": 0, "maximum": MAX_VERSION}
_POSTED_FIELDS: Final[Json] = {
    "id": {"type": "string", "pattern": KEY, "description": "As Idempotency-Key"},
    "stream": {"type": "string", "description": "Checked against the command's own"},
    "expected_version": _VERSION,
}


def _header(about: str, kind: str = "string") -> Json:
    return {"description": about, "schema": {"type": kind}}


_HEADERS: Final[Json] = {
    "Location": _header("The command's status, or what it created"),
    "Headrace-Token": _header("stream@version: give it as `after` to read your own write"),
    "Headrace-Source": {"description": "Which tier answered", "schema": {"enum": ["cache", "database", "events"]}},
    "ETag": _header("The version in quotes; for If-Match"),
    "Retry-After": _header("Seconds", "integer"),
    "Preference-Applied": _header("wait=N"),
    "Allow": _header("The methods there are"),
}


def _given(name: str, place: str, schema: Json, about: str) -> Json:
    return {"name": name, "in": place, "schema": schema, "description": about}


_TEXT: Final[Json] = {"type": "string"}
_PARAMETERS: Final[Json] = {
    "IdempotencyKey": _given(
        "Idempotency-Key", "header", {"type": "string", "pattern": KEY}, "The command's id; made here when there is none"
    ),
    "Prefer": _given("Prefer", "header", _TEXT, "wait=N: hold the answer until the outcome is known, at most 30 s"),
    "IfMatch": _given("If-Match", "header", _TEXT, 'The version the stream must be at: "3"'),
    "Actor": _given("Headrace-Actor", "header", {"type": "string", "pattern": ID}, "Who asks; else anonymous"),
    "Traceparent": _given("traceparent", "header", _TEXT, "W3C trace context; its trace id becomes the correlation id"),
    "After": _given("after", "query", {"type": "array", "items": _TEXT, "maxItems": 100}, "Tokens the answer must not be behind"),
    "Hold": _given("wait", "query", {"type": "number", "minimum": 0, "default": 1}, "Seconds to wait for the tokens; at most 10"),
}
