"""Stored tensors that a model does not read: those that change nothing, and those whose neglect would be a wrong
reading. A bias that is there and not added gives a model that answers, and answers wrongly. No jax.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.errors import ModelError

log = logging.getLogger("penstock.engine")

#: Buffers that older versions of transformers stored: what is computed from the config, and causal masks.
_BUFFERS = re.compile(r"(^|\.)(rotary_emb\.(inv_freq|cos_cached|sin_cached)|(attn|attention)\.(masked_)?bias)$")
#: Layers that predict further tokens for speculative decoding: no part of the model itself.
_PREDICTORS = re.compile(r"(^|\.)mtp\.")
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blk)\.(\d{1,9})\.")
_MAX_SHOWN = 3


def check_unread(
    stored: Iterable[str], read: Iterable[str], config: Mapping[str, Any], *, num_layers: int, is_tied: bool
) -> None:
    """Refuses a checkpoint with tensors that nothing reads, unless they are known to change nothing: buffers, the copy
    of tied embeddings, layers for multi-token prediction.

    Args:
        stored, read: names of tensors.

    Raises:
        ModelError: with the first names, in order.
    """
    unread = sorted(set(stored) - set(read))
    if not unread:
        return
    predictors = [name for name in unread if _is_predictor(name, config, num_layers)]
    if predictors:
        log.info("%d tensors that predict further tokens are not read, as %s", len(predictors), predictors[0])
    surplus = [name for name in unread if not (_is_harmless(name, is_tied=is_tied) or name in set(predictors))]
    if surplus:
        more = f" and {len(surplus) - _MAX_SHOWN} more" if len(surplus) > _MAX_SHOWN else ""
        raise ModelError(
            f"the checkpoint has tensors that its config.json does not ask for: {', '.join(surplus[:_MAX_SHOWN])}{more}"
        )


def _is_harmless(name: str, *, is_tied: bool) -> bool:
    return _BUFFERS.search(name) is not None or (is_tied and name in ("lm_head.weight", "embed_out.weight"))


def _is_predictor(name: str, config: Mapping[str, Any], num_layers: int) -> bool:
    """Those of DeepSeek-V3 and its kin stand behind the model's layers, as many as the config says."""
    if _PREDICTORS.search(name):
        return True
    num_predictors = config.get("num_nextn_predict_layers")
    layer = _LAYER.search(name)
    if layer is None or not isinstance(num_predictors, int):
        return False
    return num_layers <= int(layer[1]) < num_layers + num_predictors
