"""Hubs, prompts and streams for tests of adapters."""

import time
from typing import Any

from penstock import _core, demo
from penstock.config import Settings
from penstock.generation import GenerationRequest, Prompt, SamplingParams
from penstock.prompt import PromptEncoder


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


def load_prompt() -> PromptEncoder:
    return PromptEncoder.load(demo.model_path())


def make_hub(prompt: PromptEncoder, **options: Any) -> tuple[_core.Hub, _core.Metrics]:
    """A hub of the model "echo", and the metrics of the process."""
    metrics = _core.Metrics()
    return _core.Hub(prompt.vocabulary, metrics.model("echo"), **options), metrics


def open_stream(
    hub: _core.Hub, *, num_choices: int = 1, streamed: bool = False, max_tokens: int = 16, stop: list[str] | None = None
) -> int:
    opening = _core.Opening(
        dialect="completions",
        response_id="cmpl-1",
        model="m",
        created=0,
        is_streamed=streamed,
        num_choices=num_choices,
        stop=stop or [],
        prompt_tokens=1,
        max_tokens=max_tokens,
        request_id="req_1",
        arrival=time.monotonic(),
    )
    return hub.open(opening)


def request_for(key: int, *, num_choices: int = 1, max_tokens: int = 16) -> GenerationRequest:
    sampling = SamplingParams(max_tokens=max_tokens, n=num_choices)
    return GenerationRequest(stream_key=key, prompts=(Prompt.of_ids([1]),), sampling=sampling, request_id="req_1")
