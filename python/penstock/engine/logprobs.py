"""Logprobs of tokens, of the raw logits: the natural logarithm of their softmax, in float32.

They cross to the host as int32 words, one array a program; floats as their bits.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from penstock.engine.interface import NUM_TOP_LOGPROBS, LogprobColumns
from penstock.engine.packing import Layout

#: The words of one token: its own logprob and rank, the likeliest tokens' ids and logprobs.
COLUMNS = Layout.of(sampled=1, ranks=1, top_ids=NUM_TOP_LOGPROBS, top=NUM_TOP_LOGPROBS)


def logprob_words(logits: jax.Array, ids: jax.Array) -> jax.Array:
    """int32 [B, COLUMNS.num_words] of `ids`, int32 [B], given float32 logits [B, V]. For an id below 0 those of token
    0, which nobody reads."""
    with jax.named_scope("logprobs"):
        num_top = min(NUM_TOP_LOGPROBS, logits.shape[1])
        own = jnp.take_along_axis(logits, jnp.maximum(ids, 0)[:, None], axis=1)
        ranks = 1 + jnp.sum(logits > own, axis=1, keepdims=True, dtype=jnp.int32)
        top, top_ids = jax.lax.top_k(logits, num_top)
        total = top[:, :1] + jnp.log(jnp.sum(jnp.exp(logits - top[:, :1]), axis=1, keepdims=True))
        missing = ((0, 0), (0, NUM_TOP_LOGPROBS - num_top))
        top_ids = jnp.pad(top_ids.astype(jnp.int32), missing, constant_values=-1)
        top = jnp.pad(top - total, missing, constant_values=-jnp.inf)
        return jnp.concatenate([_bits(own - total), ranks, top_ids, _bits(top)], axis=1)


def no_words(num_rows: int) -> jax.Array:
    """What `logprob_words` gives where nobody asks."""
    return jnp.zeros((num_rows, COLUMNS.num_words), jnp.int32)


def _bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.int32)


def read_words(words: np.ndarray) -> LogprobColumns:
    """The columns in `words`, int32 [..., COLUMNS.num_words]."""
    parts = {name: np.ascontiguousarray(part) for name, part in COLUMNS.parts(words).items()}
    return LogprobColumns(
        sampled=parts["sampled"][..., 0].view(np.float32),
        top_ids=parts["top_ids"],
        top=parts["top"].view(np.float32),
        ranks=parts["ranks"][..., 0],
    )
