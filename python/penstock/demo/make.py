"""Makes the bundled model: `python -m penstock.demo.make OUT`.

A llama checkpoint whose weights are written down, not trained. Embedding and head are the two factors of a bigram table
of our own corpus, so the next token follows from the last one; the first layer's attention looks at the whole prompt
evenly and leans towards words of its topic; all else is small seeded noise. It answers in words, and makes no sense: it
shows the plumbing. Needs numpy, ml_dtypes, safetensors and tokenizers; no jax.

The singular value decomposition may differ in its last bits between machines, so the files are kept in the repository
and a test compares what they compute.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from penstock.demo.corpus import Talk, talks

Matrix = NDArray[np.float64]

SEED = 2024
NUM_TALKS = 6000
VOCAB_SIZE, HIDDEN_SIZE, HEAD_DIM, NUM_HEADS, NUM_KV_HEADS, MLP_SIZE, NUM_LAYERS = 1024, 256, 32, 4, 2, 128, 2
MAX_MODEL_LEN = 2048
NOISE = 0.01
TOPIC_STRENGTH = 6.0
#: Log-probability of what never follows a token, and of what the corpus never says at all (bytes, mostly). A lower
#: LOG_FLOOR would cost accuracy elsewhere; the same number in a whole column costs none.
LOG_FLOOR, LOG_NEVER = -10.0, -16.0

END_OF_TEXT, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

CHAT_TEMPLATE = """\
{%- set turns = messages %}
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}
{%- set turns = messages[1:] %}
{%- if messages[0].content is string %}{{- messages[0].content }}
{%- else %}{% for part in messages[0].content %}{{- part.text }}{% endfor %}
{%- endif %}
{{- '\\n' }}
{%- endif %}
{{- 'Call a tool by <tool_call>{"name": its name, "arguments": an object}</tool_call>.\\n<tools>\\n' }}
{%- for tool in tools %}{{- tool | tojson }}{{- '\\n' }}{% endfor %}
{{- '</tools><|im_end|>\\n' }}
{%- endif %}
{%- for message in turns %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string %}{{- message.content }}
{%- elif message.content is not none %}{% for part in message.content %}{{- part.text }}{% endfor %}
{%- endif %}
{%- if 'tool_calls' in message %}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>' + ({'name': call.function.name, 'arguments': call.function.arguments} | tojson) + '</tool_call>' }}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}
"""


@dataclass(frozen=True, slots=True)
class CorpusCounts:
    """What the weights are made of.

    Attributes:
        bigrams: [V, V], how often a token of an answer follows another.
        topics: [V, V], how often two tokens occur in the same talk.
    """

    bigrams: Matrix
    topics: Matrix


def make(out: Path) -> None:
    """Writes the model folder `out`: tokenizer, template, configs, weights."""
    out.mkdir(parents=True, exist_ok=True)
    corpus = talks(NUM_TALKS, seed=SEED)
    tokenizer = train_tokenizer(corpus)
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    for name, content in config_files(tokenizer).items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    weights = make_weights(count_corpus(corpus, tokenizer))
    halves = {name: np.ascontiguousarray(w.astype(ml_dtypes.bfloat16)) for name, w in weights.items()}
    save_file(halves, out / "model.safetensors", metadata={"format": "pt"})


def train_tokenizer(corpus: list[Talk]) -> Tokenizer:
    """A byte-level BPE of VOCAB_SIZE entries, the three special tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[AddedToken(token, special=True) for token in (END_OF_TEXT, TURN, TURN_END)],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    lines = (line for talk in corpus for line in ("system user assistant", talk.question, talk.answer))
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def count_corpus(corpus: list[Talk], tokenizer: Tokenizer) -> CorpusCounts:
    """Counts the bigrams of answers, and which tokens share a talk."""
    bigrams, topics = np.zeros((VOCAB_SIZE, VOCAB_SIZE)), np.zeros((VOCAB_SIZE, VOCAB_SIZE))
    for talk in corpus:
        answer = tokenizer.encode(f"\n{talk.answer}{TURN_END}").ids
        np.add.at(bigrams, (answer[:-1], answer[1:]), 1)
        present = sorted(set(answer) | set(tokenizer.encode(talk.question).ids))
        topics[np.ix_(present, present)] += 1
    return CorpusCounts(bigrams, topics)


def make_weights(counts: CorpusCounts) -> dict[str, Matrix]:
    """All tensors of the checkpoint under their published names, float64."""
    embedding, head = factor_bigrams(counts.bigrams)
    weights = dict(_noise_layers(np.random.default_rng(SEED)))
    weights["model.embed_tokens.weight"], weights["lm_head.weight"] = embedding, head
    weights["model.norm.weight"] = np.ones(HIDDEN_SIZE)
    value, output = topic_attention(counts.topics, embedding, head)
    weights["model.layers.0.self_attn.v_proj.weight"] = value
    weights["model.layers.0.self_attn.o_proj.weight"] = output
    return weights


def factor_bigrams(bigrams: Matrix) -> tuple[Matrix, Matrix]:
    """Embedding [V, D] and head [V, D] whose product is the bigram log-probability, up to a constant in each row.

    The last column of the embedding brings every row to length sqrt(D), so that the final norm changes none; the head
    does not look at it.
    """
    totals = bigrams.sum(axis=1, keepdims=True)
    unigram = bigrams.sum(axis=0, keepdims=True) / bigrams.sum()
    table = np.log(np.maximum((bigrams + 0.1 * unigram) / (totals + 0.1), np.exp(LOG_FLOOR)))
    table[:, unigram[0] == 0] = LOG_NEVER
    table -= table.mean(axis=1, keepdims=True)
    importance = np.sqrt(totals + 1)
    left, sizes, right = np.linalg.svd(importance * table)
    rank = HIDDEN_SIZE - 1
    rows = left[:, :rank] * sizes[:rank] / importance
    longest = np.sqrt((rows**2).sum(axis=1).max())
    padding = np.sqrt(np.maximum(longest**2 - (rows**2).sum(axis=1, keepdims=True), 0))
    scale = np.sqrt(HIDDEN_SIZE) / longest
    embedding = np.concatenate([rows, padding], axis=1) * scale
    head = np.concatenate([right[:rank].T, np.zeros((VOCAB_SIZE, 1))], axis=1) / scale
    return embedding, head


def topic_attention(topics: Matrix, embedding: Matrix, head: Matrix) -> tuple[Matrix, Matrix]:
    """value [K*H, D] and output [D, N*H] projections that add, for every token looked at, the pointwise mutual
    information of its topic to the logits, as far as K*H dimensions carry it."""
    alone = np.diag(topics).copy()
    expected = alone[:, None] * alone[None, :] / NUM_TALKS
    information = np.where(topics > 0, np.log(np.maximum(topics, 1) / np.maximum(expected, 1e-9)), -1.0)
    information[alone == 0], information[:, alone == 0] = 0, 0
    information = np.clip(information, -1, 0.5) * TOPIC_STRENGTH
    between = np.linalg.lstsq(embedding, information, rcond=1e-3)[0]
    between = between @ np.linalg.pinv(head.T, rcond=1e-3)
    left, sizes, right = np.linalg.svd(between)
    rank, group = NUM_KV_HEADS * HEAD_DIM, NUM_HEADS // NUM_KV_HEADS
    value = (left[:, :rank] * np.sqrt(sizes[:rank])).T
    output = (right[:rank].T * np.sqrt(sizes[:rank])).reshape(HIDDEN_SIZE, NUM_KV_HEADS, HEAD_DIM) / group
    return value, np.repeat(output, group, axis=1).reshape(HIDDEN_SIZE, NUM_HEADS * HEAD_DIM)


def _noise_layers(draw: np.random.Generator) -> Iterator[tuple[str, Matrix]]:
    q_size, kv_size = NUM_HEADS * HEAD_DIM, NUM_KV_HEADS * HEAD_DIM
    shapes = {
        "self_attn.q_proj": (q_size, HIDDEN_SIZE),
        "self_attn.k_proj": (kv_size, HIDDEN_SIZE),
        "self_attn.v_proj": (kv_size, HIDDEN_SIZE),
        "self_attn.o_proj": (HIDDEN_SIZE, q_size),
        "mlp.gate_proj": (MLP_SIZE, HIDDEN_SIZE),
        "mlp.up_proj": (MLP_SIZE, HIDDEN_SIZE),
        "mlp.down_proj": (HIDDEN_SIZE, MLP_SIZE),
    }
    for layer in range(NUM_LAYERS):
        for name, shape in shapes.items():
            yield f"model.layers.{layer}.{name}.weight", draw.standard_normal(shape) * NOISE
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"model.layers.{layer}.{norm}.weight", np.ones(HIDDEN_SIZE)


def config_files(tokenizer: Tokenizer) -> dict[str, dict[str, Any]]:
    """config.json, generation_config.json and tokenizer_config.json, by name."""
    stop_ids = [tokenizer.token_to_id(token) for token in (TURN_END, END_OF_TEXT)]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": VOCAB_SIZE,
        "hidden_size": HIDDEN_SIZE,
        "intermediate_size": MLP_SIZE,
        "num_hidden_layers": NUM_LAYERS,
        "num_attention_heads": NUM_HEADS,
        "num_key_value_heads": NUM_KV_HEADS,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "max_position_embeddings": MAX_MODEL_LEN,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
        "eos_token_id": stop_ids,
    }
    generation = {"eos_token_id": stop_ids, "do_sample": True, "temperature": 0.7, "top_p": 0.95}
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": TURN_END,
        "pad_token": END_OF_TEXT,
        "model_max_length": MAX_MODEL_LEN,
        "clean_up_tokenization_spaces": False,
    }
    return {"config.json": config, "generation_config.json": generation, "tokenizer_config.json": tokenizer_config}


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes Penstock's bundled model.")
    parser.add_argument("out", type=Path, help="folder to write")
    make(parser.parse_args().out)


if __name__ == "__main__":
    main()
