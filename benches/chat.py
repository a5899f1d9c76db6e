"""A chat of thirty turns: time to each first token, with and without the prefix cache, beside llama.cpp's server.

One run, interleaved by turn, on the same weights (make_model.py writes both formats), in float32. Every server gets its
own answers back as history, as a client sends them. LLAMA_SERVER names the binary; without it llama.cpp is left out.
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
from dataclasses import dataclass, field
from pathlib import Path

import load
import process
import table
from engine import TOOLS

CONTEXT, NEW_TOKENS, WORDS_PER_TURN = 6144, 24, 40
WORDS = ("time", "year", "people", "way", "day", "thing", "woman", "life", "child", "world", "school", "family", "hand")
CACHED, UNCACHED, LLAMA = "penstock", "penstock, no prefix cache", "llama.cpp"


@dataclass(slots=True)
class Chat:
    """A server, and the conversation with it."""

    url: str
    messages: list[dict[str, str]] = field(default_factory=list)
    ttft_ms: list[float] = field(default_factory=list)

    def take_turn(self, text: str) -> None:
        self.messages.append({"role": "user", "content": text})
        body: dict[str, object] = {
            "model": "m", "messages": self.messages, "max_tokens": NEW_TOKENS, "temperature": 0, "stream": True,
        }  # fmt: skip
        ((answer,), _) = load.run(self.url, [body], 1)
        self.ttft_ms.append(answer.ttft_s * 1e3)
        self.messages.append({"role": "assistant", "content": answer.text})


def model_files(folder: Path) -> tuple[Path, Path]:
    """The checkpoint and its GGUF twin in `folder`, made first if they are not there."""
    gguf = folder / "model.gguf"
    if not gguf.exists():
        make = [sys.executable, str(TOOLS / "make_model.py"), str(folder), "--max-len", str(CONTEXT)]
        subprocess.run([*make, "--dtype", "f32"], check=True)
        subprocess.run([*make, "--gguf", str(gguf), "--gguf-type", "f32"], check=True)
    return folder, gguf


def commands(model: Path, gguf: Path) -> dict[str, tuple[list[str], str, str]]:
    """By name: command, URL that answers when it is ready, URL of its chats."""
    made = {}
    for name, flags in ((CACHED, []), (UNCACHED, ["--prefix-caching", "off"])):
        port = process.free_port()
        command = [process.python_script("penstock"), "serve", str(model), "--model-name", "m", "--port", str(port)]
        command += ["--max-num-seqs", "4", "--log-level", "warning", *flags]
        made[name] = (command, f"http://127.0.0.1:{port}/ready", f"http://127.0.0.1:{port}/v1/chat/completions")
    if llama := os.environ.get("LLAMA_SERVER"):
        port = process.free_port()
        command = [llama, "-m", str(gguf), "-t", "2", "-np", "1", "-c", str(CONTEXT), "--alias", "m", "--jinja"]
        command += ["--port", str(port), "-ctk", "f32", "-ctv", "f32"]
        made[LLAMA] = (command, f"http://127.0.0.1:{port}/health", f"http://127.0.0.1:{port}/v1/chat/completions")
    return made


def play_round(urls: dict[str, str], *, turns: int, seed: str) -> dict[str, list[float]]:
    """Milliseconds to the first token, by server and turn."""
    draw, chats = random.Random(seed), {name: Chat(url) for name, url in urls.items()}
    for chat in chats.values():
        chat.messages.append({"role": "system", "content": f"You are assistant number {seed}."})
    for _ in range(turns):
        text = " ".join(draw.choice(WORDS) for _ in range(WORDS_PER_TURN))
        for name in draw.sample(list(chats), k=len(chats)):
            chats[name].take_turn(text)
    return {name: chat.ttft_ms for name, chat in chats.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "penstock-bench-chat-model")
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    served = commands(*model_files(args.model))
    with ExitStack() as stack:
        for command, ready, _ in served.values():
            stack.enter_context(process.server(command, ready_url=ready))
        urls = {name: url for name, (_, _, url) in served.items()}
        play_round(urls, turns=1, seed="warm")
        rounds = [play_round(urls, turns=args.turns, seed=str(number)) for number in range(args.rounds)]
    shown = sorted({1, 2, *range(5, args.turns + 1, 5), args.turns})
    rows = [
        [name, *(table.spread([each[name][turn - 1] for each in rounds]) for turn in shown), *_summary(rounds, name)]
        for name in served
    ]
    head = ["server", *(f"turn {turn}" for turn in shown), "sum of turns s", "median ratio to llama.cpp, by round"]
    intro = (
        f"# A chat of {args.turns} turns\n\n{table.machine(['penstock', 'jax', 'jaxlib', 'granian'])}\n\n"
        f"88.1M-parameter Llama shape, float32, weights and cache. Each turn adds {WORDS_PER_TURN} words and an answer "
        f"of {NEW_TOKENS} tokens. Milliseconds to the first token, median (min-max) of {args.rounds} rounds, taken "
        "turn by turn.\nCommand: `LLAMA_SERVER=… python benches/chat.py`"
    )
    if args.no_write:
        print(intro, table.markdown(head, rows), sep="\n\n")
    else:
        table.write("chat", intro, table.markdown(head, rows))


def _summary(rounds: list[dict[str, list[float]]], name: str) -> list[str]:
    """The seconds of all turns, and how many times llama.cpp's time it took, in the median turn of each round."""
    sums = table.spread([sum(each[name]) / 1e3 for each in rounds], 2)
    if LLAMA not in rounds[0] or name == LLAMA:
        return [sums, ""]
    ratios = [statistics.median(a / b for a, b in zip(each[name], each[LLAMA], strict=True)) for each in rounds]
    return [sums, ", ".join(f"{ratio:.2f}" for ratio in ratios)]


if __name__ == "__main__":
    main()
