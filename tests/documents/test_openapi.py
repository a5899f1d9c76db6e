"""The OpenAPI document: of a server as it comes, and of one of one's own. The judge is openapi-spec-validator."""

from typing import Any, Literal

import orjson
import pytest
from driver import ask, echo_server, play
from openapi_spec_validator import validate
from pydantic import BaseModel

from penstock import BaseInferenceApiServer, EndpointConfig, PenstockServer, Request
from penstock.server.base import BaseInferenceApiServer as Base

METHODS = {"get", "post", "put", "patch", "delete"}


class Weather(BaseModel):
    place: str


class Forecast(BaseModel):
    degrees: list[float]


class Own(PenstockServer):
    """With routes of its own."""

    @property
    def _endpoints(self) -> list[EndpointConfig]:
        forecast = EndpointConfig(
            path="/weather/{day}", handler=self.forecast, methods=["POST"], summary="Tell the weather", tags=["Sky"],
            response_model=list[Forecast],
        )  # fmt: skip
        hidden = EndpointConfig(path="/hidden", handler=self.list_models, methods=["GET"], is_documented=False)
        return [*super()._endpoints, forecast, hidden]

    async def forecast(
        self, day: int, weather: Weather, raw_request: Request, unit: Literal["C", "F"] = "C", limit: int | None = None
    ) -> list[Forecast]:
        """Looks out of the window.

        And thinks.
        """
        return [Forecast(degrees=[1.5])]


class Bare(BaseInferenceApiServer):
    """A server in the seed's manner: no engine, handlers of its own."""

    async def chat_completions(self, request: Any, raw_request: Request) -> Any:
        return {}

    async def completions(self, request: Any, raw_request: Request) -> Any:
        return {}


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


@pytest.mark.parametrize("server", [echo_server(), echo_server(Own), Bare(), Bare(api_keys=["k"])], ids=repr)
def test_the_document_is_valid(server: Base) -> None:
    document = server.openapi()
    assert document["openapi"] == "3.1.0"
    validate(document)


def test_every_endpoint_stands_in_it_and_no_other() -> None:
    server = echo_server()
    document = server.openapi()
    shown = {(path, method) for path, method, _ in operations(document)}
    assert shown == {(e.path, m.lower()) for e in server._endpoints if e.is_documented for m in e.methods}
    assert ("/v1/chat/completions", "post") in shown
    assert not any(path.startswith(("/docs", "/openapi")) for path, _ in shown)


def test_operation_ids_differ() -> None:
    ids = [operation["operationId"] for _, _, operation in operations(echo_server(Own).openapi())]
    assert len(ids) == len(set(ids))


def test_what_the_server_is_called() -> None:
    server = Bare(server_name="Mine", server_description="It *answers*.", server_version="7.1")
    assert server.openapi()["info"] == {"title": "Mine", "description": "It *answers*.", "version": "7.1"}


def test_the_two_security_schemes() -> None:
    for keys in ([], ["k"]):
        schemes = Bare(api_keys=keys).openapi()["components"]["securitySchemes"]
        assert {name: scheme | {"description": ""} for name, scheme in schemes.items()} == {
            "BearerAuth": {"type": "http", "scheme": "bearer", "bearerFormat": "API Key", "description": ""},
            "ApiKeyAuth": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": ""},
        }


def test_keys_are_demanded_where_they_are_set_and_nowhere_else() -> None:
    either = [{"BearerAuth": []}, {"ApiKeyAuth": []}]
    guarded = Bare(api_keys=["k"]).openapi()
    assert guarded["security"] == either
    for path, _, operation in operations(guarded):
        is_open = path in ("/health", "/ready")
        assert operation.get("security", either) == ([{}, *either] if is_open else either)
        assert ("401" in operation["responses"]) is not is_open
    open_to_all = Bare().openapi()
    assert open_to_all["security"] == [{}, *either]
    assert not any("401" in operation["responses"] for _, _, operation in operations(open_to_all))


def test_own_routes_tell_body_parameters_and_answer() -> None:
    document = echo_server(Own).openapi()
    operation = document["paths"]["/weather/{day}"]["post"]
    assert (operation["summary"], operation["tags"]) == ("Tell the weather", ["Sky"])
    assert operation["description"] == "Looks out of the window."
    assert {"name": "Sky"} in document["tags"]
    day, unit, limit = operation["parameters"]
    assert (day["name"], day["in"], day["required"], day["schema"]) == ("day", "path", True, {"type": "integer"})
    assert (unit["name"], unit["in"], unit["required"]) == ("unit", "query", False)
    assert unit["schema"] == {"type": "string", "enum": ["C", "F"], "default": "C"}
    assert limit["schema"] == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Weather"}
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer["items"] == {"$ref": "#/components/schemas/Forecast"}
    assert document["components"]["schemas"]["Weather"]["required"] == ["place"]


def test_every_refusal_has_the_shape_of_errors() -> None:
    document = echo_server().openapi()
    for path, _, operation in operations(document):
        model = "AnthropicError" if path.startswith("/v1/messages") else "ErrorResponse"
        for status, response in operation["responses"].items():
            if "$ref" in response:
                assert int(status) >= 400
                name = response["$ref"].removeprefix("#/components/responses/")
                schema = document["components"]["responses"][name]["content"]["application/json"]["schema"]
                assert schema == {"$ref": f"#/components/schemas/{model}"}


def test_it_is_served_once_made_and_told_again_by_304() -> None:
    server = echo_server(Own)

    async def scene() -> None:
        first = await ask(server, "GET", "/openapi.json")
        assert (first.status, first.headers["content-type"]) == (200, "application/json")
        assert orjson.loads(first.body) == orjson.loads(orjson.dumps(server.openapi()))
        again = await ask(server, "GET", "/openapi.json", if_none_match=first.headers["etag"])
        assert (again.status, again.body) == (304, b"")
        assert "content-length" not in again.headers

    play(server, scene)


def test_a_mounted_server_says_where_it_is() -> None:
    server = echo_server()

    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await server({**scope, "root_path": "/llm", "path": f"/llm{scope['path']}"}, receive, send)

    async def scene() -> None:
        assert "servers" not in (await ask(server, "GET", "/openapi.json")).json()
        below: Any = mounted
        assert (await ask(below, "GET", "/openapi.json")).json()["servers"] == [{"url": "/llm"}]
        assert (await ask(below, "GET", "/docs")).status == 200
        assert "servers" not in (await ask(server, "GET", "/openapi.json")).json()

    play(server, scene)


def test_a_server_without_documents_has_none_of_their_routes() -> None:
    server = echo_server(docs="off")

    async def scene() -> None:
        for path in ("/openapi.json", "/docs", "/docs/docs.js"):
            assert (await ask(server, "GET", path)).status == 404

    play(server, scene)
