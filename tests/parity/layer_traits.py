"""What a decoder's layers are, in a line: the traits that set them apart from Llama's."""

from __future__ import annotations

from collections.abc import Iterator

from penstock.layers.latent_spec import LatentAttentionSpec
from penstock.layers.spec import AttentionSpec, MlpSpec, NormSpec
from penstock.models.spec import DecoderSpec, LayerSpec


def layer_traits(spec: DecoderSpec) -> str:
    """Of all layers together, each once."""
    traits = [f"{spec.num_layers} layers", *top_traits(spec)]
    for layer in dict.fromkeys(spec.layers):
        traits += [*norm_traits(layer), *attention_traits(layer.attention), *feed_forward_traits(layer.feed_forward)]
    return ", ".join(dict.fromkeys(traits))


def top_traits(spec: DecoderSpec) -> Iterator[str]:
    if spec.is_tied:
        yield "tied"
    if spec.num_learned_positions:
        yield "learned positions"
    if spec.embed_scale != 1:
        yield "embedding scale"
    if spec.logit_scale != 1:
        yield "logit scale"
    if spec.logit_soft_cap is not None:
        yield "logit soft cap"
    if spec.has_head_bias:
        yield "head bias"


def norm_traits(layer: LayerSpec) -> Iterator[str]:
    if layer.norm != NormSpec(layer.norm.eps):
        parts = {"weight": layer.norm.has_weight, "bias": layer.norm.has_bias, "plus one": layer.norm.plus_one}
        yield " ".join([layer.norm.kind, "norm", *(name for name, has in parts.items() if has)])
    if layer.norms != "before":
        yield f"norms {layer.norms}"
    if layer.is_parallel:
        yield "parallel halves" + (", one norm" if layer.has_one_norm else "")
    if layer.residual_scale != 1:
        yield "residual scale"


def attention_traits(spec: AttentionSpec | LatentAttentionSpec) -> Iterator[str]:
    if isinstance(spec, LatentAttentionSpec):
        yield f"latent attention, rope {spec.rope.kind}"
        return
    yield "full" if spec.window is None else f"window {spec.window}"
    if spec.rope is None:
        yield "no rope"
    else:
        parts = {"partial": spec.rope.size is not None, "interleaved": spec.rope.is_interleaved}
        yield " ".join([*(name for name, has in parts.items() if has), "rope", spec.rope.kind])
    if spec.qk_norm is not None:
        yield f"qk norm over {spec.qk_norm_over}"
    flags = {
        "soft cap": spec.soft_cap is not None,
        "sinks": spec.has_sinks,
        "score scale": spec.score_scale is not None,
        "qkv bias": spec.has_qkv_bias,
        "o bias": spec.has_o_bias,
        "qkv limit": spec.qkv_limit is not None,
    }
    yield from (name for name, has in flags.items() if has)


def feed_forward_traits(spec: object) -> Iterator[str]:
    if not isinstance(spec, MlpSpec):
        yield "mixture of experts"
        return
    yield spec.activation if spec.is_gated else f"{spec.activation} without gate"
    if spec.has_bias:
        yield "mlp bias"
