"""The table of families: what the layers of each golden checkpoint are, and how near Penstock comes to transformers.

    python tests/parity/families.py [--golden FOLDER] [--no-engine] [NAME ...]

`logits`: the largest difference of a recorded logit, as a share of its size and the root mean square of all. `forced`:
recorded tokens that are the best ones in one pass over the whole sequence. `engine`: those that the engine makes, its
prompts in slices of 16 tokens. Without names all golden checkpoints are run; `--golden` names a folder of others.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "engine")]

from driving import Driver
from forced import forced_logits
from golden import GOLDEN, NAMES, SHARED_NAMES, Prompt, golden_folder, read_prompts
from layer_traits import layer_traits

from penstock.checkpoint import Checkpoint, inspect_checkpoint
from penstock.engine import EngineOptions
from penstock.engine.runner import JaxRunner
from penstock.errors import ModelError


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--golden", type=Path)
    parser.add_argument("--no-engine", action="store_true")
    given = parser.parse_args()
    print(f"{'checkpoint':20} {'logits':>8} {'forced':>8} {'engine':>8}  layers", flush=True)
    folders = folders_in(given.golden, given.names) if given.golden else bundled(given.names)
    return sum(not run(folder, has_engine=not given.no_engine) for folder in folders)


def folders_in(folder: Path, names: list[str]) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if not names or entry.name in names]


def bundled(names: list[str]) -> list[Path]:
    """Those of the repository, and of PENSTOCK_GOLDEN where it is there."""
    has_shared = GOLDEN.is_dir()
    return [golden_folder(name) for name in names or NAMES if has_shared or name not in SHARED_NAMES]


def run(folder: Path, *, has_engine: bool) -> bool:
    """Prints a checkpoint's row; whether all of it is as recorded."""
    try:
        checkpoint = inspect_checkpoint(folder)
        if (folder / "config.hub.json").is_file():
            check_spelling(folder, checkpoint)
        prompts = read_prompts(folder)
        after = forced_logits(checkpoint, prompts)
        num_tokens = sum(len(prompt.greedy) for prompt in prompts)
        num_forced = sum(
            int((logits.argmax(-1) == prompt.greedy).sum()) for prompt, logits in zip(prompts, after, strict=True)
        )
        distance = max(map(largest_difference, prompts, [logits[0] for logits in after]))
        num_engine = engine_tokens(checkpoint, prompts) if has_engine else num_tokens
    except ModelError as error:
        print(f"{folder.name:20} {error}", flush=True)
        return False
    engine = f"{num_engine}/{num_tokens}" if has_engine else "-"
    forced = f"{num_forced}/{num_tokens}"
    print(f"{folder.name:20} {distance:8.1e} {forced:>8} {engine:>8}  {layer_traits(checkpoint.spec)}", flush=True)
    return distance <= 2e-5 and num_forced == num_engine == num_tokens


def check_spelling(folder: Path, checkpoint: Checkpoint) -> None:
    """The older spelling of the config means the same model."""
    with tempfile.TemporaryDirectory() as other:
        for file in folder.iterdir():
            if file.name not in ("config.json", "config.hub.json"):
                (Path(other) / file.name).symlink_to(file)
        (Path(other) / "config.json").write_bytes((folder / "config.hub.json").read_bytes())
        if inspect_checkpoint(Path(other)).spec != checkpoint.spec:
            raise ModelError("config.json and config.hub.json: two different models")


def largest_difference(prompt: Prompt, logits: np.ndarray) -> float:
    want = prompt.logits
    values, rms = np.array(want["top_values"]), want["l2"] / math.sqrt(len(logits))
    return float((np.abs(logits[want["top_ids"]] - values) / (np.abs(values) + rms)).max())


def engine_tokens(checkpoint: Checkpoint, prompts: list[Prompt]) -> int:
    """How many recorded tokens the engine makes."""
    longest = max(len(prompt.ids) + len(prompt.greedy) for prompt in prompts)
    with tempfile.TemporaryDirectory() as programs:
        options = EngineOptions(
            max_num_seqs=1, max_prefill_tokens=16, max_model_len=longest, compile_cache=Path(programs)
        )
        driver = Driver(JaxRunner.load(checkpoint, options, on_progress=lambda _: None))
        made = (driver.finish([driver.start(prompt.ids, max_new=len(prompt.greedy))])[0] for prompt in prompts)
        return sum(int(np.sum(np.array(new) == prompt.greedy)) for new, prompt in zip(made, prompts, strict=True))


if __name__ == "__main__":
    sys.exit(main() != 0)
