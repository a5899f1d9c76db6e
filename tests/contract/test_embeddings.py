"""POST /v1/embeddings: the official client, LangChain's way of asking, and every refusal."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from processes import Launch
from raw_http import ask_json

PATH = "/v1/embeddings"
RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "data" / "pooled.json").read_text())["demo"]
TEXTS = [each["text"] for each in RECORDED]


@pytest.fixture(scope="module")
def client(jax_server: Launch) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{jax_server.url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def model(client: openai.OpenAI) -> str:
    return client.models.list().data[0].id


def answer_of(server: Launch, **body: Any) -> dict[str, Any]:
    answer = ask_json(server, PATH, body)
    assert answer.status == 200, answer.body
    told: dict[str, Any] = json.loads(answer.body)
    return told


def vectors_of(told: dict[str, Any]) -> np.ndarray:
    return np.array([each["embedding"] for each in told["data"]], np.float32)


def test_the_official_client_gets_what_transformers_computes(client: openai.OpenAI, model: str) -> None:
    """Texts in, the last token's state at length 1 out; the client asks for base64 where nobody says otherwise."""
    answer = client.embeddings.create(model=model, input=TEXTS)
    want = np.array([each["last"] for each in RECORDED])
    want /= np.linalg.norm(want, axis=1, keepdims=True)
    np.testing.assert_allclose([each.embedding for each in answer.data], want, rtol=0, atol=2e-5)
    assert [each.index for each in answer.data] == [0, 1]
    num_tokens = sum(len(each["ids"]) for each in RECORDED)
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (num_tokens, num_tokens)
    assert answer.model == model
    assert answer.object == "list"


def test_token_ids_and_texts_are_the_same_input(jax_server: Launch) -> None:
    """LangChain's client sends arrays of token ids."""
    texts = vectors_of(answer_of(jax_server, input=TEXTS))
    ids = [each["ids"] for each in RECORDED]
    np.testing.assert_array_equal(vectors_of(answer_of(jax_server, input=ids)), texts)
    np.testing.assert_array_equal(vectors_of(answer_of(jax_server, input=ids[0])), texts[:1])
    np.testing.assert_array_equal(vectors_of(answer_of(jax_server, input=TEXTS[1])), texts[1:])


def test_numbers_and_base64_are_the_same_numbers(jax_server: Launch) -> None:
    numbers = vectors_of(answer_of(jax_server, input=TEXTS, encoding_format="float"))
    packed = answer_of(jax_server, input=TEXTS, encoding_format="base64")["data"]
    unpacked = np.array([np.frombuffer(base64.b64decode(each["embedding"]), "<f4") for each in packed])
    np.testing.assert_array_equal(unpacked, numbers)


def test_dimensions_cut_and_scale(client: openai.OpenAI, model: str) -> None:
    whole = np.array(client.embeddings.create(model=model, input="Hello").data[0].embedding)
    cut = np.array(client.embeddings.create(model=model, input="Hello", dimensions=7).data[0].embedding)
    np.testing.assert_allclose(cut, whole[:7] / np.linalg.norm(whole[:7]), rtol=1e-5)


def test_many_inputs_come_back_in_their_order(jax_server: Launch) -> None:
    """Of any length and in any company: on CPU the same bits as alone."""
    rng = np.random.default_rng(3)
    inputs = [rng.integers(10, 400, int(size)).tolist() for size in rng.integers(1, 40, 30)]
    together = vectors_of(answer_of(jax_server, input=inputs))
    for index in (0, 7, 29):
        np.testing.assert_array_equal(vectors_of(answer_of(jax_server, input=inputs[index]))[0], together[index])


def test_the_model_says_what_its_embeddings_are(jax_server: Launch, client: openai.OpenAI, model: str) -> None:
    told = client.models.retrieve(model).model_dump()
    assert told["capabilities"]["embeddings"] is True
    assert told["info"]["embeddings"] == {"size": 256, "pooling": "last", "is_normalized": True}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "input", "is required"),
        ({"input": []}, "input", "empty array"),
        ({"input": ""}, "input", "empty string"),
        ({"input": ["a", ""]}, "input", "empty string"),
        ({"input": [[]]}, "input", "empty array of token ids"),
        ({"input": [[1, 999999]]}, "input", "the token 999999"),
        ({"input": [5] * 5000}, "input", "maximum context length"),
        ({"input": "word " * 5000}, "input", "maximum context length"),
        ({"input": ["a"] * 2049}, "input", "at most 2048 items"),
        ({"input": 5}, "input", "must be a string"),
        ({"input": [1.5]}, "input", "must be a string"),
        ({"input": "a", "dimensions": 0}, "dimensions", "at least 1"),
        ({"input": "a", "dimensions": 257}, "dimensions", "at most 256"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format", "one of"),
        ({"input": "a", "truncate_prompt_tokens": 5}, "truncate_prompt_tokens", "not supported"),
        ({"input": "a", "model": "other"}, "model", "does not exist"),
    ],
)
def test_a_bad_body_is_refused_by_name(jax_server: Launch, body: dict[str, Any], param: str, words: str) -> None:
    answer = ask_json(jax_server, PATH, body)
    assert answer.status in (400, 404)
    assert answer.error["param"] == param
    assert words in answer.error["message"]


def test_a_field_that_nothing_reads_is_named(jax_server: Launch) -> None:
    answer = ask_json(jax_server, PATH, {"input": "a", "user": "me", "flavour": 1})
    assert answer.headers["x-penstock-warnings"] == "flavour"


def test_an_engine_without_states_refuses(echo_server: Launch) -> None:
    answer = ask_json(echo_server, PATH, {"input": "a"})
    assert answer.status == 400
    assert "makes no embeddings" in answer.error["message"]
