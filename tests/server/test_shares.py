"""Whose a request is, how soon it is wanted, with whom it shares a cache, and what the cache had: over the wire."""

import re
from typing import Any

import pytest
from driver import CHAT, HELLO, PROMPT, ask, play, until
from hubs import make_hub, settings

from penstock import PenstockServer
from penstock.adapters.echo import EchoEngine
from penstock.generation import GenerationRequest

COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
MESSAGES = "/v1/messages"
BODIES: dict[str, dict[str, Any]] = {
    CHAT: HELLO,
    COMPLETIONS: {"model": "echo", "prompt": "Once", "max_tokens": 4},
    RESPONSES: {"model": "echo", "input": "Hello", "max_output_tokens": 4, "store": False},
    MESSAGES: {"model": "echo", "messages": HELLO["messages"], "max_tokens": 4},
}
everywhere = pytest.mark.parametrize("path", BODIES)


class WithCache(EchoEngine):
    """An echo that finds the first token of every prompt in a cache, and keeps what it was asked."""

    asked: list[GenerationRequest]

    def submit(self, request: GenerationRequest) -> None:
        self.asked = [*getattr(self, "asked", []), request]
        for choice in range(request.num_choices):
            self.hub.mark_scheduled(
                request.stream_key | choice, num_cached_tokens=1, num_queried_tokens=3,
                cache_exit="differs" if request.wants_cache_report else None,
            )  # fmt: skip
        super().submit(request)


def server_with_cache(**given: Any) -> tuple[PenstockServer, WithCache]:
    chosen = settings(engine="echo", **given)
    hub, metrics = make_hub(PROMPT)
    engine = WithCache(chosen, PROMPT, hub, metrics.model("echo"), "echo")
    return PenstockServer(chosen, {"echo": engine}, metrics), engine


@everywhere
def test_key_priority_and_salt_reach_the_scheduler(path: str) -> None:
    server, engine = server_with_cache(api_key=["one", "two"])

    async def scene() -> None:
        for key in ("one", "two"):
            content = {**BODIES[path], "priority": -5, "cache_salt": "s"}
            answer = await ask(server, "POST", path, content, authorization=f"Bearer {key}")
            assert (answer.status, answer.headers.get("x-penstock-warnings")) == (200, None)
        first, second = engine.asked
        assert len({first.tenant, second.tenant, ""}) == 3
        assert [(each.priority, each.cache_salt) for each in (first, second)] == [(-5, "s")] * 2

    play(server, scene)


@everywhere
@pytest.mark.parametrize(
    ("field", "value"),
    [("priority", 2**31), ("priority", "1"), ("priority", 0.5), ("cache_salt", ""), ("cache_salt", "s" * 513),
     ("cache_salt", 1), ("return_cache_report", 1)],
)  # fmt: skip
def test_what_is_no_priority_or_salt_is_refused_by_name(path: str, field: str, value: Any) -> None:
    server, _ = server_with_cache()

    async def scene() -> None:
        refused = await ask(server, "POST", path, {**BODIES[path], field: value})
        assert refused.status == 400
        assert field in refused.json()["error"]["message"]

    play(server, scene)


def test_a_request_that_says_nothing_is_neutral() -> None:
    server, engine = server_with_cache()

    async def scene() -> None:
        await ask(server, "POST", CHAT, {**HELLO, "priority": None, "cache_salt": None})
        (asked,) = engine.asked
        assert (asked.tenant, asked.priority, asked.cache_salt, asked.wants_cache_report) == ("", 0, "", False)

    play(server, scene)


def usage_of(path: str, answer: Any) -> int:
    usage: dict[str, Any] = answer["usage"]
    if path == MESSAGES:
        return int(usage["cache_read_input_tokens"])
    details = usage["input_tokens_details" if path == RESPONSES else "prompt_tokens_details"]
    return int(details["cached_tokens"])


@everywhere
def test_what_was_cached_is_told_in_usage_and_on_request_with_the_reason(path: str) -> None:
    server, engine = server_with_cache()
    told = {"cache": [{"cached_tokens": 1, "reason": "differs", "left_at_token": 1}]}

    async def scene() -> None:
        plain = (await ask(server, "POST", path, BODIES[path])).json()
        assert (usage_of(path, plain), "penstock" in plain) == (1, False)
        reported = (await ask(server, "POST", path, {**BODIES[path], "return_cache_report": True})).json()
        assert (usage_of(path, reported), reported["penstock"]) == (1, told)
        streamed = await ask(server, "POST", path, {**BODIES[path], "return_cache_report": True, "stream": True})
        assert b'"penstock":{"cache":[{"cached_tokens":1,' in streamed.body
        assert engine.asked[1].wants_cache_report

    play(server, scene)


async def metrics(server: PenstockServer) -> str:
    return (await ask(server, "GET", "/metrics")).body.decode()


def test_a_prompt_counts_once_in_usage_and_each_choice_in_the_metrics() -> None:
    server, engine = server_with_cache()

    async def scene() -> None:
        content = {**BODIES[COMPLETIONS], "prompt": ["One", "Two"], "n": 2, "return_cache_report": True}
        answer = (await ask(server, "POST", COMPLETIONS, content)).json()
        assert (usage_of(COMPLETIONS, answer), len(answer["penstock"]["cache"])) == (2, 2)
        engine.hub.count_preemption()
        counted = re.findall(r"vllm:(prefix_cache_\w+|num_preemptions_total){.*} (\d+)", await metrics(server))
        assert dict(counted) == {
            "prefix_cache_queries_total": "12", "prefix_cache_hits_total": "4", "num_preemptions_total": "1",
        }  # fmt: skip

    play(server, scene)


def test_the_access_line_tells_what_was_cached(caplog: pytest.LogCaptureFixture) -> None:
    server, _ = server_with_cache()
    caplog.set_level("INFO", "penstock.access")

    async def scene() -> None:
        await ask(server, "POST", CHAT, HELLO)
        await until(lambda: "/chat/completions" in caplog.text)
        assert " cached=1 " in caplog.text

    play(server, scene)
