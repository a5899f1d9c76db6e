"""What weights of few bits cost: the error of a product, and the log-probability of held-out text, against float32.

Products: `x [64, 1024] matrix [1024, 256]` with weights from three shapes of noise, beside what llama.cpp's q8_0 and
q4_0 make of them, whose activations are rounded to 8 bits (the `gguf` package's quantizers, products in float64). Text:
the bundled model, or `--model` and `--text`, served with each weight dtype; the text is cut into prompts whose tokens'
log-probabilities the server tells.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import jax
import numpy as np
from gguf import GGMLQuantizationType, quants

import process
import table
from penstock._core import packed_bytes
from penstock.demo import model_path
from penstock.demo.corpus import talks
from penstock.layers.kernels import product
from penstock.layers.packed_matrix import PackedMatrix
from penstock.layers.packing import pack

NUM_IN, NUM_OUT, NUM_ROWS = 1024, 256, 64
FORMATS = ("bf16", "q8_64", "q4_64", "q4_32", "q4_16")
WEIGHT_DTYPES = ("float32", "bfloat16", "int8", "int4")
NOISE = ("Gaussian", "Laplace", "Student t, 4")


def noise(kind: str, sizes: tuple[int, int], seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed)
    made = {
        "Gaussian": draw.standard_normal,
        "Laplace": lambda size: draw.laplace(size=size),
        "Student t, 4": lambda size: draw.standard_t(4, size),
    }[kind](sizes)
    return np.asarray(made, np.float32)


def relative(made: np.ndarray, exact: np.ndarray) -> str:
    return f"{100 * np.linalg.norm(made - exact) / np.linalg.norm(exact):.2f} %"


def of_ours(x: np.ndarray, weights: np.ndarray, weight_format: str) -> np.ndarray:
    """`weights` [out, in]."""
    panels = np.empty(packed_bytes(weight_format, NUM_IN, NUM_OUT), np.uint8)
    pack(weights, panels, weight_format)
    matrix = PackedMatrix(jax.device_put(panels), weight_format, NUM_IN, (NUM_OUT,))
    return np.asarray(product(jax.device_put(x), matrix))


def of_llama_cpp(x: np.ndarray, weights: np.ndarray, kind: GGMLQuantizationType) -> np.ndarray:
    def rounded(array: np.ndarray, kind: GGMLQuantizationType) -> np.ndarray:
        return np.asarray(quants.dequantize(quants.quantize(array, kind), kind), np.float64)

    return rounded(x, GGMLQuantizationType.Q8_0) @ rounded(weights, kind).T


def product_rows() -> list[list[str]]:
    rows: dict[str, list[str]] = {name: [] for name in (*FORMATS, "llama.cpp q8_0", "llama.cpp q4_0")}
    for kind in NOISE:
        x, weights = noise("Gaussian", (NUM_ROWS, NUM_IN), 1), noise(kind, (NUM_OUT, NUM_IN), 2)
        exact = x.astype(np.float64) @ weights.T.astype(np.float64)
        for name in FORMATS:
            rows[name].append(relative(of_ours(x, weights, name), exact))
        for name in ("q8_0", "q4_0"):
            made = of_llama_cpp(x, weights, GGMLQuantizationType[name.upper()])
            rows[f"llama.cpp {name}"].append(relative(made, exact))
    return [[name, *cells] for name, cells in rows.items()]


def prompts(text: Path | None, size: int) -> list[str]:
    if text is None:
        return [f"{talk.question} {talk.answer}" for talk in talks(60, seed=20_251_125)]
    whole = text.read_text()
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def log_probabilities(model: Path, weight_dtype: str, texts: list[str], compile_cache: str) -> np.ndarray:
    """Of all tokens of all texts but the first of each."""
    port = process.free_port()
    command = [
        process.python_script("penstock"), "serve", str(model), "--model-name", "m", "--weight-dtype", weight_dtype,
        "--log-level", "warning", "--port", str(port), "--max-num-seqs", "1", "--max-model-len", "512",
        "--compile-cache", compile_cache,
    ]  # fmt: skip
    told: list[float] = []
    with process.server(command, ready_url=f"http://127.0.0.1:{port}/ready"):
        for text in texts:
            body = {"model": "m", "prompt": text, "echo": True, "logprobs": 0, "max_tokens": 1, "temperature": 0}
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/v1/completions",
                json.dumps(body).encode(),
                {"content-type": "application/json"},
            )
            with urllib.request.urlopen(request) as answer:
                answered: dict[str, Any] = json.load(answer)
            told += answered["choices"][0]["logprobs"]["token_logprobs"][1:-1]
    return np.array(told)


def text_rows(model: Path, texts: list[str]) -> list[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        found = {name: log_probabilities(model, name, texts, folder) for name in WEIGHT_DTYPES}
    exact, rows = found["float32"], []
    for name, told in found.items():
        off = np.abs(told - exact)
        rows.append([
            name, f"{statistics.fmean(told):.4f}", f"{told.mean() - exact.mean():+.4f}", f"{off.mean():.4f}",
            f"{np.quantile(off, 0.99):.3f}", str(len(told)),
        ])  # fmt: skip
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a folder; default: the bundled model")
    parser.add_argument("--text", type=Path, help="a file that the model has not learned; default: of the same grammar")
    parser.add_argument("--prompt-size", type=int, default=1000, help="characters of a prompt of --text")
    parser.add_argument("--no-write", action="store_true", help="print only")
    args = parser.parse_args()
    products = table.markdown(["weights", *NOISE], product_rows())
    text = table.markdown(
        ["weights", "log-probability", "less float32's", "a token's mean distance", "99 in 100 within", "tokens"],
        text_rows(args.model or model_path(), prompts(args.text, args.prompt_size)),
    )
    parts = (
        f"# What weights of few bits cost\n\n{table.machine(['penstock', 'jax', 'jaxlib', 'gguf'])}\n"
        "Command: `python benches/quality.py`",
        f"## A product's error, root mean square over that of the product\n\n{products}\n\n"
        "`--weight-dtype int8` is q8_64, `int4` is q4_32 with q8_64 for embedding and head.",
        f"## A token's log-probability in held-out text, {args.model.name if args.model else 'the bundled model'}"
        f"\n\n{text}\n\n"
        "The bundled model is made, not trained: its head spells out counted log-probabilities, rare ones far below "
        "the others, so few bits cost it more than a trained model. Read the rows beside each other, not as a promise.",
    )
    if args.no_write:
        print(*parts, sep="\n\n")
    else:
        table.write("quality", *parts)


if __name__ == "__main__":
    main()
