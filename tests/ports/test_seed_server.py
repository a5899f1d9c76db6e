"""A subclass of `BaseInferenceApiServer` as it was written for the seed: what it uses is there."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest
from driver import CHAT, HELLO, ask, echo_server, play
from hubs import settings
from openai.types.chat import ChatCompletionChunk
from toy import COMPLETIONS, TEXT, Toy, error_of, server_of, whole

import penstock
from penstock import (
    Abilities,
    BaseInferenceApiServer,
    ChatCompletionRequest,
    ChatCompletionStreamResponse,
    ChatCompletionStreamResponseChoice,
    ChatMessage,
    CompletionRequest,
    ConfigError,
    DeltaFunctionCall,
    DeltaMessage,
    DeltaToolCall,
    FunctionCall,
    InferenceEngineAdapter,
    PenstockServer,
    Request,
    SamplingParams,
    ServerStatus,
    ToolCall,
    UsageInfo,
    demo,
)

SEED_NAMES = [
    "BaseInferenceApiServer", "ChatCompletionRequest", "ChatCompletionResponse", "ChatCompletionResponseChoice",
    "ChatCompletionStreamResponse", "ChatCompletionStreamResponseChoice", "ChatMessage", "CompletionRequest",
    "CompletionResponse", "CompletionResponseChoice", "CompletionStreamResponse", "CompletionStreamResponseChoice",
    "DeltaMessage", "EndpointConfig", "ErrorResponse", "FunctionCall", "FunctionCallFormat", "FunctionDefinition",
    "InferenceEngineAdapter", "JaxEngine", "ReturnSample", "SamplingParams", "ServerMetrics", "ServerStatus",
    "ToolCall", "ToolDefinition", "UsageInfo", "create_error_response",
]  # fmt: skip


def test_every_name_is_exported() -> None:
    assert set(SEED_NAMES) <= set(penstock.__all__)


class Seed(BaseInferenceApiServer):
    """Answers with what it was asked."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.requests: list[Any] = []

    async def chat_completions(self, request: ChatCompletionRequest, raw_request: Request) -> Any:
        self.requests.append(request)
        return {}

    async def completions(self, request: CompletionRequest, raw_request: Request) -> Any:
        self.requests.append(request)
        return {}


class Able(Seed):
    abilities = Abilities(chat=True, tools=True, penalties=True, logit_bias=True, vision=True)


def asked(server: Seed, content: dict[str, Any], path: str = CHAT) -> Any:
    """The request as the handler got it."""

    async def scene() -> None:
        answer = await ask(server, "POST", path, content)
        assert answer.status == 200, answer.body

    play(server, scene)
    return server.requests[-1]


def test_the_seeds_arguments_are_taken() -> None:
    server = Seed(
        max_workers=3, enable_cors=True, cors_origins="https://a.example", max_request_size=1000, request_timeout=5.0,
        enable_function_calling=False, default_function_format=penstock.FunctionCallFormat.HERMES,
        server_name="Seed", server_description="Seeds", server_version="3", enable_auth_ui=False,
    )  # fmt: skip
    assert server.status is ServerStatus.STARTING
    assert (server.settings.max_request_size, server.settings.tokenizer_threads) == (1000, 3)
    assert server.cors_origins == ["https://a.example"]


def test_settings_are_obeyed_and_arguments_beat_them() -> None:
    given = settings(drain_timeout_s=4, request_timeout_s=7, max_request_size=2000, max_choices=2, api_key=["secret"])
    server = Seed(settings=given, max_request_size=1000)
    assert (server.drain_timeout_s, server.request_timeout, server.max_request_size) == (4, 7, 1000)

    async def scene() -> None:
        assert (await ask(server, "POST", CHAT, HELLO)).status == 401
        answer = await ask(server, "POST", CHAT, {**HELLO, "n": 3}, authorization="Bearer secret")
        assert answer.json()["error"]["param"] == "n"

    play(server, scene)


def test_a_value_that_cannot_be_is_refused_with_its_name() -> None:
    with pytest.raises(ConfigError, match="request_timeout_s"):
        Seed(request_timeout=-1)


def test_messages_are_objects_and_dicts() -> None:
    request = asked(Seed(), {**HELLO, "messages": [{"role": "user", "content": "Hi", "name": "me"}]})
    (message,) = request.messages
    assert isinstance(message, ChatMessage)
    assert (message.role, message.content, message.name, message.tool_calls) == ("user", "Hi", "me", None)
    assert message.model_dump(exclude_none=True, exclude_unset=True) == {"role": "user", "content": "Hi", "name": "me"}


def test_fields_that_were_not_sent_are_there_to_ask_for() -> None:
    request = asked(Seed(), HELLO)
    assert (request.presence_penalty, request.frequency_penalty, request.repetition_penalty) == (0.0, 0.0, 1.0)
    assert (request.tools, request.tool_choice, request.logit_bias, request.user, request.suppress_tokens) == (
        None, None, None, None, [],
    )  # fmt: skip
    assert "tools" not in request.model_dump(exclude_unset=True)
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = request.nothing_of_the_kind


def test_what_a_subclass_says_it_can_is_not_refused() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    image = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    content = {
        **HELLO, "tools": tools, "presence_penalty": 1, "logit_bias": {"5": -100},
        "messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}],
    }  # fmt: skip
    server = Able()
    request = asked(server, content)
    assert request.tools == tools
    assert request.messages[0].content[1] == image
    params = server._create_sampling_params(request)
    assert (params.presence_penalty, params.logit_bias, params.max_tokens) == (1.0, {5: -100.0}, 4)

    async def scene() -> None:
        for name in ("tools", "presence_penalty", "logit_bias"):
            refused = await ask(unable, "POST", CHAT, {**HELLO, name: content[name]})
            assert refused.json()["error"]["param"] == name
        refused = await ask(unable, "POST", CHAT, {**HELLO, "messages": content["messages"]})
        assert refused.json()["error"]["param"] == "messages[0].content[1]"

    unable = Seed()
    play(unable, scene)


@pytest.mark.parametrize(("name", "value"), [("presence_penalty", "much"), ("logit_bias", [1]), ("logit_bias", "x")])
def test_a_parameter_of_the_wrong_kind_is_refused_by_name(name: str, value: Any) -> None:
    class Params(Able):
        async def chat_completions(self, request: Any, raw_request: Request) -> Any:
            self._create_sampling_params(request)

    server = Params()

    async def scene() -> None:
        answer = await ask(server, "POST", CHAT, {**HELLO, name: value})
        assert (answer.status, answer.json()["error"]["param"]) == (400, name)

    play(server, scene)


def test_what_a_handler_adds_to_the_tokens_is_counted() -> None:
    class Counting(Seed):
        async def chat_completions(self, request: Any, raw_request: Request) -> Any:
            self.metrics.total_tokens_generated += 7
            return UsageInfo(completion_tokens=7)

        async def completions(self, request: Any, raw_request: Request) -> Any:
            self.metrics.total_requests += 1

    server = Counting(server_name="Seed")

    async def scene() -> None:
        await ask(server, "POST", CHAT, HELLO)
        await ask(server, "POST", CHAT, HELLO)
        assert (server.metrics.total_tokens_generated, server.metrics.total_requests) == (14, 2)
        told = (await ask(server, "GET", "/metrics", accept="application/json")).json()
        assert told["total_tokens_generated"] == 14
        assert 'vllm:generation_tokens_total{model_name="Seed",engine="0"} 14' in server.counters.render().decode()
        assert (await ask(server, "POST", COMPLETIONS, TEXT)).status == 500, "not lost in silence"

    play(server, scene)


@pytest.mark.parametrize("name", ["total_requests", "successful_requests", "failed_requests", "uptime_seconds"])
def test_a_counter_that_the_server_keeps_says_so_when_it_is_set(name: str) -> None:
    with pytest.raises(AttributeError, match=f"counts '{name}' by itself"):
        setattr(Seed().metrics, name, 1)
    with pytest.raises(AttributeError, match="no counter"):
        Seed().metrics.tokens = 1  # type: ignore[attr-defined]


def test_answers_built_by_hand() -> None:
    delta = DeltaMessage(content="a")
    assert delta.model_dump(exclude_none=True) == {"content": "a"}
    assert UsageInfo().model_dump(exclude_none=True) == {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


def test_a_tool_call_is_streamed_piece_by_piece() -> None:
    whole_call = ToolCall(id="call_1", type="function", function=FunctionCall(name="f", arguments="{}"))
    first = DeltaToolCall(index=0, id="call_1", type="function", function=DeltaFunctionCall(name="f", arguments=""))
    piece = ToolCall(index=0, function=FunctionCall(arguments="{}"))
    for calls in ([whole_call], [first], [piece]):
        choice = ChatCompletionStreamResponseChoice(delta=DeltaMessage(tool_calls=calls))
        event = ChatCompletionStreamResponse(model="m", choices=[choice]).model_dump_json(exclude_none=True)
        read = ChatCompletionChunk.model_validate_json(event).choices[0].delta.tool_calls
        assert read is not None
        assert (read[0].index, read[0].function.arguments) == (0, calls[0].function.arguments)


# ---- SamplingParams


def test_every_parameter_of_the_seed_is_taken() -> None:
    neutral = SamplingParams(
        max_tokens=16, temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, n=1, stop=[], stop_token_ids=[], min_tokens=0,
        ignore_eos=False, seed=1, presence_penalty=0.0, frequency_penalty=0.0, repetition_penalty=1.0, logit_bias=None,
        bad_words=None, allowed_token_ids=None, best_of=None, logprobs=None, prompt_logprobs=None,
        guided_decoding=None, stop_pattern=None, truncate_prompt_tokens=None, include_stop_str_in_output=False,
        ignore_stop_strings_in_reasoning=True, skip_special_tokens=True, spaces_between_special_tokens=True,
        detokenize=True, output_kind=None,
    )  # fmt: skip
    assert neutral.not_neutral == []
    assert neutral == SamplingParams(max_tokens=16, seed=1)


def test_none_is_the_default_and_a_string_is_one_stop() -> None:
    params = SamplingParams(temperature=None, n=None, top_p=None, stop="end", stop_token_ids=[3])  # type: ignore[arg-type]
    assert (params.temperature, params.n, params.top_p, params.stop, params.stop_token_ids) == (
        1.0, 1, 1.0, ("end",), (3,),
    )  # fmt: skip
    assert replace(params, max_tokens=3).max_tokens == 3


@pytest.mark.parametrize(
    "changed", [{"presence_penalty": 0.5}, {"logit_bias": {3: 1.0}}, {"logprobs": 2}, {"detokenize": False}]
)
def test_what_the_own_engine_would_not_act_on_is_refused_by_name(changed: dict[str, Any]) -> None:
    class Changing(PenstockServer):
        def _create_sampling_params(self, request: Any) -> SamplingParams:
            return replace(super()._create_sampling_params(request), **changed)

    (name,) = changed
    own, foreign = echo_server(Changing), Toy(whole)

    async def scene() -> None:
        answer = await ask(own, "POST", CHAT, HELLO)
        assert (answer.status, answer.json()["error"]["param"]) == (400, name)
        with pytest.raises(penstock.ApiError, match=name):
            await own.models["echo"].engine.generate("a", SamplingParams(**changed))  # type: ignore[attr-defined]

    async def foreign_scene() -> None:
        assert (await ask(server, "POST", COMPLETIONS, TEXT)).status == 200
        assert getattr(foreign.asked[0], name) == changed[name]

    play(own, scene)
    server = server_of(foreign, Changing)
    play(server, foreign_scene)


def test_penalties_reach_an_adapter_that_has_them_by_their_names() -> None:
    class Penal(Toy):
        abilities = Abilities(penalties=True)

    adapter = Penal(whole)
    server = server_of(adapter)

    async def scene() -> None:
        await ask(server, "POST", COMPLETIONS, {**TEXT, "presence_penalty": 1.5})
        assert adapter.asked[0].presence_penalty == 1.5
        refused = await ask(server, "POST", COMPLETIONS, {**TEXT, "presence_penalty": "x"})
        assert (refused.status, error_of(refused)["param"]) == (400, "presence_penalty")

    play(server, scene)


def test_a_lowered_max_tokens_holds_and_is_told() -> None:
    class Frugal(PenstockServer):
        def _create_sampling_params(self, request: Any) -> SamplingParams:
            return replace(super()._create_sampling_params(request), max_tokens=3)

    server = echo_server(Frugal)

    async def scene() -> None:
        answer = await ask(server, "POST", CHAT, {**HELLO, "max_tokens": 50})
        assert answer.json()["usage"]["completion_tokens"] == 3
        assert answer.json()["choices"][0]["finish_reason"] == "length"
        assert answer.headers["x-penstock-warnings"] == "max_tokens"
        answer = await ask(server, "POST", CHAT, {**HELLO, "max_tokens": 2})
        assert answer.json()["usage"]["completion_tokens"] == 3, "the server's word counts"

    play(server, scene)


# ---- PenstockServer as the seed's concrete server was made


def one(name: str = "toy") -> InferenceEngineAdapter:
    adapter = Toy(whole)
    adapter.model_name = name
    return adapter


@pytest.mark.parametrize(
    "make",
    [
        lambda: PenstockServer(one(), server_name="Mine", max_workers=1, request_timeout=9.0),
        lambda: PenstockServer({"toy": one()}, server_name="Mine", max_workers=1, request_timeout=9.0),
        lambda: PenstockServer([one()], server_name="Mine", max_workers=1, request_timeout=9.0),
        lambda: PenstockServer(adapters=one(), server_name="Mine", max_workers=1, request_timeout=9.0),
        lambda: PenstockServer(settings(request_timeout_s=9), one(), server_name="Mine", max_workers=1),
    ],
)
def test_a_server_is_made_of_an_adapter_a_list_or_a_mapping(make: Any) -> None:
    server = make()
    assert (server.server_name, server.request_timeout, server.settings.tokenizer_threads) == ("Mine", 9, 1)

    async def scene() -> None:
        assert (await ask(server, "POST", COMPLETIONS, TEXT)).json()["choices"][0]["text"] == "one two"

    play(server, scene)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), "needs an adapter"),
        (({},), "needs an adapter"),
        (("model",), "str is no InferenceEngineAdapter"),
        (([1],), "int is no InferenceEngineAdapter"),
        (({"toy": 1},), "int is no InferenceEngineAdapter"),
        (({"toy": one()}, settings()), "Settings come first"),
        (([one("a"), one("a")],), "two adapters are called 'a'"),
    ],
)
def test_a_server_of_nothing_says_so(given: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        PenstockServer(*given)


def test_two_engines_serve_side_by_side() -> None:
    server = PenstockServer([one("a"), one("b")])

    async def scene() -> None:
        listed = (await ask(server, "GET", "/v1/models")).json()["data"]
        assert [model["id"] for model in listed] == ["a", "b"]
        answers = await asyncio.gather(*(ask(server, "POST", COMPLETIONS, {**TEXT, "model": m}) for m in "ab"))
        assert [orjson.loads(answer.body)["model"] for answer in answers] == ["a", "b"]

    play(server, scene)


def test_the_jax_engine_by_its_public_name() -> None:
    engine = penstock.JaxEngine.load(demo.model_path(), max_num_seqs=2, model_name="demo")
    server = PenstockServer(engine, server_name="Mine")
    assert list(server.models) == ["demo"]
    assert server.counters is engine.metrics
