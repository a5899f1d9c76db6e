"""Whole models through our kernels against the same through XLA."""

import numpy as np
import pytest
from forced import forced_logits
from golden import golden_folder, read_prompts

from penstock.checkpoint import inspect_checkpoint
from penstock.weight_formats import weight_formats

#: Of the largest logit: both sum in float32, in other orders, through all layers.
TOLERANCE = 2e-6


@pytest.mark.parametrize("name", ["qwen3", "gpt_oss"])
def test_logits_are_those_of_xla(name: str):
    folder = golden_folder(name)
    checkpoint, prompts = inspect_checkpoint(folder), read_prompts(folder)[:1]
    by_xla = forced_logits(checkpoint, prompts)
    by_kernels = forced_logits(checkpoint, prompts, formats=weight_formats(checkpoint, dtype="float32"))
    for ours, wanted in zip(by_kernels, by_xla, strict=True):
        scale = float(np.abs(wanted).max())
        assert np.abs(ours - wanted).max() <= TOLERANCE * scale
