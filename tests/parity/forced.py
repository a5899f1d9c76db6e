"""A golden checkpoint's recorded sequences in one pass: every prompt with its continuation fed in, as one padded batch.

Where the best token of every step is the recorded one, so is the greedy continuation, by induction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from golden import Prompt

from penstock.checkpoint import Checkpoint
from penstock.layers.attention import TokenPlaces
from penstock.layers.gather_attention import GatherAttention
from penstock.models.decoder import empty_caches, forward, logits
from penstock.weights import load_weights

PAGE = 16
#: For a program that runs once, of which LLVM's passes are two fifths of the cost.
QUICK = {"xla_backend_optimization_level": 0}
ATTENTION = GatherAttention(page_size=PAGE, block_size=32, is_dynamic=True)


def forced_logits(checkpoint: Checkpoint, prompts: Sequence[Prompt], *, dtype=np.float32) -> list[np.ndarray]:
    """For each prompt the logits after its last token and after each recorded one but the last, [steps, V]."""
    spec = checkpoint.spec
    sequences = [np.concatenate([prompt.ids, prompt.greedy[:-1]]).astype(np.int32) for prompt in prompts]
    length = -(-max(map(len, sequences)) // ATTENTION.block_size) * ATTENTION.block_size
    tokens = np.stack([np.pad(ids, (0, length - len(ids))) for ids in sequences])
    weights = load_weights(checkpoint, dtype=dtype, device=jax.devices()[0])
    num_pages = len(prompts) * length // PAGE
    caches = empty_caches(spec, ATTENTION, num_pages=num_pages + 1, dtype=dtype)
    table = jnp.arange(1, num_pages + 1).reshape(len(prompts), -1)
    positions = np.tile(np.arange(length), (len(prompts), 1))
    places = TokenPlaces(
        jnp.asarray(positions),
        (table,) * len(spec.page_groups),
        jnp.asarray(positions < np.array([[len(ids)] for ids in sequences])),
        jnp.asarray([len(prompt.ids) for prompt in prompts]),
    )

    @partial(jax.jit, compiler_options=QUICK)
    def run(weights, caches, tokens, places):
        hidden, _ = forward(weights, caches, tokens, places, spec=spec, attention=ATTENTION)
        return hidden

    hidden = run(weights, caches, tokens, places)
    head = jax.jit(partial(logits, spec=spec), compiler_options=QUICK)
    ends = [np.arange(len(prompt.ids) - 1, len(prompt.ids) + len(prompt.greedy) - 1) for prompt in prompts]
    rows = np.concatenate([np.asarray(hidden[row])[steps] for row, steps in enumerate(ends)])
    after = np.asarray(head(weights, rows), np.float32)
    return np.split(after, np.cumsum([len(steps) for steps in ends])[:-1])
