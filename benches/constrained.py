"""Tokens per second of the engine on this machine's processor with 8 rows, of which 0, 4 and 8 must keep a schema.

The checkpoint and the prompts of engine.py; constrained rows write an array of strings that cannot end within their
tokens. Waves of 8 requests that start together, so that every step holds the share of constrained rows that it says.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import engine
import load
import process
import table

NUM_ROWS, NUM_WAVES = 8, 3
SHARES = (0, 4, 8)
SCHEMA = {"type": "array", "items": {"type": "string"}, "minItems": 100}


def bodies(num_constrained: int, seed: str) -> list[dict[str, object]]:
    """Of one wave; the constrained ones lie between the others."""
    wave = engine.bodies(NUM_ROWS, seed)
    form = {"type": "json_schema", "json_schema": {"name": "strings", "schema": SCHEMA}}
    for number, body in enumerate(wave):
        body["ignore_eos"] = True
        if number * num_constrained % NUM_ROWS < num_constrained:
            body["response_format"] = form
    return wave


def measure(pid: int, url: str, *, num_constrained: int, seed: str) -> tuple[float, float]:
    """Output tokens per second, and seconds of CPU for 1,000 of them."""
    cpu_before, wall_s = process.cpu_s(pid), 0.0
    for wave in range(NUM_WAVES):
        answers, took_s = load.run(url, bodies(num_constrained, f"{seed}/{wave}"), NUM_ROWS)
        assert all(answer.saw_done for answer in answers), "a stream ended early"
        wall_s += took_s
    num_tokens = NUM_WAVES * NUM_ROWS * engine.NEW_TOKENS
    return num_tokens / wall_s, (process.cpu_s(pid) - cpu_before) / num_tokens * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "penstock-bench-model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    port = process.free_port()
    flags = f"serve {engine.checkpoint(args.model)} --model-name m --max-num-seqs {NUM_ROWS} --log-level warning"
    ready, url = f"http://127.0.0.1:{port}/ready", f"http://127.0.0.1:{port}/v1/completions"
    cells: dict[int, list[tuple[float, float]]] = {share: [] for share in SHARES}
    with process.server(
        [process.python_script("penstock"), *flags.split(), "--port", str(port)], ready_url=ready
    ) as server:
        for round_number in range(-1, args.rounds):  # round -1 warms up and is thrown away
            for share in SHARES:
                found = measure(server.pid, url, num_constrained=share, seed=f"{round_number}")
                if round_number >= 0:
                    cells[share].append(found)
    rows = [
        [
            f"{share} of {NUM_ROWS}",
            table.spread([cell[0] for cell in cells[share]]),
            table.spread([cell[1] for cell in cells[share]]),
        ]
        for share in SHARES
    ]
    head = ["constrained rows", "output tok/s", "CPU s / 1k tok"]
    intro = (
        f"# Rows under a schema\n\n{table.machine(['penstock', 'jax', 'jaxlib', 'granian'])}\n\n88.1M-parameter Llama "
        f"shape, float32, {engine.PROMPT_TOKENS} tokens in, {engine.NEW_TOKENS} out, greedy; median (min-max) of "
        f"{args.rounds} rounds of {NUM_WAVES} waves.\nCommand: `python benches/constrained.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, rows), sep="\n\n")
    else:
        table.write("constrained", intro, table.markdown(head, rows))


if __name__ == "__main__":
    main()
