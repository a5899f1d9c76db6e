"""A golden checkpoint's recorded sequences in one pass: every prompt with its continuation fed in, as one padded batch.

Where the best token of every step is the recorded one, so is the greedy continuation, by induction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np
from golden import Prompt
from quick import QUICK

from penstock.checkpoint import Checkpoint
from penstock.layers.attention import TokenPlaces
from penstock.layers.kernel_attention import KernelAttention
from penstock.layers.step_places import StepPlaces
from penstock.models.decoder import empty_caches, forward, logits
from penstock.weights import NO_FORMATS, load_weights

PAGE = 16
ATTENTION = KernelAttention()


def forced_logits(
    checkpoint: Checkpoint, prompts: Sequence[Prompt], *, dtype=np.float32, formats=NO_FORMATS, weights=None
) -> list[np.ndarray]:
    """For each prompt the logits after its last token and after each recorded one but the last, [steps, V].

    Args:
        formats: of packed weights; without them XLA computes.
        weights: the tree; None: of the checkpoint.
    """
    spec = checkpoint.spec
    sequences = [np.concatenate([prompt.ids, prompt.greedy[:-1]]).astype(np.int32) for prompt in prompts]
    length = -(-max(map(len, sequences)) // ATTENTION.block_size) * ATTENTION.block_size
    tokens = np.stack([np.pad(ids, (0, length - len(ids))) for ids in sequences])
    positions = np.tile(np.arange(length, dtype=np.int32), (len(prompts), 1))
    num_pages = len(prompts) * length // PAGE
    table = np.arange(1, num_pages + 1, dtype=np.int32).reshape(len(prompts), -1)
    tokens_of = TokenPlaces(
        positions,
        (table,) * len(spec.page_groups),
        positions < np.array([[len(ids)] for ids in sequences]),
        np.array([len(prompt.ids) for prompt in prompts], np.int32),
    )
    places = StepPlaces.of(tokens_of)
    rows = [
        np.arange(len(prompt.ids) - 1, len(ids)) + row * length
        for row, (prompt, ids) in enumerate(zip(prompts, sequences, strict=True))
    ]
    empty = partial(empty_caches, spec, ATTENTION, num_pages=num_pages + 1, dtype=dtype)
    caches = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(empty))
    if weights is None:
        weights = load_weights(checkpoint, dtype=dtype, device=jax.devices()[0], formats=formats)

    @partial(jax.jit, compiler_options=QUICK)
    def run(weights, caches, tokens, places, rows):
        hidden, _ = forward(weights, caches, tokens.reshape(-1), places, spec=spec, attention=ATTENTION)
        return logits(weights, hidden[rows], spec=spec)

    after = np.asarray(run(weights, caches, tokens, places, np.concatenate(rows)))
    return np.split(after, np.cumsum([len(steps) for steps in rows])[:-1])
