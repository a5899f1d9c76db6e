"""One pass over whole sequences equals what transformers computed, for every family, and so does greedy decoding."""

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from forced import forced_logits
from golden import NAMES, check_logits, golden_folder, read_prompts

from penstock.checkpoint import inspect_checkpoint


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_every_greedy_token_equal_the_recorded_ones(name: str):
    prompts = read_prompts(golden_folder(name))
    after = forced_logits(inspect_checkpoint(golden_folder(name)), prompts)
    for prompt, logits in zip(prompts, after, strict=True):
        check_logits(logits[0], prompt.logits)
        assert logits.argmax(-1).tolist() == prompt.greedy, prompt.name


@pytest.mark.parametrize("name", NAMES)
def test_both_spellings_of_a_config_mean_the_same_model(name: str, tmp_path: Path):
    folder = golden_folder(name)
    for file in folder.iterdir():
        if file.name not in ("config.json", "config.hub.json"):
            (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").write_bytes((folder / "config.hub.json").read_bytes())
    published, saved = inspect_checkpoint(tmp_path), inspect_checkpoint(folder)
    assert "torch_dtype" in json.loads((tmp_path / "config.json").read_text())
    assert published.spec == saved.spec
    assert published.stop_ids == saved.stop_ids


def test_bfloat16_is_as_near_to_float32_as_transformers_is():
    folder = golden_folder("qwen3")
    checkpoint = inspect_checkpoint(folder)
    prompts = read_prompts(folder)
    exact, rounded = (forced_logits(checkpoint, prompts, dtype=dtype) for dtype in (np.float32, ml_dtypes.bfloat16))
    recorded = json.loads((folder / "golden.json").read_text())["lower_precision"]["bfloat16"]["last_logits_rel_l2"]
    limits = recorded.values() if isinstance(recorded, dict) else recorded
    for want, got, limit in zip(exact, rounded, limits, strict=True):
        distance = np.linalg.norm(got[0] - want[0]) / np.linalg.norm(want[0])
        assert 1e-4 < distance <= 2 * limit + 0.02
