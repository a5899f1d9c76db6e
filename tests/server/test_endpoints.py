"""EndpointConfig as the one source: what it says of keys, counters and bodies, and what is refused at the start."""

import asyncio
from enum import Enum
from typing import Any, Literal

import pytest
from driver import CHAT, HELLO, Client, ask, play
from pydantic import BaseModel

from penstock import BaseInferenceApiServer, ConfigError, EndpointConfig, Request
from penstock.protocol import ChatCompletionRequest


class Note(BaseModel):
    text: str


class Color(Enum):
    RED = "red"


class Own(BaseInferenceApiServer):
    """A server with `added` beside its own endpoints."""

    def __init__(self, *added: Any, **given: Any) -> None:
        super().__init__(**given)
        self.added = added

    @property
    def _endpoints(self) -> list[EndpointConfig]:
        return [*super()._endpoints, *self.added]

    async def chat_completions(self, request: ChatCompletionRequest, raw_request: Request) -> Any:
        return {"asked": len(request.messages)}

    async def completions(self, request: Any, raw_request: Request) -> Any:
        return {}


def answer_of(handler: Any, path: str = "/own", query: str = "", **config: Any) -> Client:
    """What a GET on one own endpoint answers."""
    found: list[Client] = []
    server = Own(EndpointConfig(**{"path": path, "handler": handler, "methods": ["GET"]} | config))

    async def scene() -> None:
        client = Client(server, "GET", path, query=query)
        await client.answered
        found.append(client)

    play(server, scene)
    return found[0]


def start_of(*added: Any) -> None:
    asyncio.run(Own(*added).startup())


# ---- what a handler is given


async def listing(
    *, limit: int = 10, ratio: float = 0.5, deep: bool = False, after: str | None = None,
    color: Color = Color.RED, order: Literal["up", "down"] = "up", page=1,  # type: ignore[no-untyped-def]
) -> Any:  # fmt: skip
    return [limit, ratio, deep, after, color.value, order, page]


@pytest.mark.parametrize(
    ("query", "got"),
    [
        ("", [10, 0.5, False, None, "red", "up", 1]),
        ("limit=3", [3, 0.5, False, None, "red", "up", 1]),
        ("limit=3&ratio=2&deep=true&after=x%20y&color=red&order=down&page=7", [3, 2.0, True, "x y", "red", "down", 7]),
        ("limit=3&limit=4&other=1", [4, 0.5, False, None, "red", "up", 1]),
        ("after=", [10, 0.5, False, "", "red", "up", 1]),
    ],
)
def test_query_parameters_come_by_annotation(query: str, got: list[Any]) -> None:
    assert answer_of(listing, query=query).json() == got


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=many", "limit"),
        ("limit=", "limit"),
        ("ratio=x", "ratio"),
        ("deep=2", "deep"),
        ("color=blue", "color"),
        ("order=left", "order"),
    ],
)
def test_a_bad_query_parameter_is_400_with_its_name(query: str, param: str) -> None:
    answer = answer_of(listing, query=query)
    assert answer.status == 400
    assert answer.json()["error"]["param"] == param
    assert f"'{param}' must be" in answer.json()["error"]["message"]


def test_a_required_query_parameter_that_is_missing_is_400() -> None:
    async def greet(name: str) -> Any:
        return name

    assert answer_of(greet, query="name=x").body == b"x", "a str is never given the Request"
    missing = answer_of(greet)
    assert (missing.status, missing.json()["error"]["param"]) == (400, "name")
    assert missing.json()["error"]["code"] == "missing_required_parameter"


def test_a_path_parameter_comes_by_annotation() -> None:
    async def page(number: int) -> Any:
        return {"next": number + 1}

    server = Own(EndpointConfig(path="/pages/{number}", handler=page, methods="get"))

    async def scene() -> None:
        assert (await ask(server, "GET", "/pages/6")).json() == {"next": 7}
        assert (await ask(server, "GET", "/pages/six")).json()["error"]["param"] == "number"

    play(server, scene)


def test_the_request_is_given_by_annotation_or_name() -> None:
    async def handler(mine: Request, request, raw_request: Any) -> Any:  # type: ignore[no-untyped-def]
        return mine is request is raw_request

    assert answer_of(handler).body == b"true"


def test_a_callable_object_is_a_handler() -> None:
    class Callable:
        async def __call__(self, limit: int = 1) -> Any:
            return limit

    assert answer_of(Callable(), query="limit=5").json() == 5


def test_a_request_model_may_stand_in_the_config_alone() -> None:
    async def handler(request) -> Any:  # type: ignore[no-untyped-def]
        return request.text

    server = Own(EndpointConfig(path="/n", handler=handler, methods=["post"], request_model=Note))

    async def scene() -> None:
        assert (await ask(server, "POST", "/n", {"text": "hi"})).body == b"hi"
        assert (await ask(server, "POST", "/n", {})).json()["error"]["param"] == "text"

    play(server, scene)


def test_a_subclass_of_a_request_model_goes_through_its_door() -> None:
    class Wider(ChatCompletionRequest):
        mood: str | None = None

    async def handler(request: Wider) -> Any:
        return request.mood

    server = Own(EndpointConfig(path="/c", handler=handler, methods=["POST"]))

    async def scene() -> None:
        assert (await ask(server, "POST", "/c", {**HELLO, "mood": "good"})).body == b"good"
        refused = await ask(server, "POST", "/c", {**HELLO, "logprobs": True})
        assert refused.json()["error"]["code"] == "unsupported_parameter"

    play(server, scene)


# ---- what the config says


async def nothing() -> Any:
    return {}


def test_an_endpoint_is_open_only_where_it_says_so() -> None:
    server = Own(
        EndpointConfig(path="/open", handler=nothing, methods=["GET"], is_open=True),
        EndpointConfig(path="/closed", handler=nothing, methods=["GET"]),
        api_keys=["secret"],
    )

    async def scene() -> None:
        wanted = {"/open": 200, "/health": 200, "/ready": 200, "/closed": 401, "/metrics": 401, "/v1/models": 401}
        assert {path: (await ask(server, "GET", path)).status for path in wanted} == wanted

    play(server, scene)


def test_what_is_counted_and_what_is_work_is_said_by_the_endpoint() -> None:
    server = Own(
        EndpointConfig(path="/quiet", handler=nothing, methods=["GET"], is_counted=False),
        EndpointConfig(path="/embed", handler=nothing, methods=["PUT"], is_work=True),
        EndpointConfig(path="/v1/chores", handler=nothing, methods=["POST"], is_work=False),
    )

    async def scene() -> None:
        for verb, path in (("GET", "/quiet"), ("PUT", "/embed"), ("POST", "/v1/chores"), ("GET", "/health")):
            assert (await ask(server, verb, path, {} if verb == "POST" else None)).status == 200
        assert (await ask(server, "POST", CHAT, HELLO)).status == 200
        assert (await ask(server, "GET", "/embed")).status == 405
        text = server.counters.render().decode()
        assert 'handler="/embed"' in text
        assert 'handler="/v1/chores"' in text
        assert 'handler="/quiet"' not in text
        assert 'handler="/health"' not in text
        assert server.metrics.total_requests == 2

    play(server, scene)


def test_methods_in_small_letters_are_methods() -> None:
    server = Own(EndpointConfig(path="/m", handler=nothing, methods=["post"]))

    async def scene() -> None:
        assert (await ask(server, "POST", "/m", {})).status == 200

    play(server, scene)


def test_a_plain_string_is_one_origin() -> None:
    server = Own(cors_origins="https://a.example")

    async def scene() -> None:
        answer = await ask(server, "GET", "/version", origin="https://a.example")
        assert answer.headers["access-control-allow-origin"] == "https://a.example"

    play(server, scene)


# ---- what is refused at the start


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"path": "/x", "methods": ["FETCH"]}, ("'/x'", "methods")),
        ({"path": "/x", "methods": []}, ("'/x'", "methods")),
        ({"path": "/x", "methods": ["GET"], "handler": 5}, ("'/x'", "handler")),
        ({"path": "x", "methods": ["GET"]}, ("'x'", "path")),
        ({"path": "/a{b}c", "methods": ["GET"]}, ("'/a{b}c'", "path")),
        ({"path": "/x", "methods": ["GET"], "is_opn": True}, ("'/x'", "is_opn")),
    ],
    ids=["method", "no methods", "handler", "no slash", "braces", "typo"],
)
def test_a_bad_config_is_refused_with_its_path(config: dict[str, Any], named: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as refused:
        EndpointConfig(**{"handler": nothing} | config)
    assert all(word in str(refused.value) for word in named), refused.value


def test_a_bad_entry_fails_the_start_with_its_name() -> None:
    async def unbound(thing) -> None:  # type: ignore[no-untyped-def]
        pass

    async def two_bodies(a: Note, b: Note) -> None:
        pass

    for added, named in (
        ([{"path": "/x"}], "dict"),
        ([EndpointConfig(path="/unbound", handler=unbound, methods=["GET"])], "'/unbound'.*'thing'"),
        ([EndpointConfig(path="/two", handler=two_bodies, methods=["POST"])], "'/two'.*'b'"),
        ([EndpointConfig(path="/health", handler=nothing, methods=["GET"])], "'/health'.*twice"),
    ):
        with pytest.raises(ConfigError, match=named):
            start_of(*added)
