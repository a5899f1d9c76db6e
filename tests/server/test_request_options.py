"""Fields and settings of requests through a whole server: what passes, what is named, and what is told of the model."""

from pathlib import Path
from typing import Any

import pytest
from driver import CHAT, HELLO, PROMPT, ask, echo_server, play
from hubs import make_hub, settings

from penstock import Abilities, PenstockServer
from penstock.adapters.echo import EchoEngine
from penstock.config import ConfigError
from penstock.prompt import PromptEncoder

COMPLETIONS = "/v1/completions"
TEXT = {"model": "echo", "prompt": "Once", "max_tokens": 4}
TOOLS_FOLDER = Path(__file__).parents[1] / "data/tokenizer"
TOOL = {"type": "function", "function": {"name": "now"}}


def server_with_tools(**given: Any) -> PenstockServer:
    """Over a template that takes tools and thinks."""
    prompt, chosen = PromptEncoder.load(TOOLS_FOLDER), settings(engine="echo", **given)
    hub, metrics = make_hub(prompt)
    return PenstockServer(chosen, {"echo": EchoEngine(chosen, prompt, hub, metrics.model("echo"), "echo")}, metrics)


def test_a_given_text_is_answered_once() -> None:
    server = echo_server(echo_text="Water.")

    async def scene() -> None:
        answer = (await ask(server, "POST", CHAT, {**HELLO, "max_tokens": 100, "n": 2})).json()
        told = [(choice["message"]["content"], choice["finish_reason"]) for choice in answer["choices"]]
        assert told == [("Water.", "stop")] * 2
        cut = (await ask(server, "POST", CHAT, {**HELLO, "max_tokens": 1})).json()["choices"][0]
        assert cut["finish_reason"] == "length"
        events = (await ask(server, "POST", CHAT, {**HELLO, "max_tokens": 100, "stream": True})).events
        assert "".join(event["choices"][0]["delta"].get("content") or "" for event in events) == "Water."

    play(server, scene)


def test_a_strict_server_refuses_what_another_names() -> None:
    lenient, strict = echo_server(), echo_server(strict="on")
    fields = {"user": "u", "stream": True, "stream_options": {"include_obfuscation": True}}

    async def lenient_scene() -> None:
        answer = await ask(lenient, "POST", CHAT, {**HELLO, **fields})
        assert answer.headers["x-penstock-warnings"] == "user, stream_options.include_obfuscation"

    async def strict_scene() -> None:
        refused = await ask(strict, "POST", CHAT, {**HELLO, **fields})
        assert (refused.status, refused.json()["error"]["param"]) == (400, "user")
        assert (await ask(strict, "POST", CHAT, {**HELLO, "store": False, "service_tier": "auto"})).status == 200

    play(lenient, lenient_scene)
    play(strict, strict_scene)


def test_thinking_that_the_template_does_not_know_is_named() -> None:
    plain, thinking = echo_server(), server_with_tools(tool_format="none", reasoning_format="none")
    content = {**HELLO, "reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": True}}

    async def scene() -> None:
        answer = await ask(plain, "POST", CHAT, content)
        assert answer.headers["x-penstock-warnings"] == "reasoning_effort, chat_template_kwargs"

    async def thinking_scene() -> None:
        assert "x-penstock-warnings" not in (await ask(thinking, "POST", CHAT, content)).headers

    play(plain, scene)
    play(thinking, thinking_scene)


def test_tools_without_a_format_are_refused_unless_none_may_be_called() -> None:
    server = server_with_tools(tool_format="none")

    async def scene() -> None:
        refused = await ask(server, "POST", CHAT, {**HELLO, "tools": [TOOL]})
        assert (refused.status, refused.json()["error"]["param"]) == (400, "tools")
        assert (await ask(server, "POST", CHAT, {**HELLO, "tools": [TOOL], "tool_choice": "none"})).status == 200
        told = (await ask(server, "GET", "/v1/models/echo")).json()
        assert (told["formats"].get("tool"), told["capabilities"]["tool_calling"]) == (None, False)

    play(server, scene)


def test_a_format_that_there_is_not_is_no_setting() -> None:
    for name in ("tool_format", "reasoning_format"):
        with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} martian should be auto, none or one of"):
            server_with_tools(**{name: "martian"})


def test_a_history_with_tools_needs_no_tools_now() -> None:
    server = server_with_tools()
    call = {"id": "c", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    history = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "What time is it?"}]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "19:36"}]},
        {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": ""}},
        {"role": "function", "name": "now", "content": "19:37"},
    ]

    async def scene() -> None:
        answer = await ask(server, "POST", CHAT, {**HELLO, "messages": history})
        assert answer.status == 200

    play(server, scene)


def test_two_system_prompts_are_the_templates_affair() -> None:
    server = server_with_tools()
    messages = [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, *HELLO["messages"]]

    async def scene() -> None:
        refused = await ask(server, "POST", CHAT, {**HELLO, "messages": messages})
        error = refused.json()["error"]
        assert (refused.status, error["param"]) == (400, "messages")
        assert "A system message must come first" in error["message"]

    play(server, scene)


def test_token_ids_beyond_the_vocabulary_are_refused_by_name() -> None:
    class Able(EchoEngine):
        abilities = Abilities(chat=True, token_prompts=True, logit_bias=True)

    chosen = settings(engine="echo")
    prompt = PromptEncoder.load(TOOLS_FOLDER)
    hub, metrics = make_hub(prompt)
    server = PenstockServer(chosen, {"echo": Able(chosen, prompt, hub, metrics.model("echo"), "echo")}, metrics)

    async def scene() -> None:
        for name, value in {"logit_bias": {"9999999": 1}, "allowed_token_ids": [9999999]}.items():
            refused = await ask(server, "POST", COMPLETIONS, {**TEXT, name: value})
            assert (refused.status, refused.json()["error"]["param"]) == (400, name)

    play(server, scene)


def test_truncation_is_counted() -> None:
    server = echo_server()

    async def scene() -> None:
        content = {**TEXT, "prompt": "one two three four five six", "truncate_prompt_tokens": 3}
        answer = await ask(server, "POST", COMPLETIONS, content)
        assert answer.json()["usage"]["prompt_tokens"] == 3

    play(server, scene)


def test_the_fingerprint_tells_models_apart() -> None:
    def fingerprint(name: str) -> str:
        chosen = settings(engine="echo")
        hub, metrics = make_hub(PROMPT)
        server = PenstockServer(chosen, {name: EchoEngine(chosen, PROMPT, hub, metrics.model(name), name)}, metrics)
        return server.models[name].system_fingerprint

    assert fingerprint("a") == fingerprint("a")
    assert fingerprint("a").startswith("fp_")
    assert fingerprint("a") != fingerprint("b")


def test_a_prompt_is_remembered_by_key_and_salt() -> None:
    """So that the time which it takes tells nobody else that it has come before."""
    prompt, chosen = PromptEncoder.load(TOOLS_FOLDER), settings(engine="echo", api_key=["one", "two"])
    hub, metrics = make_hub(prompt)
    server = PenstockServer(chosen, {"echo": EchoEngine(chosen, prompt, hub, metrics.model("echo"), "echo")}, metrics)

    async def scene() -> None:
        for key, fields in (("one", {}), ("two", {}), ("two", {"cache_salt": "s"}), ("two", {"cache_salt": "t"})):
            asked = await ask(server, "POST", CHAT, {**HELLO, **fields}, authorization=f"Bearer {key}")
            assert asked.status == 200

    play(server, scene)
    pieces = prompt._tokenizer.pieces
    assert pieces is not None
    assert len({whose for whose, _ in pieces._kept}) == 4
