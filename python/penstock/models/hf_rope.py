"""Reads a config's rotary positions: `rope_parameters` (transformers 5), or `rope_theta` with `rope_scaling`
(transformers 4), which goes first where both are given, as there.

The kinds are those of transformers' `modeling_rope_utils`, without "dynamic", whose frequencies change while a sequence
grows and leave keys in the cache that were turned by other ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from penstock.errors import ModelError
from penstock.layers.rope_spec import RopeKind, RopeSpec
from penstock.models.hf_config import HfConfig, shown


def read_rope(
    config: HfConfig,
    *,
    theta: float = 10000.0,
    head_dim: int = 0,
    share: float | None = None,
    table: Mapping[str, Any] | None = None,
    original: int | None = None,
    aliases: Mapping[str, str] | None = None,
) -> RopeSpec:
    """The rotation of a model's heads.

    Args:
        theta: the base where the config names none.
        head_dim, share: where a part of the head may be rotated: its size, and the part where the config names none.
            Families that give no size know no "longrope", which has a number for each pair.
        table: the parameters, where a config has several.
        original: the context before it was stretched, where the family knows it better than the parameters.
        aliases: a family's older names of a kind.
    """
    table = rope_table(config) if table is None else table
    plain = RopeSpec(config.number("rope_theta", default=config.get("rope_theta", theta), within=table))
    kind = config.get("rope_type", config.get("type", "default", table), table)
    kind = (aliases or {}).get(kind, kind) if isinstance(kind, str) else kind
    unread = {"factors"} if head_dim else {"factors", "longrope"}  # the first is a GGUF file's, which no config can say
    known = sorted(set(get_args(RopeKind)) - unread)
    if kind not in known:
        raise ModelError(f"config.json: rope type {shown(kind)} is not supported, expected one of {known}")
    named = config.get("partial_rotary_factor", config.get("partial_rotary_factor", share or 1), table)
    if named != 1:
        plain = replace(plain, size=_rotated(config, named, head_dim, share))
    if kind == "default":
        return plain
    if kind == "linear":
        return replace(plain, kind="linear", factor=config.number("factor", within=table))
    limit = config.integer("max_position_embeddings", default=2048)
    original = original or config.integer("original_max_position_embeddings", default=limit, at_least=2, within=table)
    plain = replace(plain, original_max_position=original)
    if kind == "longrope":
        return _longrope(config, table, plain, head_dim=head_dim)
    return _yarn(config, table, plain) if kind == "yarn" else _llama3(config, table, plain)


def rope_table(config: HfConfig) -> Mapping[str, Any]:
    """The parameters of all layers alike."""
    table = config.get("rope_scaling", None) or config.get("rope_parameters", None) or {}
    if not isinstance(table, Mapping) or any(isinstance(value, Mapping) for value in table.values()):
        raise ModelError("config.json: rope parameters must be one flat object for all layers")
    return table


def rope_tables(
    config: HfConfig, *, theta: float, sliding_theta: float, sliding_field: str = ""
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The parameters of layers with a sliding window, and of full ones, each with its base. `rope_scaling` is for the
    full ones alone.

    Args:
        theta, sliding_theta: the bases where the config names none.
        sliding_field: which names that of the layers with a window.
    """
    both = config.get("rope_parameters", {})
    if not isinstance(both, Mapping) or not all(both[key] is None or isinstance(both[key], Mapping) for key in both):
        raise ModelError("config.json: rope_parameters must be an object for each kind of attention")
    sliding, full = (dict(both.get(f"{kind}_attention") or {}) for kind in ("sliding", "full"))
    stretch = config.get("rope_scaling", {})
    if not isinstance(stretch, Mapping):
        raise ModelError(f"config.json: rope_scaling must be an object, found {shown(stretch)}")
    full |= stretch
    full.setdefault("rope_theta", config.get("rope_theta", theta))
    sliding.setdefault("rope_theta", config.get(sliding_field, sliding_theta))
    return sliding, full


def _rotated(config: HfConfig, share: Any, head_dim: int, default_share: float | None) -> int:
    """How many numbers of a head are rotated."""
    if default_share is None:
        raise ModelError(f"config.json: partial_rotary_factor {shown(share)} is not supported, expected 1")
    share = config.number("partial_rotary_factor", within={"partial_rotary_factor": share})
    size = int(head_dim * share)
    if not 0 < size <= head_dim:
        raise ModelError(f"config.json: partial_rotary_factor {share} of a head of {head_dim} rotates {size} numbers")
    return size


def _llama3(config: HfConfig, table: Mapping[str, Any], rope: RopeSpec) -> RopeSpec:
    low, high = (config.number(f"{end}_freq_factor", within=table) for end in ("low", "high"))
    if high <= low:
        raise ModelError(f"config.json: high_freq_factor must be above low_freq_factor, found {high} and {low}")
    factor = config.number("factor", within=table)
    return replace(rope, kind="llama3", factor=factor, low_freq_factor=low, high_freq_factor=high)


def _yarn(config: HfConfig, table: Mapping[str, Any], rope: RopeSpec) -> RopeSpec:
    if rope.theta <= 1:
        raise ModelError(f"config.json: rope_theta must be above 1 for yarn, found {rope.theta}")
    ratio = config.integer("max_position_embeddings", default=2048) / rope.original_max_position
    factor = config.number("factor", default=ratio, within=table)
    attention = _yarn_attention(config, table, factor)
    return replace(
        rope,
        kind="yarn",
        factor=factor,
        beta_fast=config.number("beta_fast", default=32.0, within=table),
        beta_slow=config.number("beta_slow", default=1.0, within=table),
        is_truncated=config.flag("truncate", default=True, within=table),
        attention_factor=config.number("attention_factor", default=attention, within=table),
    )


def _yarn_attention(config: HfConfig, table: Mapping[str, Any], factor: float) -> float:
    if not (config.get("mscale", None, table) and config.get("mscale_all_dim", None, table)):
        return yarn_mscale(factor)
    scale, of_all = (config.number(name, within=table) for name in ("mscale", "mscale_all_dim"))
    return yarn_mscale(factor, scale) / yarn_mscale(factor, of_all)


def yarn_mscale(factor: float, mscale: float = 1.0) -> float:
    """What YaRN multiplies the length of queries and keys by (Peng et al., arXiv 2309.00071, 3.4)."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def _longrope(config: HfConfig, table: Mapping[str, Any], rope: RopeSpec, *, head_dim: int) -> RopeSpec:
    num_pairs = rope.num_pairs(head_dim)
    short, long = (config.numbers(f"{length}_factor", num_pairs, within=table) for length in ("short", "long"))
    ratio = config.integer("max_position_embeddings", default=2048) / rope.original_max_position
    factor = config.number("factor", default=ratio, within=table)
    default = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(rope.original_max_position))
    attention = config.number("attention_factor", default=default, within=table)
    return replace(rope, kind="longrope", short_factors=short, long_factors=long, attention_factor=attention)
