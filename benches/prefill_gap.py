"""What a long prompt does to others, as served on this machine's processor: the gap between tokens of eight running
streams while it comes in, and the time to first token of a short prompt, of another API key, that comes after it.

The checkpoint is the default one of make_model.py with a longer context. All prompts are ids and all different.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import uvloop

import load
import process
import table
from engine import TOOLS, VOCABULARY

STREAMS, CONTEXT = 8, 10_240
SHORT_TOKENS, RUNNING_TOKENS = 32, 64
WARM_S, QUIET_S, SHORT_AFTER_S = 5.0, 3.0, 0.3


@dataclass(slots=True)
class Cell:
    """Of one length of the long prompt, a value for each round; gaps in milliseconds, the rest in seconds."""

    gap_p50: list[float] = field(default_factory=list)
    gap_p99: list[float] = field(default_factory=list)
    gap_max: list[float] = field(default_factory=list)
    long_s: list[float] = field(default_factory=list)
    short_s: list[float] = field(default_factory=list)

    def add_gaps(self, gaps_s: list[float]) -> None:
        self.gap_p50.append(table.percentile(gaps_s, 0.5) * 1e3)
        self.gap_p99.append(table.percentile(gaps_s, 0.99) * 1e3)
        self.gap_max.append(max(gaps_s) * 1e3)


def checkpoint(folder: Path) -> Path:
    """The checkpoint in `folder`, made first if it is not there."""
    if not (folder / "config.json").exists():
        script = [sys.executable, str(TOOLS / "make_model.py"), str(folder), "--max-len", str(CONTEXT)]
        subprocess.run(script, check=True)
    return folder


def body(draw: random.Random, num_tokens: int, max_tokens: int) -> dict[str, object]:
    prompt = [draw.randrange(300, VOCABULARY) for _ in range(num_tokens)]
    return {
        "model": "m",
        "prompt": prompt,
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }


async def ask(url: str, api_key: str, content: dict[str, object]) -> load.Answer:
    """One whole answer."""
    connection = await load.connect(url)
    answer = await connection.request(load.request_bytes(url, content, api_key=api_key))
    connection.close()
    return answer


def first_token_s(answer: load.Answer) -> float:
    return load.parse(answer).ttft_s


def gaps_between(connections: list[load.Connection], start_s: float, end_s: float) -> list[float]:
    """Between reads with tokens, of all streams, that ended from `start_s` to `end_s`."""
    gaps = []
    for connection in connections:
        assert connection.answer is not None
        times = [at for at, data in connection.answer.reads if b'"text":"' in data]
        gaps += [after - before for before, after in pairwise(times) if start_s <= after <= end_s]
    return gaps


async def scene(url: str, draw: random.Random, num_tokens: int, quiet: Cell, cell: Cell) -> None:
    """Eight streams run, alone first; then a long prompt comes in, and a short one of another key behind it."""
    running = [await load.connect(url) for _ in range(STREAMS)]
    for connection in running:
        content = body(draw, RUNNING_TOKENS, CONTEXT - 2 * RUNNING_TOKENS)
        connection.request(load.request_bytes(url, content, api_key="running"))
    await asyncio.sleep(WARM_S)
    start_s = time.perf_counter()
    await asyncio.sleep(QUIET_S)
    quiet.add_gaps(gaps_between(running, start_s, time.perf_counter()))
    start_s = time.perf_counter()
    long = asyncio.create_task(ask(url, "long", body(draw, num_tokens, 1)))
    await asyncio.sleep(SHORT_AFTER_S)
    cell.short_s.append(first_token_s(await ask(url, "short", body(draw, SHORT_TOKENS, 1))))
    cell.long_s.append(first_token_s(await long))
    cell.add_gaps(gaps_between(running, start_s, time.perf_counter()))
    for connection in running:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "penstock-bench-long-model")
    parser.add_argument("--prompts", type=int, nargs="+", default=[2048, 8192], help="tokens of the long prompt")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--flags", default="", help="more flags of penstock serve")
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    port, quiet, cells = process.free_port(), Cell(), {num: Cell() for num in args.prompts}
    command = (
        f"serve {checkpoint(args.model)} --model-name m --max-num-seqs {STREAMS + 2} --log-level warning"
        f" --kv-cache-memory 4G --api-key running --api-key long --api-key short --port {port} {args.flags}"
    )
    ready, url = f"http://127.0.0.1:{port}/ready", f"http://127.0.0.1:{port}/v1/completions"
    with process.server([process.python_script("penstock"), *command.split()], ready_url=ready):
        for round_number in range(args.rounds):
            for num_tokens, cell in cells.items():
                draw = random.Random(f"{round_number}/{num_tokens}")
                uvloop.run(scene(url, draw, num_tokens, quiet, cell))
    gaps = [["no long prompt", *_gaps(quiet), "", ""]]
    gaps += [
        [f"{num_tokens} tokens", *_gaps(cell), table.spread(cell.long_s, 2), table.spread(cell.short_s, 2)]
        for num_tokens, cell in cells.items()
    ]
    head = ["comes in", "gap p50 ms", "gap p99 ms", "gap max ms", "its first token s", "first token of a short one s"]
    intro = (
        "# Running streams while a long prompt comes in\n\n"
        f"{table.machine(['penstock', 'jax', 'jaxlib', 'granian'])}\n\n"
        f"88.1M-parameter Llama shape, float32; {STREAMS} streams run; {SHORT_AFTER_S} s after the long prompt one of "
        f"{SHORT_TOKENS} tokens comes, of another API key. Median (min-max) of {args.rounds} rounds.\n"
        "Command: `python benches/prefill_gap.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, gaps), sep="\n\n")
    else:
        table.write("prefill_gap", intro, table.markdown(head, gaps))


def _gaps(cell: Cell) -> list[str]:
    return [table.spread(values) for values in (cell.gap_p50, cell.gap_p99, cell.gap_max)]


if __name__ == "__main__":
    main()
