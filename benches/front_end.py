"""The front end against two peers in one interleaved run: echo engine, bare Granian + orjson, FastAPI + uvicorn.

All three run on uvloop with one worker, on this machine's loopback beside the client. Penstock's road is the whole one:
validation, chat template, tokenizer, scheduling thread, detokenizer, stop strings, counters.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise

import load
import process
import table

PACED_MS = 20.0
NAMES = {"penstock": "Penstock (echo)", "granian": "bare Granian + orjson", "seed": "FastAPI + uvicorn, seed's stack"}


@dataclass(slots=True)
class Cell:
    """All rounds of one peer at one concurrency."""

    events_per_s: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    ttft_ms: list[float] = field(default_factory=list)
    gap_p50_ms: list[float] = field(default_factory=list)
    gap_p99_ms: list[float] = field(default_factory=list)


def commands(interval_ms: float, ports: dict[str, int]) -> dict[str, tuple[list[str], dict[str, str], str]]:
    """Per peer: its command, its environment and the URL that says it is ready."""
    peers = str(process.BENCHES / "peers")
    granian = "--interface asgi --runtime-mode st --loop uvloop --backpressure 1024 --no-ws --log-level error"
    env = {"PYTHONPATH": peers, "PEER_INTERVAL_MS": str(interval_ms)}
    quiet = "--log-level error --access-log off"  # the peers log no requests either
    echo = f"serve --engine echo --echo-interval-ms {interval_ms} {quiet} --port {ports['penstock']}"
    uvicorn = f"--loop uvloop --http httptools --log-level error --no-access-log --port {ports['seed']}"
    return {
        "penstock": ([process.python_script("penstock"), *echo.split()], {}, "ready"),
        "granian": (
            [process.python_script("granian"), *granian.split(), "--port", str(ports["granian"]), "bare_granian:app"],
            env,
            "health",
        ),
        "seed": ([process.python_script("uvicorn"), *uvicorn.split(), "seed_stack:app"], env, "health"),
    }


def measure(pid: int, url: str, *, streams: int, tokens: int, requests: int, cell: Cell) -> None:
    """One load on one peer: every event counted, every text compared."""
    body = {
        "model": "echo",
        "messages": [{"role": "user", "content": "Say something long."}],
        "max_tokens": tokens,
        "stream": True,
        "stop": ["\u2603\u2603"],
    }
    cpu_before = process.cpu_s(pid)
    answers, wall_s = load.run(url, [body] * requests, streams)
    cpu = process.cpu_s(pid) - cpu_before
    texts = {answer.text for answer in answers}
    assert len(texts) == 1, "streams differ"
    assert all(a.saw_done and a.finish_reason == "length" for a in answers), "a stream ended early"
    assert all(len(a.event_times_s) == tokens for a in answers), "an event is missing"
    gaps = [after - before for a in answers for before, after in pairwise(a.event_times_s)]
    cell.events_per_s.append(tokens * requests / wall_s)
    cell.cpu_us.append(cpu / (tokens * requests) * 1e6)
    cell.ttft_ms.append(table.percentile([a.ttft_s for a in answers], 0.5) * 1e3)
    cell.gap_p50_ms.append(table.percentile(gaps, 0.5) * 1e3)
    cell.gap_p99_ms.append(table.percentile(gaps, 0.99) * 1e3)


def run(interval_ms: float, concurrencies: list[int], rounds: int, peers: list[str]) -> dict[tuple[str, int], Cell]:
    """Every peer is up for the whole run; rounds go peer by peer, so a drift of the machine hits all alike."""
    cells = {(peer, streams): Cell() for peer in peers for streams in concurrencies}
    ports = {peer: process.free_port() for peer in NAMES}
    with ExitStack() as stack:
        pids = {}
        for peer in peers:
            command, env, ready = commands(interval_ms, ports)[peer]
            url = f"http://127.0.0.1:{ports[peer]}/{ready}"
            pids[peer] = stack.enter_context(process.server(command, ready_url=url, env=env)).pid
        tokens = 128
        for round_number in range(-1, rounds):  # round -1 warms up and is thrown away
            for streams in concurrencies:
                for peer in peers:
                    cell = cells[peer, streams] if round_number >= 0 else Cell()
                    requests = streams if interval_ms else max(streams, 32)
                    url = f"http://127.0.0.1:{ports[peer]}/v1/chat/completions"
                    measure(pids[peer], url, streams=streams, tokens=tokens, requests=requests, cell=cell)
                    print(interval_ms, round_number, peer, streams, cell.cpu_us[-1], file=sys.stderr)
    return cells


def report(title: str, cells: dict[tuple[str, int], Cell], concurrencies: list[int], peers: list[str]) -> str:
    head = ["streams", "server", "events/s", "CPU us/event", "ratio to bare", "TTFT p50 ms", "gap p50 ms", "gap p99 ms"]
    rows = []
    for streams in concurrencies:
        for peer in peers:
            cell = cells[peer, streams]
            bare = cells.get(("granian", streams))
            ratios = [a / b for a, b in zip(cell.cpu_us, bare.cpu_us, strict=True)] if bare else [float("nan")]
            figures = [table.spread(v) for v in (cell.ttft_ms, cell.gap_p50_ms, cell.gap_p99_ms)]
            rows.append(
                [
                    str(streams),
                    NAMES[peer],
                    table.spread(cell.events_per_s, 0),
                    table.spread(cell.cpu_us),
                    table.spread(ratios, 2),
                    *figures,
                ]
            )
    return f"## {title}\n\n" + table.markdown(head, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--unpaced", type=int, nargs="*", default=[1, 32, 256])
    parser.add_argument("--paced", type=int, nargs="*", default=[1, 32, 128, 256])
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    parts = []
    for interval_ms, concurrencies, title in (
        (0.0, args.unpaced, "Unpaced: as fast as they go"),
        (PACED_MS, args.paced, f"Paced: one token per stream each {PACED_MS:.0f} ms"),
    ):
        if concurrencies:
            cells = run(interval_ms, concurrencies, args.rounds, args.peers)
            parts.append(report(title, cells, concurrencies, args.peers))
    packages = ["penstock", "granian", "uvloop", "orjson", "fastapi", "uvicorn", "pydantic"]
    intro = (
        f"# Front end\n\n{table.machine(packages)}\n\nMedian (min-max) of {args.rounds} interleaved rounds; 128 tokens "
        "a stream, each its own event; CPU is user + system of the whole process family; the client shares the "
        "two cores. No server logs requests. Unpaced, the echo engine gives four tokens a step.\n"
        "Command: `python benches/front_end.py`"
    )
    if args.no_write:
        print("\n\n".join([intro, *parts]))
    else:
        table.write("front_end", intro, *parts)


if __name__ == "__main__":
    main()
