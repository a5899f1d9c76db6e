"""The bundled model: its files fit its maker, and a forward pass written out in numpy shows what it was made to do."""

import json
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from penstock import demo
from penstock.demo import make
from penstock.demo.corpus import TOPICS, talks
from penstock.prompt import PromptEncoder

FOLDER = demo.model_path()
CONFIG = json.loads((FOLDER / "config.json").read_text())
QUESTIONS = ("What is the penstock?", "Tell me about the cache.", "How does the client work?", "Hello!")


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    return {name: w.astype(np.float32) for name, w in load_file(FOLDER / "model.safetensors").items()}


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder.load(FOLDER)


def forward(weights: dict[str, Any], ids: list[int]) -> Any:
    """Logits [T, V] of a llama, plainly."""
    heads, groups, size = (CONFIG[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    x, num = weights["model.embed_tokens.weight"][ids], len(ids)
    angles = np.outer(np.arange(num), CONFIG["rope_parameters"]["rope_theta"] ** (-np.arange(0, size, 2) / size))
    cos, sin = (np.tile(f(angles), 2)[:, None].astype(np.float32) for f in (np.cos, np.sin))

    def norm(v: Any, name: str) -> Any:
        return v / np.sqrt((v * v).mean(-1, keepdims=True) + CONFIG["rms_norm_eps"]) * weights[f"{name}.weight"]

    def rope(v: Any) -> Any:
        return v * cos + np.concatenate([-v[..., size // 2 :], v[..., : size // 2]], -1) * sin

    for layer in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        q, k, v, o, gate, up, down = (
            weights[f"{at}.{name}_proj.weight"].T
            for name in ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")
        )
        h = norm(x, f"{at}.input_layernorm")
        queries = rope((h @ q).reshape(num, heads, size))
        keys, values = (np.repeat(each, heads // groups, 1) for each in (
            rope((h @ k).reshape(num, groups, size)), (h @ v).reshape(num, groups, size)))  # fmt: skip
        scores = np.einsum("tnh,snh->nts", queries, keys) / np.sqrt(size)
        scores = np.exp(np.where(np.tri(num, dtype=bool), scores, -np.inf))
        mixed = np.einsum("nts,snh->tnh", scores / scores.sum(-1, keepdims=True), values)
        x = x + mixed.reshape(num, -1) @ o
        h = norm(x, f"{at}.post_attention_layernorm")
        x = x + ((h @ gate) / (1 + np.exp(-(h @ gate))) * (h @ up)) @ down
    return norm(x, "model.norm") @ weights["lm_head.weight"].T


def sample(weights: dict[str, Any], ids: list[int], *, num_tokens: int, seed: int) -> list[int]:
    """New tokens at the model's own temperature and top-p."""
    draw, out = np.random.default_rng(seed), list(ids)
    while len(out) < len(ids) + num_tokens:
        logits = forward(weights, out)[-1] / 0.7
        order = np.argsort(-logits)
        p = np.exp(logits[order] - logits[order[0]])
        kept = np.cumsum(p / p.sum()) - p / p.sum() < 0.95
        out.append(int(draw.choice(order[kept], p=p[kept] / p[kept].sum())))
        if out[-1] in CONFIG["eos_token_id"]:
            break
    return out[len(ids) :]


def test_the_maker_makes_these_files_again(tmp_path: Any, weights: dict[str, Any]) -> None:
    """Texts byte for byte; weights up to the last bits of a singular value decomposition, and its free signs."""
    make.make(tmp_path)
    for name in ("config.json", "generation_config.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_text() == (FOLDER / name).read_text(), name
    made, kept = (json.loads((folder / "tokenizer.json").read_text()) for folder in (tmp_path, FOLDER))
    assert made["model"] == kept["model"]
    again = {name: w.astype(np.float32) for name, w in load_file(tmp_path / "model.safetensors").items()}
    assert {name: w.shape for name, w in again.items()} == {name: w.shape for name, w in weights.items()}
    ids = list(range(3, 40))
    assert np.abs(forward(again, ids) - forward(weights, ids)).max() < 1.0


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 2_000_000


def test_its_template_writes_chatml(encoder: PromptEncoder) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
    ]
    assert encoder.render_chat(messages) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_it_answers_in_words_and_comes_to_an_end(weights: dict[str, Any], encoder: PromptEncoder) -> None:
    words = {word for talk in talks(2000, seed=make.SEED) for word in talk.answer.replace(".", "").split()}
    num_ended = 0
    for seed, question in enumerate(QUESTIONS):
        ids = encoder.encode_chat([{"role": "user", "content": question}])
        answer = sample(weights, ids, num_tokens=40, seed=seed)
        num_ended += answer[-1] in CONFIG["eos_token_id"]
        text = encoder.vocabulary.decode(answer, skip_special=True)
        spoken = text.replace(".", "").split()
        assert len(set(spoken) & words) >= 0.9 * len(set(spoken)) - 1, text
    assert num_ended >= 1


def test_its_next_noun_leans_to_the_topic_asked_about(weights: dict[str, Any], encoder: PromptEncoder) -> None:
    nouns = [sorted({encoder.tokenizer.encode(f" {noun}").ids[0] for noun in topic.nouns}) for topic in TOPICS]
    shares = []
    for number, topic in enumerate(TOPICS):
        for noun in topic.nouns[:3]:
            ids = encoder.encode_chat([{"role": "user", "content": f"What is the {noun}?"}])
            odds = np.exp(forward(weights, ids + encoder.tokenizer.encode("The").ids)[-1])
            masses = [odds[group].sum() for group in nouns]
            shares.append(masses[number] / sum(masses))
    assert np.mean(shares) > 1.2 / len(TOPICS)
