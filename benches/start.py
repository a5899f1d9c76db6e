"""First and second start of a model of a real size: the second reads the programs that the first has compiled.

The weights are random, in a folder that is made and thrown away (2.5 GB). Each start is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import table

#: The shape of Llama 3.2 1B.
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "vocab_size": 128256,
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "hidden_act": "silu", "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": True,
}  # fmt: skip


def shapes() -> dict[str, tuple[int, ...]]:
    hidden, inner, kv = 2048, 8192, 8 * 64
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (CONFIG["vocab_size"], hidden),  # type: ignore[dict-item]
        "model.norm.weight": (hidden,),
    }
    for layer in range(16):
        name = f"model.layers.{layer}."
        found |= {
            name + "input_layernorm.weight": (hidden,), name + "post_attention_layernorm.weight": (hidden,),
            name + "self_attn.q_proj.weight": (hidden, hidden), name + "self_attn.k_proj.weight": (kv, hidden),
            name + "self_attn.v_proj.weight": (kv, hidden), name + "self_attn.o_proj.weight": (hidden, hidden),
            name + "mlp.gate_proj.weight": (inner, hidden), name + "mlp.up_proj.weight": (inner, hidden),
            name + "mlp.down_proj.weight": (hidden, inner),
        }  # fmt: skip
    return found


def write_checkpoint(folder: Path) -> None:
    """bfloat16, each number the upper half of a random float32; the same block again and again."""
    (folder / "config.json").write_text(json.dumps(CONFIG))
    header, end = {}, 0
    for name, shape in shapes().items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    random = np.random.default_rng(0).normal(scale=0.02, size=1 << 22).astype(np.float32)
    block = (random.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        while end > 0:
            file.write(block[: min(end, len(block))])
            end -= len(block)


def start(folder: Path, cache: Path) -> None:
    """Loads an engine, and prints seconds: in all, for weights, for programs; CPU for all; and how many programs."""
    from penstock.checkpoint import inspect_checkpoint
    from penstock.engine import EngineOptions
    from penstock.engine.runner import JaxRunner

    told: list[tuple[float, str]] = []
    options = EngineOptions(max_num_seqs=16, kv_cache_memory=1 << 30, compile_cache=cache)
    begun = time.perf_counter()
    runner = JaxRunner.load(
        inspect_checkpoint(folder), options, on_progress=lambda text: told.append((time.perf_counter(), text))
    )
    end = time.perf_counter()
    # The first program's end is told; those of a second start are all read before it matters when each was.
    log_begun = next((at for at, text in told if text == "loading weights"), begun)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "total_s": end - begun, "weights_begun_s": log_begun - begun, "programs_s": runner.programs_s,
        "cpu_s": used.ru_utime + used.ru_stime, "num_programs": len(runner._programs),
    }))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.start:
        start(*args.start)
        return
