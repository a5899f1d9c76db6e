"""Penstock beside llama.cpp's server, and vLLM's CPU build where it is there, on the same random weights.

Each round asks all servers of a format in random order, at every number of streams: 128 prompt tokens (ids, all
different, so no cache can help) and 64 greedy tokens over POST /v1/completions, streamed. A claim is the ratio to
llama.cpp in the same round. LLAMA_SERVER names llama.cpp's binary, VLLM_PYTHON a Python that has vLLM.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import process
import table
from engine import NEW_TOKENS, PROMPT_TOKENS, TOOLS, Cell, measure

#: Of `--weight-dtype`: the type of make_model.py's checkpoint, and of llama.cpp's file.
FORMATS = {"float32": ("f32", "f32"), "bfloat16": ("bf16", "bf16"), "int8": ("bf16", "q8_0"), "int4": ("bf16", "q4_0")}
PENSTOCK, LLAMA, VLLM = "penstock", "llama.cpp", "vLLM"
SLOTS, CONTEXT = 32, 512


@dataclass(frozen=True, slots=True)
class Peer:
    """A server's command, the URL that answers when it is ready, and what its environment gains."""

    command: list[str]
    port: int
    ready: str
    env: dict[str, str]


def model_files(folder: Path, dtype: str) -> tuple[Path, Path]:
    """The checkpoint and its GGUF twin, made first if they are not there."""
    kind, gguf_kind = FORMATS[dtype]
    model, gguf = folder / kind, folder / f"{gguf_kind}.gguf"
    make = [sys.executable, str(TOOLS / "make_model.py"), str(model)]
    if not (model / "config.json").exists():
        model.mkdir(parents=True, exist_ok=True)
        subprocess.run([*make, "--dtype", kind], check=True)
    if not gguf.exists():
        subprocess.run([*make, "--gguf", str(gguf), "--gguf-type", gguf_kind], check=True)
    return model, gguf


def peers(folder: Path, dtype: str, flags: str) -> dict[str, Peer]:
    """The servers of one format, by name."""
    model, gguf = model_files(folder, dtype)
    port = process.free_port()
    command = [process.python_script("penstock"), "serve", str(model), "--model-name", "m", "--port", str(port)]
    command += ["--weight-dtype", dtype, "--max-num-seqs", str(SLOTS), "--max-model-len", str(CONTEXT)]
    command += ["--log-level", "warning", *flags.split()]
    made = {PENSTOCK: Peer(command, port, "/ready", {})}
    if llama := os.environ.get("LLAMA_SERVER"):
        port = process.free_port()
        command = [llama, "-m", str(gguf), "-t", "2", "-np", str(SLOTS), "-c", str(SLOTS * CONTEXT), "--alias", "m"]
        made[LLAMA] = Peer([*command, "--port", str(port)], port, "/health", {})
    if (vllm := os.environ.get("VLLM_PYTHON")) and dtype in {"float32", "bfloat16"}:  # it packs no others on a CPU
        made[VLLM] = _vllm(vllm, model, dtype)
    return made


def _vllm(python: str, model: Path, dtype: str) -> Peer:
    """On both cores, which takes Intel's OpenMP before any other."""
    port, library = process.free_port(), Path(python).parent.parent / "lib" / "libiomp5.so"
    command = f"-m vllm.entrypoints.openai.api_server --model {model} --served-model-name m --dtype {dtype}"
    command += f" --max-model-len {CONTEXT} --port {port}"
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    env |= {"VLLM_CPU_OMP_THREADS_BIND": f"0-{(os.cpu_count() or 1) - 1}"} | (
        {"LD_PRELOAD": str(library)} if library.exists() else {}
    )
    return Peer([python, *command.split()], port, "/health", env)


def race(served: dict[str, Peer], streams: list[int], *, rounds: int, requests: int) -> dict[tuple[str, int], Cell]:
    """What each server did, by its name and the number of streams."""
    cells = {(name, count): Cell() for name in served for count in streams}
    with ExitStack() as stack:
        pids = {}
        for name, peer in served.items():
            ready = f"http://127.0.0.1:{peer.port}{peer.ready}"
            process_of = stack.enter_context(process.server(peer.command, ready_url=ready, env=peer.env, timeout_s=400))
            pids[name] = process_of.pid
        for number in range(-1, rounds):  # round -1 warms up and is thrown away
            for count in streams:
                for name in random.Random(f"{number}/{count}").sample(list(served), k=len(served)):
                    into = cells[name, count] if number >= 0 else Cell()
                    url = f"http://127.0.0.1:{served[name].port}/v1/completions"
                    num_requests = max(3 * count, 3 if count == 1 else requests)
                    seed = f"{number}/{count}"
                    measure(pids[name], url, streams=count, requests=num_requests, seed=seed, cell=into)
    return cells


def ratios(ours: list[float], theirs: list[float]) -> str:
    """Median (min-max) of the ratios by round."""
    return table.spread([a / b for a, b in zip(ours, theirs, strict=True)], 2)


def rows(dtype: str, cells: dict[tuple[str, int], Cell]) -> list[list[str]]:
    made = []
    for (name, count), cell in cells.items():
        row = [dtype, str(count), name, table.spread(cell.tokens_per_s)]
        row += [table.spread(v) for v in (cell.ttft_ms, cell.gap_p50_ms, cell.gap_p99_ms)]
        row.append(f"{statistics.median(cell.rss_mb):.0f}")
        peer = cells.get((LLAMA, count))
        if peer is None or name == LLAMA:
            row += ["", ""]
        else:
            row += [ratios(cell.tokens_per_s, peer.tokens_per_s), ratios(cell.ttft_ms, peer.ttft_ms)]
        made.append(row)
    return sorted(made, key=lambda row: int(row[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path(tempfile.gettempdir()) / "penstock-bench-race")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["float32"])
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=24, help="of a round with several streams, at least 3 for each")
    parser.add_argument("--flags", default="", help="more flags of penstock serve")
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    made = []
    for dtype in args.formats:
        served = peers(args.models, dtype, args.flags)
        made += rows(dtype, race(served, args.streams, rounds=args.rounds, requests=args.requests))
    head = ["weights", "streams", "server", "output tok/s", "TTFT p50 ms", "gap p50 ms", "gap p99 ms", "RSS MB"]
    head += ["tok/s to llama.cpp's", "TTFT to llama.cpp's"]
    intro = (
        f"# Engines on the CPU, on the same weights\n\n{table.machine(['penstock', 'jax', 'jaxlib', 'granian'])}\n\n"
        f"88.1M-parameter Llama shape, {PROMPT_TOKENS} tokens in, {NEW_TOKENS} out, greedy; median (min-max) of "
        f"{args.rounds} interleaved rounds, ratios by round. llama.cpp keeps an f16 "
        "cache, Penstock a float32 one.\nCommand: `LLAMA_SERVER=… VLLM_PYTHON=… python benches/race.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, made), sep="\n\n")
    else:
        table.write("race", intro, table.markdown(head, made))


if __name__ == "__main__":
    main()
