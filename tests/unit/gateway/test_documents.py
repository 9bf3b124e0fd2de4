"""What a gateway says of itself."""

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.problems import CODES
from tests.unit.gateway.fakes import Away, World

ROUTES = {
    ("post", "/pictures/{picture_id}/comments"),
    ("get", "/pictures/{picture_id}/comments"),
    ("get", "/pictures/{picture_id}"),
    ("get", "/comments/{comment_id}"),
    ("patch", "/comments/{comment_id}"),
    ("delete", "/comments/{comment_id}"),
    ("get", "/comments/{comment_id}/history"),
    ("post", "/commands"),
    ("post", "/commands/batch"),
    ("get", "/commands/{command_id}"),
    ("get", "/events"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/docs"),
}


async def test_the_document_is_valid_and_complete(gateway: World) -> None:
    document: dict[str, Any] = (await gateway.client.get("/openapi.json")).json()
    OpenAPIV31SpecValidator(document).validate()
    assert {(method, path) for path, methods in document["paths"].items() for method in methods} == ROUTES
    described = str(document["paths"])
    assert [code for code in CODES if code not in described] == []


async def test_the_page_loads_nothing_from_elsewhere(gateway: World) -> None:
    answer = await gateway.client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "http" not in answer.text.replace("http-equiv", "")


async def test_metrics_count_answers(gateway: World) -> None:
    await gateway.client.get("/healthz")
    assert 'headrace_http_requests_total{route="/healthz",status="200"}' in (await gateway.client.get("/metrics")).text


@pytest.mark.parametrize(("away", "status"), [((), 200), (("redis",), 200), (("postgres",), 503), (("sqs", "redis"), 503)])
async def test_readiness(gateway: World, away: tuple[str, ...], status: int) -> None:
    async def there() -> None:
        pass

    async def gone() -> None:
        raise Away

    names = ("sqs", "dynamodb", "postgres", "redis")
    gateway.checks.update({name: gone if name in away else there for name in names})
    answer = await gateway.client.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (status, status == 200)
    assert {name: each["ok"] for name, each in answer.json()["dependencies"].items()} == {name: name not in away for name in names}
