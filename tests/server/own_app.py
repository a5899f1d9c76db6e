"""A server as a user writes it: another endpoint, another handler, an engine that only generates."""

from collections.abc import AsyncIterator
from typing import Any

from penstock import EndpointConfig, InferenceEngineAdapter, PenstockServer, Request, ReturnSample, Settings


class Parrot(InferenceEngineAdapter):
    model_name = "parrot"
    processor = None

    async def generate(self, prompts: Any, sampling_params: Any, stream: bool = False) -> Any:
        words = prompts.split(" ")
        return self._stream(words) if stream else [ReturnSample(0, " ".join(words), len(words), "stop")]

    async def _stream(self, words: list[str]) -> AsyncIterator[list[ReturnSample]]:
        for i, word in enumerate(words):
            yield [ReturnSample(0, f" {word}" if i else word, 1)]

    def count_tokens(self, content: Any) -> int:
        return len(content.split())

    def get_model_info(self) -> dict[str, Any]:
        return {}


class OwnServer(PenstockServer):
    @property
    def _endpoints(self) -> list[EndpointConfig]:
        return [*super()._endpoints, EndpointConfig(path="/shout/{word}", handler=self.shout, methods=["GET"])]

    async def shout(self, word: str) -> dict[str, str]:
        return {"said": word.upper()}

    async def get_version(self, raw_request: Request) -> dict[str, str]:
        return {**await super().get_version(raw_request), "build": "mine"}


app = OwnServer(Settings(), {"parrot": Parrot()})
