"""What the families' files share: the parts of a decoder from fields that nearly all configs have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock.layers.rope_spec import RopeSpec
from penstock.layers.spec import AttentionSpec, MlpSpec, NormSpec
from penstock.models.hf_config import MAX_HEADS, HfConfig
from penstock.models.spec import DecoderSpec, LayerSpec


def head_size(config: HfConfig, default: int | None = None) -> int:
    """`head_dim`, or the default, or an equal share of the width."""
    share = config.integer("hidden_size") // config.integer("num_attention_heads")
    return config.integer("head_dim", default=default or share)


def attention(
    config: HfConfig,
    rope: RopeSpec | None,
    *,
    head_dim: int | None = None,
    num_kv_heads: int | None = None,
    is_multi_head: bool = False,
    **traits: Any,
) -> AttentionSpec:
    """Heads as the config has them.

    Args:
        head_dim, num_kv_heads: where the config names none; None is an equal share of the width, as many as heads.
        is_multi_head: the family knows no fewer key-value heads than heads.
        traits: fields of `AttentionSpec`.
    """
    num_heads = config.integer("num_attention_heads", at_most=MAX_HEADS)
    shared = num_heads if is_multi_head else config.integer("num_key_value_heads", default=num_kv_heads or num_heads)
    return AttentionSpec(
        num_heads=num_heads,
        num_kv_heads=shared,
        head_dim=head_size(config, head_dim),
        rope=rope,
        **traits,
    )


def plain_mlp(config: HfConfig, activation: str, *, has_bias: bool) -> MlpSpec:
    """Without a gate. `activation`: where the config names none."""
    size = config.integer("intermediate_size")
    return MlpSpec(size, config.activation(default=activation), has_bias=has_bias, is_gated=False)


def rms_norm(config: HfConfig, *, eps: float = 1e-6, plus_one: bool = False) -> NormSpec:
    """`eps`: where the config names none."""
    return NormSpec(config.number("rms_norm_eps", default=eps), plus_one=plus_one)


def layer_norm(config: HfConfig, *, field: str = "layer_norm_eps", has_bias: bool = True) -> NormSpec:
    return NormSpec(config.number(field, default=1e-5), "layer", has_bias=has_bias)


def decoder(
    config: HfConfig, layers: Iterable[LayerSpec], norm: NormSpec, *, is_tied: bool = False, **traits: Any
) -> DecoderSpec:
    """Args:
    is_tied: where the config does not say.
    traits: fields of `DecoderSpec`.
    """
    return DecoderSpec(
        vocab_size=config.integer("vocab_size"),
        hidden_size=config.integer("hidden_size"),
        layers=tuple(layers),
        final_norm=norm,
        is_tied=config.flag("tie_word_embeddings", default=is_tied),
        **traits,
    )
