"""Makes model folders of any shape with seeded random weights, in the spellings and formats that are published.

Writes config.json and safetensors by itself, without Penstock and without the safetensors library.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_DTYPES = {"F32": ("float32", np.float32), "F16": ("float16", np.float16), "BF16": ("bfloat16", ml_dtypes.bfloat16)}


@dataclass(frozen=True)
class Recipe:
    """A checkpoint to make.

    Attributes:
        head_dim: None leaves it out of the config: hidden_size // num_heads.
        rope: the rope parameters in the spelling of transformers 5.
        is_published: spells the config as transformers 4 does.
        fields: set in config.json last; a value of `...` removes the field.
        num_shards: files; more than one come with an index.
        extra: tensors that no layer uses, name → shape.
    """

    family: str = "llama"
    num_layers: int = 2
    hidden_size: int = 48
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int | None = None
    intermediate_size: int = 80
    vocab_size: int = 331
    rope: Mapping[str, Any] = field(default_factory=lambda: {"rope_type": "default", "rope_theta": 10000.0})
    is_published: bool = False
    is_tied: bool = False
    has_lm_head: bool | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    stored: str = "F32"
    num_shards: int = 1
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    seed: int = 0

    @property
    def head_size(self) -> int:
        default = 128 if self.family == "qwen3" else self.hidden_size // self.num_heads
        return self.head_dim or default


def make_checkpoint(recipe: Recipe, folder: Path) -> Path:
    """Writes config.json and the weights; nothing else. Returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(recipe)
    (folder / "config.json").write_text(json.dumps(config))
    tensors = _tensors(recipe, config)
    if recipe.num_shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, recipe.stored)
        return folder
    names, weight_map = sorted(tensors), {}
    for shard in range(recipe.num_shards):
        file = f"model-{shard + 1:05}-of-{recipe.num_shards:05}.safetensors"
        mine = names[shard :: recipe.num_shards]
        weight_map |= dict.fromkeys(mine, file)
        write_safetensors(folder / file, {name: tensors[name] for name in mine}, recipe.stored)
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def write_safetensors(file: Path, tensors: Mapping[str, np.ndarray], stored: str) -> None:
    """One file, its header padded with spaces as the format allows."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    chunks, end = [], 0
    for name, tensor in tensors.items():
        chunks.append(tensor.astype(_DTYPES[stored][1]).tobytes())
        header[name] = {"dtype": stored, "shape": tensor.shape, "data_offsets": [end, end + len(chunks[-1])]}
        end += len(chunks[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def _config(recipe: Recipe) -> dict[str, Any]:
    config: dict[str, Any] = {
        "architectures": [_ARCHITECTURES[recipe.family]],
        "model_type": recipe.family,
        "hidden_size": recipe.hidden_size,
        "intermediate_size": recipe.intermediate_size,
        "max_position_embeddings": 512,
        "num_attention_heads": recipe.num_heads,
        "num_hidden_layers": recipe.num_layers,
        "num_key_value_heads": recipe.num_kv_heads,
        "rms_norm_eps": 1e-3,
        "tie_word_embeddings": recipe.is_tied,
        "vocab_size": recipe.vocab_size,
    }
    if recipe.head_dim:
        config["head_dim"] = recipe.head_dim
    dtype = _DTYPES[recipe.stored][0]
    if recipe.is_published:
        rope = dict(recipe.rope)
        config |= {"torch_dtype": dtype, "rope_theta": rope.pop("rope_theta")}
        config["rope_scaling"] = None if rope == {"rope_type": "default"} else rope
    else:
        config |= {"dtype": dtype, "rope_parameters": dict(recipe.rope)}
    config |= recipe.fields
    return {name: value for name, value in config.items() if value is not ...}


def _tensors(recipe: Recipe, config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(recipe.seed)

    def matrix(num_out: int, num_in: int) -> np.ndarray:
        return random.normal(0, 1.5 / num_in**0.5, (num_out, num_in)).astype(np.float32)

    def vector(size: int, mean: float) -> np.ndarray:
        return random.normal(mean, 0.3, size).astype(np.float32)

    hidden, inner, kv_size = recipe.hidden_size, recipe.intermediate_size, recipe.num_kv_heads * recipe.head_size
    sizes = {"q": recipe.num_heads * recipe.head_size, "k": kv_size, "v": kv_size}
    asked = bool(config.get("attention_bias")) and recipe.family in ("llama", "qwen3")
    tensors = {"model.embed_tokens.weight": random.normal(0, 1, (recipe.vocab_size, hidden)).astype(np.float32)}
    for layer in range(recipe.num_layers):
        attention, mlp = f"model.layers.{layer}.self_attn.", f"model.layers.{layer}.mlp."
        for part, size in sizes.items():
            tensors[f"{attention}{part}_proj.weight"] = matrix(size, hidden)
            if asked or recipe.family == "qwen2":
                tensors[f"{attention}{part}_proj.bias"] = vector(size, 0)
        tensors[attention + "o_proj.weight"] = matrix(hidden, sizes["q"])
        if asked:
            tensors[attention + "o_proj.bias"] = vector(hidden, 0)
        if recipe.family == "qwen3":
            tensors |= {f"{attention}{part}_norm.weight": vector(recipe.head_size, 1) for part in "qk"}
        for part, (num_out, num_in) in {
            "gate": (inner, hidden),
            "up": (inner, hidden),
            "down": (hidden, inner),
        }.items():
            tensors[f"{mlp}{part}_proj.weight"] = matrix(num_out, num_in)
            if config.get("mlp_bias"):
                tensors[f"{mlp}{part}_proj.bias"] = vector(num_out, 0)
        for part in ("input", "post_attention"):
            tensors[f"model.layers.{layer}.{part}_layernorm.weight"] = vector(hidden, 1)
    tensors["model.norm.weight"] = vector(hidden, 1)
    if recipe.has_lm_head if recipe.has_lm_head is not None else not recipe.is_tied:
        tensors["lm_head.weight"] = matrix(recipe.vocab_size, hidden) * 2
    return tensors | {name: np.ones(shape, np.float32) for name, shape in recipe.extra.items()}
