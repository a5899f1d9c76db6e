"""CPU of the engine's thread per step, at 1, 8 and 64 rows: scheduling, the hub's work and nothing of the device.

The echo engine's runner, which has every token ready, stands for the device; its numpy calls are in the figures. With
the hub: detokenization, stop strings, events, frames and counters of every row, too; without: the scheduler's share.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import table
from penstock import _core
from penstock.adapters.echo_runner import EchoRunner, echo_capacity
from penstock.demo import model_path
from penstock.engine.interface import StepOutput
from penstock.generation import GenerationRequest, Prompt, SamplingParams
from penstock.scheduler.scheduler import Scheduler, StepHub

ROWS = (1, 8, 64)
NUM_STEPS = 1000


class NoHub:
    """Takes everything and does nothing."""

    def mark_scheduled(self, row_key: int, **_: object) -> None:
        pass

    def count_preemption(self) -> None:
        pass

    def push_step(self, keys: np.ndarray, output: StepOutput, **_: int) -> list[int]:
        return []

    def fail(self, stream_key: int, kind: str, message: str, *, param: str | None = None) -> bool:
        raise AssertionError(message)


def open_stream(hub: _core.Hub, number: int) -> int:
    opening = _core.Opening(
        dialect="chat",
        response_id=f"chatcmpl-{number}",
        model="m",
        created=0,
        is_streamed=True,
        num_choices=1,
        stop=["never in the text"],
        prompt_tokens=4,
        max_tokens=4000,
        request_id=f"req_{number}",
        arrival=time.monotonic(),
    )
    return hub.open(opening)


def measure(hub: StepHub, stream_keys: list[int], *, ids: list[int], depth: int) -> float:
    """Microseconds of this thread per step in steady decode; what the loop would take is taken outside the clock."""
    num_rows = len(stream_keys)
    capacity = echo_capacity(num_slots=num_rows, max_model_len=4096, pipeline_depth=depth)
    scheduler = Scheduler(EchoRunner(capacity, np.array(ids, np.int32)), hub)
    for stream_key in stream_keys:
        prompt = Prompt.of_ids([1, 2, 3, 4])
        scheduler.submit(GenerationRequest(stream_key, (prompt,), SamplingParams(max_tokens=4000), "r"))
    while scheduler.gauges[1]:
        scheduler.step()
    for _ in range(100):
        scheduler.step()
    cpu_s = 0.0
    for _ in range(NUM_STEPS // 50):
        if isinstance(hub, _core.Hub):
            for stream_key in hub.take_ready():
                hub.take(stream_key)
        start = time.thread_time()
        for _ in range(50):
            scheduler.step()
        cpu_s += time.thread_time() - start
    assert scheduler.gauges[0] == num_rows, "a stream ended early"
    return cpu_s / NUM_STEPS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, default=model_path(), help="folder with a tokenizer.json")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    vocabulary = _core.Vocabulary.from_json((args.tokenizer / "tokenizer.json").read_bytes())
    ids = [token for token in range(len(vocabulary)) if vocabulary.decode([token]).isalpha()][:64]
    rows = []
    for num_rows in ROWS:
        cells: dict[tuple[bool, int], list[float]] = {}
        for _ in range(args.rounds):
            for depth in (1, 2):
                keys = [number << _core.CHOICE_BITS for number in range(1, num_rows + 1)]
                cells.setdefault((False, depth), []).append(measure(NoHub(), keys, ids=ids, depth=depth))
                hub = _core.Hub(vocabulary, _core.Metrics().model("m"), max_pending_bytes=1 << 24)
                keys = [open_stream(hub, number) for number in range(num_rows)]
                cells.setdefault((True, depth), []).append(measure(hub, keys, ids=ids, depth=depth))
        rows.append([str(num_rows), *(table.spread(cells[key]) for key in sorted(cells))])
    head = ["rows", "scheduler, depth 1", "scheduler, depth 2", "with hub, depth 1", "with hub, depth 2"]
    intro = (
        f"# CPU of the engine's thread per step\n\n{table.machine(['penstock', 'numpy'])}\n\n"
        f"Microseconds; median (min-max) of {args.rounds} rounds of {NUM_STEPS} steps.\n"
        "Command: `python benches/step.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, rows), sep="\n\n")
    else:
        table.write("engine_step", intro, table.markdown(head, rows))


if __name__ == "__main__":
    main()
