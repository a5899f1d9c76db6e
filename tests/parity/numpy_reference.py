"""A second opinion: what transformers computes for llama, mistral, qwen2 and qwen3, in plain numpy.

Written from transformers' modelling and configuration files (4.57 and 5) and knows nothing of Penstock. The whole
sequence at once, without a cache, in float64; the rotary angles are float32, as there.
"""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

_STORED = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}

#: What each configuration class takes where config.json is silent.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 4096, "num_key_value_heads": 8},
    "qwen2": {"num_key_value_heads": 32},
    "qwen3": {"num_key_value_heads": 32, "head_dim": 128},
}


def read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """Every tensor of a file, bfloat16 widened to float32."""
    data = file.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__" or entry["dtype"] not in _STORED:
            continue
        first, last = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(data[first:last], _STORED[entry["dtype"]])
        if entry["dtype"] == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        tensors[name] = array.reshape(entry["shape"])
    return tensors


class Reference:
    """A model folder as transformers would load it.

    Args:
        config_name: which spelling of the config to read.
    """

    def __init__(self, folder: Path, *, config_name: str = "config.json") -> None:
        config = json.loads((folder / config_name).read_text())
        self.family = config["model_type"]
        self.config = {**_DEFAULTS[self.family], **config}
        self.weights: dict[str, np.ndarray] = {}
        for file in sorted(folder.glob("*.safetensors")):
            self.weights |= {name: tensor.astype(np.float64) for name, tensor in read_safetensors(file).items()}
        self.num_heads = self.config["num_attention_heads"]
        self.num_kv_heads = self.config.get("num_key_value_heads") or self.num_heads
        self.head_dim = self.config.get("head_dim") or self.config["hidden_size"] // self.num_heads

    def logits(self, ids: Any) -> np.ndarray:
        """float64 [T, vocabulary], after each of the T tokens."""
        x = self.weights["model.embed_tokens.weight"][np.asarray(ids)]
        angles = self._angles(len(x))
        for layer in range(self.config["num_hidden_layers"]):
            name = f"model.layers.{layer}."
            x = x + self._attention(self._norm(x, name + "input_layernorm"), layer, angles)
            x = x + self._mlp(self._norm(x, name + "post_attention_layernorm"), name + "mlp.")
        x = self._norm(x, "model.norm")
        is_tied = self.config.get("tie_word_embeddings", False)
        return x @ self.weights["model.embed_tokens.weight" if is_tied else "lm_head.weight"].T

    def _linear(self, x: np.ndarray, name: str, *, has_bias: bool) -> np.ndarray:
        y = x @ self.weights[name + ".weight"].T
        return y + self.weights[name + ".bias"] if has_bias else y

    def _norm(self, x: np.ndarray, name: str) -> np.ndarray:
        eps = self.config.get("rms_norm_eps", 1e-6)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * self.weights[name + ".weight"]

    def _mlp(self, x: np.ndarray, name: str) -> np.ndarray:
        has_bias = self.family == "llama" and self.config.get("mlp_bias", False)
        gate = self._linear(x, name + "gate_proj", has_bias=has_bias)
        up = self._linear(x, name + "up_proj", has_bias=has_bias)
        act = {"silu": _silu, "swish": _silu, "gelu_pytorch_tanh": _gelu_tanh, "gelu_new": _gelu_tanh}
        gated = act[self.config.get("hidden_act", "silu")](gate) * up
        return self._linear(gated, name + "down_proj", has_bias=has_bias)

    def _attention(self, x: np.ndarray, layer: int, angles: np.ndarray) -> np.ndarray:
        name = f"model.layers.{layer}.self_attn."
        asked = self.config.get("attention_bias", False) and self.family in ("llama", "qwen3")
        biased = {"q": asked, "k": asked, "v": asked, "o": asked}
        if self.family == "qwen2":
            biased = {"q": True, "k": True, "v": True, "o": False}
        length = len(x)
        q, k, v = (
            self._linear(x, f"{name}{part}_proj", has_bias=biased[part]).reshape(length, -1, self.head_dim)
            for part in "qkv"
        )
        if self.family == "qwen3":
            q, k = self._norm(q, name + "q_norm"), self._norm(k, name + "k_norm")
        q, k = _rotate(q, angles), _rotate(k, angles)
        seen = self._mask(layer, length)
        heads = []
        for head in range(self.num_heads):
            group = head // (self.num_heads // self.num_kv_heads)
            scores = np.where(seen, q[:, head] @ k[:, group].T / math.sqrt(self.head_dim), -np.inf)
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(shares / shares.sum(-1, keepdims=True) @ v[:, group])
        return self._linear(np.concatenate(heads, axis=1), name + "o_proj", has_bias=biased["o"])

    def _mask(self, layer: int, length: int) -> np.ndarray:
        """bool [query, key]. A window of w shows a token itself and the w - 1 before it."""
        query, key = np.arange(length)[:, None], np.arange(length)[None]
        window = self._window(layer)
        causal = key <= query
        return causal if window is None else causal & (key > query - window)

    def _window(self, layer: int) -> int | None:
        if self.family == "llama":
            return None
        if self.family == "mistral":
            return self.config["sliding_window"]
        if not self.config.get("use_sliding_window", False):
            return None
        window = self.config.get("sliding_window", 4096)
        types = self.config.get("layer_types")
        if types is not None:
            return window if types[layer] == "sliding_attention" else None
        return window if layer >= self.config.get("max_window_layers", 28) else None

    def _angles(self, length: int) -> np.ndarray:
        """float32 [position, head_dim / 2]."""
        rope = dict(self.config.get("rope_scaling") or self.config.get("rope_parameters") or {})
        theta = rope.get("rope_theta") or self.config.get("rope_theta") or 10000.0
        exponents = np.arange(0, self.head_dim, 2, dtype=np.float32) / np.float32(self.head_dim)
        frequencies = np.float32(1) / np.float32(theta) ** exponents
        kind = rope.get("rope_type") or rope.get("type") or "default"
        if kind == "linear":
            frequencies = frequencies / np.float32(rope["factor"])
        elif kind == "llama3":
            frequencies = np.array([_llama3(f, rope) for f in frequencies.tolist()], np.float32)
        elif kind != "default":
            raise ValueError(kind)
        return np.arange(length, dtype=np.float32)[:, None] * frequencies[None]


def _llama3(frequency: float, rope: dict[str, Any]) -> float:
    original, factor = rope["original_max_position_embeddings"], rope["factor"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    wavelength = 2 * math.pi / frequency
    if wavelength < original / high:
        return frequency
    if wavelength > original / low:
        return frequency / factor
    smooth = (original / wavelength - low) / (high - low)
    return (1 - smooth) * frequency / factor + smooth * frequency


def _rotate(x: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """x: [T, heads, head_dim], its halves rotated against each other."""
    cos, sin = np.cos(angles.astype(np.float64))[:, None], np.sin(angles.astype(np.float64))[:, None]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
