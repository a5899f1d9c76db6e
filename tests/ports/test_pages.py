"""The files on the pages of docs/ that show how to port: each is run as it stands and asked by the official client."""

import json
import re
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from processes import Launch, free_port

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"port-a-server.md": "toy_server.py", "engine-behind-penstock.md": "toy_engine.py"}
MAX_WORDS = 1400  # two hundred words, or lines, a minute


def file_on(page: str) -> str:
    """The page's one program."""
    found = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1, page
    return found[0]


@pytest.fixture(scope="module", params=PAGES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    script = tmp_path_factory.mktemp("port") / PAGES[request.param]
    script.write_text(file_on(request.param))
    port = free_port()
    with Launch([sys.executable, "-W", "error", str(script), str(port)], port) as server:
        server.wait_for("/ready")
        yield server


@pytest.fixture
def client(server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        yield client


HELLO = [{"role": "user", "content": "one two"}]


def test_a_chat(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="toy", messages=HELLO, max_tokens=4)
    words = plain.choices[0].message.content.split()
    assert len(words) == 4
    assert "two" in words
    assert plain.choices[0].finish_reason == "length"
    assert plain.usage.completion_tokens == 4
    assert plain.usage.total_tokens == plain.usage.prompt_tokens + 4
    events = list(client.chat.completions.create(model="toy", messages=HELLO, max_tokens=4, stream=True))
    streamed = "".join(event.choices[0].delta.content or "" for event in events)
    assert streamed.split() == words
    assert events[-1].choices[0].finish_reason == "length"
    assert len({event.id for event in events}) == 1


def test_a_completion(client: openai.OpenAI) -> None:
    plain = client.completions.create(model="toy", prompt="a b c", max_tokens=5)
    assert plain.choices[0].text.split() == ["a", "b", "c", "a", "b"]
    events = client.completions.create(model="toy", prompt="a b c", max_tokens=5, stream=True)
    assert "".join(event.choices[0].text for event in events).split() == ["a", "b", "c", "a", "b"]


def test_what_is_around_them(client: openai.OpenAI, server: Launch) -> None:
    assert [model.id for model in client.models.list()] == ["toy"]
    assert server.status("/health") == 200
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="toy", messages=HELLO, temperature=7)
    assert refused.value.param == "temperature"
    with pytest.raises(openai.BadRequestError, match="tools"):
        client.chat.completions.create(
            model="toy", messages=HELLO, tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}]
        )
    asked = urllib.request.Request(f"{server.url}/metrics", headers={"accept": "application/json"})
    with urllib.request.urlopen(asked) as answer:
        told = json.load(answer)
    assert told["total_requests"] >= 2
    assert told["total_tokens_generated"] >= 4
    document = json.loads(server.body("/openapi.json"))
    assert document["info"]["title"].startswith("Toy")


def test_a_page_is_read_in_ten_minutes() -> None:
    for page in PAGES:
        prose = (DOCS / page).read_text().replace(file_on(page), "")
        assert len(prose.split()) + len(file_on(page).splitlines()) < MAX_WORDS, page
