"""A subclass with a foreign engine, run by the granian command, asked over a socket."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from processes import Launch, free_port, granian


@pytest.fixture(scope="module")
def server() -> Iterator[Launch]:
    port = free_port()
    with Launch(granian("own_app:app", port), port, PYTHONPATH=str(Path(__file__).parent)) as server:
        server.wait_for("/ready")
        yield server


def test_its_own_endpoint_and_handler(server: Launch) -> None:
    with urllib.request.urlopen(f"{server.url}/shout/hey") as answer:
        assert json.load(answer) == {"said": "HEY"}
        assert answer.headers["server"] == "penstock"
    with urllib.request.urlopen(f"{server.url}/version") as answer:
        assert json.load(answer)["build"] == "mine"


def test_the_official_client_hears_the_parrot(server: Launch) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        plain = client.completions.create(model="parrot", prompt="pretty polly wants a cracker", stop=[" cracker"])
        assert plain.choices[0].text == "pretty polly wants a"
        stream = client.completions.create(model="parrot", prompt="pretty polly", stream=True)
        assert [chunk.choices[0].text for chunk in stream][:2] == ["pretty", " polly"]
        chat = client.chat.completions.create(model="parrot", messages=[{"role": "user", "content": "hello"}])
        assert chat.choices[0].message.content == "user: hello\nassistant:"
