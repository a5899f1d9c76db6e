"""Logits and greedy tokens of decoders that are split over virtual devices, against what transformers recorded.

Run by `test_devices.py` in a process that has eight of them.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import IS_WHOLE, NAMES, check_logits, golden_folder, read_prompts
from numpy_reference import Reference
from quick import QUICK
from random_checkpoint import Recipe, make_checkpoint

from penstock.checkpoint import Checkpoint, inspect_checkpoint
from penstock.engine.mesh import WHOLE, mesh_of, over_devices
from penstock.errors import ConfigError
from penstock.layers.attention import TokenPlaces
from penstock.layers.gather_attention import GatherAttention
from penstock.layers.step_places import StepPlaces
from penstock.models.decoder import empty_caches, forward, logits
from penstock.models.partition import cache_partitions, weight_partitions
from penstock.models.sharding import shard_of
from penstock.sharded_weights import load_shards

LENGTH = 176
PAGES = LENGTH // 16
ATTENTION = GatherAttention(page_size=16, block_size=16, is_dynamic=True)
NUM_TOKENS = 24

#: Each is split in a way of its own: one key-value head for both devices, a norm over all heads, windows with sinks and
#: experts with biases, latents that both keep, an embedding that is the output head. PENSTOCK_TEST_ALL asks for all.
EVERY_DAY = ("falcon", "olmo2", "gpt_oss", "deepseek_v3", "llama_tied")
#: What two devices cannot divide of checkpoints with odd sizes.
INDIVISIBLE = {"qwen2_moe": "number of experts, 5"}


def compile_logits(checkpoint: Checkpoint, num_devices: int):
    """A function from up to LENGTH ids to the logits after each, compiled once."""
    spec = shard_of(checkpoint.spec, num_devices)
    weights = load_shards(checkpoint, dtype=np.float32, mesh=mesh_of(num_devices))
    fresh = partial(empty_caches, spec, ATTENTION, num_pages=PAGES + 1, dtype=np.float32)
    partitions = cache_partitions(spec, ATTENTION)
    caches = over_devices(fresh, num_devices=num_devices, arguments=(), result=partitions, donated=())()

    def body(weights, caches, tokens, places):
        hidden, _ = forward(weights, caches, tokens, places, spec=spec, attention=ATTENTION)
        return logits(weights, hidden, spec=spec)

    arguments = (weight_partitions(spec), partitions, WHOLE, WHOLE)
    run = over_devices(body, num_devices=num_devices, arguments=arguments, result=WHOLE, donated=())
    compiled: Any = None
    tables = tuple(jnp.arange(1, PAGES + 1)[None] for _ in spec.page_groups)

    def after_each(ids: np.ndarray, *, num_prompt_tokens: int) -> np.ndarray:
        offsets = jnp.arange(LENGTH)[None]
        places = StepPlaces.of(TokenPlaces(offsets, tables, offsets < len(ids), jnp.array([num_prompt_tokens])))
        values = (weights, caches, np.pad(ids, (0, LENGTH - len(ids))), places)
        nonlocal compiled
        compiled = compiled or run.lower(*values).compile(compiler_options=QUICK)
        return np.asarray(compiled(*values))[: len(ids)]

    return after_each


def check_golden(name: str, num_devices: int) -> None:
    """The recorded continuation is fed: the best token after each of its tokens is the next one."""
    folder = golden_folder(name)
    after_each = compile_logits(inspect_checkpoint(folder), num_devices)
    for prompt in read_prompts(folder):
        ids = np.array([*prompt.ids, *prompt.greedy[:-1]], np.int32)
        found = after_each(ids, num_prompt_tokens=len(prompt.ids))[len(prompt.ids) - 1 :]
        check_logits(found[0], prompt.logits)
        assert found.argmax(-1).tolist() == prompt.greedy, prompt.name


def test_there_are_eight_devices():
    assert len(jax.devices()) == 8


@pytest.mark.parametrize("name", NAMES if IS_WHOLE else EVERY_DAY)
def test_two_devices_compute_what_transformers_did(name: str):
    if name in INDIVISIBLE:
        with pytest.raises(ConfigError, match=INDIVISIBLE[name]):
            check_golden(name, 2)
        return
    check_golden(name, 2)


def test_four_devices_share_two_key_value_heads():
    assert inspect_checkpoint(golden_folder("qwen3")).spec.layers[0].attention.num_kv_heads == 2
    check_golden("qwen3", 4)


def test_eight_devices(tmp_path: Path):
    """A checkpoint made for them, with biases, and norms over heads."""
    recipe = Recipe(
        family="qwen3", hidden_size=48, num_heads=16, num_kv_heads=8, head_dim=6, intermediate_size=40, num_layers=2,
        vocab_size=200, fields={"attention_bias": True},
    )  # fmt: skip
    folder = make_checkpoint(recipe, tmp_path)
    ids = np.random.default_rng(0).integers(0, recipe.vocab_size, 150).astype(np.int32)
    want, got = (
        Reference(folder).logits(ids),
        compile_logits(inspect_checkpoint(folder), 8)(ids, num_prompt_tokens=len(ids)),
    )
    rms = np.sqrt((want**2).mean())
    assert np.abs((got - want) / (np.abs(want) + rms)).max() <= 2e-5
