"""First and second start of a model of a real size: the second reads the programs that the first has compiled.

The weights are random, in a folder that is made and thrown away (2.5 GB). Each start is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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


class Told(logging.Handler):
    """Keeps the engine's own lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def seconds_of(self, words: str) -> float:
        line = next(line for line in self.lines if words in line)
        return float(line.removesuffix(" s").rpartition(" ")[2])


def start(folder: Path, cache: Path) -> None:
    """Loads an engine, and prints what it took in seconds."""
    from penstock.checkpoint import inspect_checkpoint
    from penstock.engine import EngineOptions
    from penstock.engine.runner import JaxRunner

    told = Told()
    logging.getLogger("penstock.engine").setLevel(logging.INFO)
    logging.getLogger("penstock.engine").addHandler(told)
    options = EngineOptions(max_num_seqs=16, kv_cache_memory=1 << 30, compile_cache=cache)
    begun = time.perf_counter()
    runner = JaxRunner.load(inspect_checkpoint(folder), options, on_progress=lambda _: None)
    total_s = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "total_s": total_s, "weights_s": told.seconds_of("loaded "), "programs_s": told.seconds_of("programs ready in"),
        "cpu_s": used.ru_utime + used.ru_stime, "num_compiles": sum(", compiled in" in line for line in told.lines),
        "num_programs": len(runner._programs), "memory": next(line for line in told.lines if "memory on" in line),
        "temporaries": next(line for line in told.lines if "while they run" in line),
    }))  # fmt: skip


def measure(folder: Path, cache: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--start", str(folder), str(cache)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--start", nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.start:
        start(*args.start)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(Path(folder))
        starts = {name: measure(Path(folder), Path(folder) / "cache") for name in ("first", "second")}
    names = ("programs_s", "weights_s", "total_s", "cpu_s")
    rows = [
        [name, f"{told['num_compiles']} of {told['num_programs']}", *(f"{told[each]:.1f}" for each in names)]
        for name, told in starts.items()
    ]
    first, second = starts.values()
    intro = (
        f"# First and second start of a 1B model\n\n{table.machine(['penstock', 'jax', 'jaxlib'])}\n\nThe shape of "
        "Llama 3.2 1B with random weights, stored in bfloat16 and computed in float32; up to 16 sequences. Each start "
        "is a process, seconds.\nCommand: `python benches/start.py`"
    )
    outro = (
        f"Programs are ready {first['programs_s'] / second['programs_s']:.0f} times sooner.\n\n"
        f"The memory plan: {first['memory']}. In fact {first['temporaries']}."
    )
    head = ["start", "compiled", "programs, s", "weights, s", "in all, s", "CPU, s"]
    table.write("start", intro, table.markdown(head, rows), outro)


if __name__ == "__main__":
    main()
