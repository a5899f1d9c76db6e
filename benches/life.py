"""Cost of a life: start to ready (cold and warm), memory at rest and after many requests, size of the wheel."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import load
import process
import table


def start_s(flags: str, *, cache: Path) -> tuple[float, float]:
    """Seconds from exec to `/ready` 200, and resident MB at that moment plus a second of rest."""
    port = process.free_port()
    command = [process.python_script("penstock"), *f"serve {flags} --log-level error --port {port}".split()]
    begun = time.perf_counter()
    with process.server(
        command, ready_url=f"http://127.0.0.1:{port}/ready", env={"PENSTOCK_COMPILE_CACHE": str(cache)}
    ) as server:
        took = time.perf_counter() - begun
        time.sleep(1)
        return took, process.rss_mb(server.pid)


def soak(flags: str, *, model: str, count: int, cache: Path) -> tuple[float, float, float]:
    """Resident MB at rest, after half and after all of `count` plain requests."""
    port = process.free_port()
    command = [process.python_script("penstock"), *f"serve {flags} --log-level error --port {port}".split()]
    body: dict[str, object] = {"model": model, "prompt": "Water runs", "max_tokens": 4, "temperature": 0}
    url = f"http://127.0.0.1:{port}/v1/completions"
    with process.server(
        command, ready_url=f"http://127.0.0.1:{port}/ready", env={"PENSTOCK_COMPILE_CACHE": str(cache)}
    ) as server:
        load.run_plain(url, body, count=100, concurrency=8)
        at_rest = process.rss_mb(server.pid)
        load.run_plain(url, body, count=count // 2, concurrency=8)
        half = process.rss_mb(server.pid)
        load.run_plain(url, body, count=count - count // 2, concurrency=8)
        return at_rest, half, process.rss_mb(server.pid)


def wheel_mb() -> str:
    wheels = sorted((process.BENCHES.parent / "dist").glob("*.whl"))
    return f"{wheels[-1].stat().st_size / 1e6:.2f}" if wheels else "no wheel in dist/"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache"
        cold, warm = [], []
        for _ in range(args.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            cold.append(start_s("", cache=cache)[0])
            warm.append(start_s("", cache=cache)[0])
        echo = [start_s("--engine echo", cache=cache)[0] for _ in range(args.rounds)]
        rows += [
            ["bundled model, start to ready, cold", table.spread(cold, 2) + " s"],
            ["bundled model, start to ready, warm", table.spread(warm, 2) + " s"],
            ["echo engine, start to ready", table.spread(echo, 2) + " s"],
        ]
        for flags, model in (("", "penstock-demo"), ("--engine echo", "echo")):
            rest, half, end = soak(flags, model=model, count=args.requests, cache=cache)
            name = "echo engine" if model == "echo" else "bundled model"
            figures = f"{rest:.0f} / {half:.0f} / {end:.0f} MB"
            rows.append([f"{name}, resident at rest / after {args.requests // 2} / {args.requests} requests", figures])
    rows.append(["wheel", wheel_mb() + " MB"])
    intro = (
        f"# Start, memory, size\n\n{table.machine(['penstock', 'jax', 'jaxlib', 'granian'])}\n\nMemory is the whole "
        f"process family's (supervisor and worker), shared pages counted once; starts are median (min-max) of "
        f"{args.rounds}.\nCommand: `python benches/life.py`"
    )
    if args.no_write:
        print(intro, table.markdown(["what", "figure"], rows), sep="\n\n")
    else:
        table.write("life", intro, table.markdown(["what", "figure"], rows))


if __name__ == "__main__":
    main()
