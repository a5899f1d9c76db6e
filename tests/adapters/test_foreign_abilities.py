"""What a foreign adapter says of itself and what it leaves to the server."""

import asyncio
from typing import Any

import pytest
from driver import CHAT, ask, play, start, until
from toy import COMPLETIONS, TEXT, Toy, error_of, server_of, whole

from penstock import Abilities, PenstockServer, ReturnSample, SamplingParams

# ---- what an adapter leaves to the server


class Decisive(PenstockServer):
    def _determine_finish_reason(self, tokens_generated: int, max_tokens: float, text: str) -> str:
        self.determined = (tokens_generated, max_tokens, text)
        return super()._determine_finish_reason(tokens_generated, max_tokens, text)


@pytest.mark.parametrize(("max_tokens", "reason"), [(2, "length"), (3, "stop")])
def test_the_server_determines_a_reason_that_is_left_out(max_tokens: int, reason: str) -> None:
    async def no_reason() -> Any:
        yield [ReturnSample(0, "one", 1)]
        yield [ReturnSample(0, " two", 1)]

    server = server_of(Toy(no_reason), Decisive)

    async def scene() -> None:
        answer = await ask(server, "POST", COMPLETIONS, {**TEXT, "max_tokens": max_tokens})
        assert answer.json()["choices"][0]["finish_reason"] == reason
        assert server.determined == (2, max_tokens, "one two")  # type: ignore[attr-defined]

    play(server, scene)


def test_sampling_params_of_a_subclass_can_lower_max_tokens() -> None:
    class Frugal(PenstockServer):
        def _create_sampling_params(self, request: Any) -> SamplingParams:
            return SamplingParams(max_tokens=3)

    adapter = Toy(whole, {"max_model_len": 100})
    server = server_of(adapter, Frugal)

    async def scene() -> None:
        await ask(server, "POST", COMPLETIONS, {**TEXT, "max_tokens": 50})
        assert adapter.asked[0].max_tokens == 3

    play(server, scene)


def test_any_max_tokens_where_no_length_is_known() -> None:
    adapter = Toy(whole)
    server = server_of(adapter)

    async def scene() -> None:
        answer = await ask(server, "POST", COMPLETIONS, {**TEXT, "max_tokens": 5_000_000_000})
        assert answer.status == 200
        assert adapter.asked[0].max_tokens == 5_000_000_000

    play(server, scene)


# ---- what an adapter says of itself


def test_what_an_engine_can_do_is_not_refused() -> None:
    adapter = Toy(whole)
    adapter.abilities = Abilities(chat=True, logprobs=True, token_prompts=True, fields=frozenset({"lora_path"}))
    server = server_of(adapter)

    async def scene() -> None:
        content = {**TEXT, "prompt": [3, 4, 5], "logprobs": 2, "lora_path": "a", "user": "u"}
        answer = await ask(server, "POST", COMPLETIONS, content)
        assert answer.status == 200
        assert answer.json()["usage"]["prompt_tokens"] == 3
        assert adapter.given == [[3, 4, 5]]
        assert adapter.asked[0].extra == {"logprobs": 2, "lora_path": "a"}
        assert answer.headers["x-penstock-warnings"] == "user"
        refused = await ask(server, "POST", COMPLETIONS, {**TEXT, "logit_bias": {"1": 1}})
        assert (refused.status, error_of(refused)["param"]) == (400, "logit_bias")
        listed = (await ask(server, "GET", "/v1/models")).json()["data"][0]["capabilities"]
        assert {name for name, has in listed.items() if has} == {
            "completions", "chat", "streaming", "logprobs", "token_prompts",
        }  # fmt: skip

    play(server, scene)


def test_an_engine_that_picks_the_best_gives_no_others() -> None:
    adapter = Toy(whole)
    adapter.abilities = Abilities(chat=True, logprobs=True)
    server = server_of(adapter)

    async def scene() -> None:
        answer = await ask(server, "POST", COMPLETIONS, {**TEXT, "best_of": 3})
        assert (answer.status, len(answer.json()["choices"])) == (200, 1)
        assert (adapter.asked[0].extra, adapter.asked[0].n) == ({"best_of": 3}, 1)

    play(server, scene)


def test_a_model_that_cannot_chat_says_so() -> None:
    adapter = Toy(whole)
    adapter.abilities = Abilities()
    server = server_of(adapter)

    async def scene() -> None:
        answer = await ask(server, "POST", CHAT, {"messages": [{"role": "user", "content": "Hi"}]})
        assert (answer.status, error_of(answer)["param"]) == (400, "messages")

    play(server, scene)


class Processor:
    def apply_chat_template(self, messages: Any, tokenize: bool, add_generation_prompt: bool) -> str:
        assert not tokenize
        return f"{len(messages)} {add_generation_prompt}"


class GreedyProcessor:
    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        return repr(sorted(options.items()))


@pytest.mark.parametrize(
    ("processor", "warnings", "prompt"),
    [
        (None, "documents, chat_template_kwargs", "user: Hi"),
        (Processor(), "documents, chat_template_kwargs", "1 False"),
        (
            GreedyProcessor(), None,
            "[('add_generation_prompt', False), ('continue_final_message', False), ('documents', [{}]),"
            " ('enable_thinking', True), ('tokenize', False)]",
        ),
    ],
    ids=["lines", "bare", "takes_all"],
)  # fmt: skip
def test_template_options_that_it_cannot_take_are_named(processor: Any, warnings: str | None, prompt: str) -> None:
    adapter = Toy(whole)
    adapter.processor = processor
    server = server_of(adapter)

    async def scene() -> None:
        content = {
            "messages": [{"role": "user", "content": "Hi"}], "documents": [{}], "add_generation_prompt": False,
            "chat_template_kwargs": {"enable_thinking": True},
        }  # fmt: skip
        answer = await ask(server, "POST", CHAT, content)
        assert answer.status == 200
        assert answer.headers.get("x-penstock-warnings") == warnings
        assert adapter.given == [prompt]

    play(server, scene)


# ---- its state


def test_an_engine_that_is_not_healthy_is_an_error_until_it_is() -> None:
    adapter = Toy(whole)
    server = server_of(adapter)

    async def scene() -> None:
        assert (await ask(server, "GET", "/ready")).status == 200
        adapter.is_well = False
        assert (await ask(server, "GET", "/health")).json()["status"] == "error"
        assert (await ask(server, "GET", "/ready")).status == 503
        assert error_of(await ask(server, "POST", COMPLETIONS, TEXT))["code"] == "engine_dead"
        adapter.is_well = True
        assert (await ask(server, "POST", COMPLETIONS, TEXT)).status == 200

    play(server, scene)


def test_requests_beyond_those_it_runs_wait_and_the_server_is_busy() -> None:
    may_end = asyncio.Event()
    most = 0
    running = 0

    async def waits() -> Any:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await may_end.wait()
        running -= 1
        return [ReturnSample(0, "one", 1, "stop")]

    adapter = Toy(waits)
    adapter.max_running = 2
    server = server_of(adapter, max_queued_requests=4)

    async def scene() -> None:
        clients = [start(server, TEXT, COMPLETIONS) for _ in range(4)]
        await until(lambda: server.models["toy"].engine.status().num_waiting == 2 and running == 2)
        assert server.models["toy"].engine.status().num_running == 2
        assert (await ask(server, "GET", "/ready")).json() == {"status": "busy"}
        metrics = (await ask(server, "GET", "/metrics")).body.decode()
        assert 'vllm:num_requests_waiting{model_name="toy",engine="0"} 2.0\n' in metrics
        refused = await ask(server, "POST", COMPLETIONS, TEXT)
        assert error_of(refused)["code"] == "server_overloaded"
        may_end.set()
        for client in clients:
            await client.answered
            assert client.status == 200
        assert most == 2
        assert (await ask(server, "GET", "/ready")).json() == {"status": "ready"}

    play(server, scene)


def test_stop_ends_its_tasks_on_their_own_loop() -> None:
    cancelled_on: list[Any] = []

    async def waits() -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled_on.append(asyncio.get_running_loop())
            raise

    server = server_of(Toy(waits))

    async def scene() -> None:
        asyncio.get_running_loop().set_debug(True)  # asyncio then refuses calls from another thread
        client = start(server, TEXT, COMPLETIONS)
        engine = server.models["toy"].engine
        await until(lambda: engine.status().num_running == 1)
        await asyncio.to_thread(engine.stop)
        assert cancelled_on == [asyncio.get_running_loop()], "stop waits for the end"
        await client.answered
        assert error_of(client)["code"] == "draining"

    play(server, scene)
