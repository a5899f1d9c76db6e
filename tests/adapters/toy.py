"""A foreign adapter that generates by whichever function it is given, and a server around it."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from driver import Client
from hubs import settings

from penstock import InferenceEngineAdapter, PenstockServer, ReturnSample, SamplingParams

COMPLETIONS = "/v1/completions"
TEXT = {"model": "toy", "prompt": "one two"}
Generate = Callable[..., Any]


class Toy(InferenceEngineAdapter):
    """Generates by the function it is given. Attributes: asked: the sampling parameters of each call."""

    model_name = "toy"
    processor: Any = None
    info: Any

    def __init__(self, generate: Generate, info: Any = None) -> None:
        self._generate = generate
        self.info = {} if info is None else info
        self.asked: list[SamplingParams] = []
        self.given: list[Any] = []
        self.is_well = True

    def generate(self, prompts: Any, sampling_params: SamplingParams, stream: bool = False) -> Any:  # type: ignore[override]
        self.asked.append(sampling_params)
        self.given.append(prompts)
        return self._generate()

    def count_tokens(self, content: Any) -> int:
        return len(str(content).split())

    def get_model_info(self) -> dict[str, Any]:
        return self.info

    def healthy(self) -> bool:
        return self.is_well


def server_of(
    adapter: InferenceEngineAdapter, cls: type[PenstockServer] = PenstockServer, **given: Any
) -> PenstockServer:
    return cls(settings(**given), {"toy": adapter})


def error_of(answer: Client) -> dict[str, Any]:
    """The error of a plain answer or a stream's last event."""
    content = answer.events[-1] if answer.headers["content-type"] == "text/event-stream" else answer.json()
    error: dict[str, Any] = content["error"]
    return error


async def whole() -> Any:
    return [ReturnSample(0, "one two", 2, "stop")]
