"""The engine on this machine's processor, as served: the default checkpoint of make_model.py at 1 and 8 streams.

128 prompt tokens (ids, all different, so no cache can help) and 64 greedy tokens over POST /v1/completions, streamed.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import load
import process
import table

PROMPT_TOKENS, NEW_TOKENS, VOCABULARY = 128, 64, 8000
TOOLS = Path(os.environ.get("PENSTOCK_TOOLS", process.BENCHES.parent.parent / "shared" / "tools"))


@dataclass(slots=True)
class Cell:
    tokens_per_s: list[float] = field(default_factory=list)
    ttft_ms: list[float] = field(default_factory=list)
    gap_p50_ms: list[float] = field(default_factory=list)
    gap_p99_ms: list[float] = field(default_factory=list)
    cpu_s_per_1k: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


def checkpoint(folder: Path) -> Path:
    """The checkpoint in `folder`, made first if it is not there."""
    if not (folder / "config.json").exists():
        script = TOOLS / "make_model.py"
        if not script.exists():
            sys.exit(f"{script} is not there; point PENSTOCK_TOOLS at its folder or --model at a checkpoint")
        subprocess.run([sys.executable, str(script), str(folder)], check=True)
    return folder


def bodies(count: int, seed: str) -> list[dict[str, object]]:
    draw = random.Random(seed)
    return [
        {
            "model": "m",
            "prompt": [draw.randrange(300, VOCABULARY) for _ in range(PROMPT_TOKENS)],
            "max_tokens": NEW_TOKENS,
            "temperature": 0,
            "stream": True,
        }
        for _ in range(count)
    ]


def measure(pid: int, url: str, *, streams: int, requests: int, seed: str, cell: Cell) -> None:
    cpu_before = process.cpu_s(pid)
    answers, wall_s = load.run(url, bodies(requests, seed), streams)
    cpu = process.cpu_s(pid) - cpu_before
    assert all(a.saw_done and len(a.event_times_s) == NEW_TOKENS for a in answers), "a stream ended early"
    gaps = [after - before for a in answers for before, after in pairwise(a.event_times_s)]
    tokens = NEW_TOKENS * requests
    cell.tokens_per_s.append(tokens / wall_s)
    cell.ttft_ms.append(table.percentile([a.ttft_s for a in answers], 0.5) * 1e3)
    cell.gap_p50_ms.append(table.percentile(gaps, 0.5) * 1e3)
    cell.gap_p99_ms.append(table.percentile(gaps, 0.99) * 1e3)
    cell.cpu_s_per_1k.append(cpu / tokens * 1e3)
    cell.rss_mb.append(process.rss_mb(pid))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "penstock-bench-model")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    port, cells = process.free_port(), {streams: Cell() for streams in args.streams}
    command = f"serve {checkpoint(args.model)} --model-name m --max-num-seqs 8 --log-level warning --port {port}"
    ready, url = f"http://127.0.0.1:{port}/ready", f"http://127.0.0.1:{port}/v1/completions"
    with process.server([process.python_script("penstock"), *command.split()], ready_url=ready) as server:
        for round_number in range(-1, args.rounds):  # round -1 warms up and is thrown away
            for streams, cell in cells.items():
                requests = 3 if streams == 1 else 3 * streams
                into = cell if round_number >= 0 else Cell()
                seed = f"{round_number}/{streams}"
                measure(server.pid, url, streams=streams, requests=requests, seed=seed, cell=into)
    head = ["streams", "output tok/s", "TTFT p50 ms", "gap p50 ms", "gap p99 ms", "CPU s / 1k tok", "RSS MB"]
    rows = [
        [str(streams), table.spread(cell.tokens_per_s)]
        + [table.spread(v) for v in (cell.ttft_ms, cell.gap_p50_ms, cell.gap_p99_ms, cell.cpu_s_per_1k, cell.rss_mb)]
        for streams, cell in cells.items()
    ]
    intro = (
        f"# Engine on CPU\n\n{table.machine(['penstock', 'jax', 'jaxlib', 'granian'])}\n\n88.1M-parameter Llama shape, "
        f"float32, {PROMPT_TOKENS} tokens in, {NEW_TOKENS} out, greedy; median (min-max) of {args.rounds} rounds.\n"
        "Command: `python benches/engine.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, rows), sep="\n\n")
    else:
        table.write("engine_cpu", intro, table.markdown(head, rows))


if __name__ == "__main__":
    main()
