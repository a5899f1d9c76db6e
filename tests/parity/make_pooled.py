"""Records the pooled hidden states of two models that are here, as transformers computes them (no part of the tests).

In an environment with torch and transformers: `python tests/parity/make_pooled.py`. Writes `tests/data/pooled.json`.
"""

import json
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "python" / "penstock" / "demo" / "model"
QWEN3 = ROOT / "tests" / "data" / "qwen3"
TEXTS = ["Hello", "The water falls, and the wheel turns. " * 4]


def pooled(folder: Path, prompts: list[list[int]]) -> list[dict[str, list[float] | list[int]]]:
    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    found = []
    for ids in prompts:
        with torch.no_grad():
            states = model(torch.tensor([ids])).last_hidden_state[0]
        found.append(
            {"ids": ids, "last": states[-1].tolist(), "mean": states.mean(0).tolist(), "cls": states[0].tolist()}
        )
    return found


def main() -> None:
    prompts = [each["ids"] for each in json.loads((QWEN3 / "golden.json").read_text())["prompts"]]
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    texts = [tokenizer(text)["input_ids"] for text in TEXTS]
    demo = [{"text": text} | each for text, each in zip(TEXTS, pooled(DEMO, texts), strict=True)]
    recorded = {"qwen3": pooled(QWEN3, prompts), "demo": demo}
    text = json.dumps(recorded, default=float)
    (ROOT / "tests" / "data" / "pooled.json").write_text(text + "\n")


main()
