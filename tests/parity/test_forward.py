"""One pass over a whole prompt equals what transformers computed, for every family."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from golden import NAMES, check_logits, golden_folder, read_prompts

from penstock.checkpoint import Checkpoint, inspect_checkpoint
from penstock.layers.attention import TokenPlaces
from penstock.layers.gather_attention import GatherAttention
from penstock.models.decoder import empty_caches, forward, logits
from penstock.weights import load_weights

LENGTH = 160
PAGES = LENGTH // 16
ATTENTION = GatherAttention(page_size=16, block_size=32, is_dynamic=True)


def compile_last_logits(checkpoint: Checkpoint, dtype=np.float32):
    """A function from prompt ids to the logits after them, compiled once for prompts of up to LENGTH tokens."""
    spec = checkpoint.spec
    weights = load_weights(checkpoint, dtype=dtype, device=jax.devices()[0])
    caches = empty_caches(spec, ATTENTION, num_pages=PAGES + 1, dtype=dtype)
    run = jax.jit(partial(forward, spec=spec, attention=ATTENTION))

    def last_logits(ids: np.ndarray) -> np.ndarray:
        offsets = np.arange(LENGTH)[None]
        places = TokenPlaces(jnp.array(offsets), (jnp.arange(1, PAGES + 1)[None],), jnp.array(offsets < len(ids)))
        padded = np.pad(ids, (0, LENGTH - len(ids)))[None]
        hidden, _ = run(weights, caches, padded, places)
        return np.asarray(logits(weights, hidden[:, len(ids) - 1], spec=spec))[0]

    return last_logits


@pytest.mark.parametrize("name", NAMES)
def test_logits_equal_the_recorded_ones(name: str):
    folder = golden_folder(name)
    last_logits = compile_last_logits(inspect_checkpoint(folder))
    for prompt in read_prompts(folder):
        check_logits(last_logits(prompt.ids), prompt.logits)


@pytest.mark.parametrize("name", NAMES)
def test_both_spellings_of_a_config_mean_the_same_model(name: str, tmp_path: Path):
    folder = golden_folder(name)
    for file in folder.iterdir():
        if file.name not in ("config.json", "config.hub.json"):
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").write_bytes((folder / "config.hub.json").read_bytes())
    published, saved = inspect_checkpoint(tmp_path), inspect_checkpoint(folder)
    assert json.loads((tmp_path / "config.json").read_text())["torch_dtype"] == "float32"
    assert published.spec == saved.spec
    assert published.stop_ids == saved.stop_ids


def test_bfloat16_is_as_near_to_float32_as_transformers_is():
    folder = golden_folder("qwen3")
    checkpoint = inspect_checkpoint(folder)
    exact, rounded = compile_last_logits(checkpoint), compile_last_logits(checkpoint, ml_dtypes.bfloat16)
    recorded = json.loads((folder / "golden.json").read_text())["lower_precision"]["bfloat16"]["last_logits_rel_l2"]
    limits = recorded.values() if isinstance(recorded, dict) else recorded
    for prompt, limit in zip(read_prompts(folder), limits, strict=True):
        want = exact(prompt.ids)
        distance = np.linalg.norm(rounded(prompt.ids) - want) / np.linalg.norm(want)
        assert 1e-4 < distance <= 2 * limit + 0.02
