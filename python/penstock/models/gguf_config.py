"""The keys of a GGUF file as the fields of a config.json, for each architecture that a family covers. No jax.

What an architecture's keys mean is llama.cpp's to say: its conversion scripts write them, its `src/models` read them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from penstock.errors import ModelError
from penstock.models.gguf_keys import GgufKeys
from penstock.models.hf_config import shown

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GgufArchitecture:
    """How a file's keys become a config.

    Attributes:
        model_type: of the family.
        fields: what is not common to all.
        rotates_pairs: the numbers of a rotated pair are neighbours, whatever the family's own checkpoints have.
        has_whole_norms: norm weights have the 1 that those of the family's checkpoints lack.
    """

    model_type: str
    fields: Callable[[GgufKeys], Fields]
    rotates_pairs: bool = False
    has_whole_norms: bool = False


def common_fields(keys: GgufKeys) -> Fields:
    """Of nearly all decoders. Epsilons and windows are there where the file has them."""
    num_heads = keys.integer("attention.head_count")
    fields: Fields = {
        "hidden_size": keys.integer("embedding_length"),
        "num_hidden_layers": keys.num_layers,
        "num_nextn_predict_layers": keys.num_predictors,
        "num_attention_heads": num_heads,
        "num_key_value_heads": keys.integer("attention.head_count_kv", default=num_heads),
        "head_dim": keys.head_dim,
        "vocab_size": _vocab_size(keys),
        "max_position_embeddings": keys.integer("context_length"),
        "tie_word_embeddings": "output.weight" not in keys.tensors,
        "is_causal": keys.flag("attention.causal", default=True),
        "attention_bias": keys.has_tensor("attn_q.bias") or keys.has_tensor("attn_qkv.bias"),
        "rope_parameters": _rope(keys),
        "layer_types": keys.window_types(),
    }
    if keys.has("feed_forward_length"):  # else each layer has experts
        fields["intermediate_size"] = keys.integer("feed_forward_length")
    if keys.has("attention.layer_norm_rms_epsilon"):
        fields["rms_norm_eps"] = keys.number("attention.layer_norm_rms_epsilon")
    if keys.has("attention.layer_norm_epsilon"):
        epsilon = keys.number("attention.layer_norm_epsilon")
        fields |= dict.fromkeys(("layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"), epsilon)
    is_latent = keys.has("attention.kv_lora_rank")
    if not is_latent and keys.integer("attention.value_length", default=keys.head_dim) != keys.head_dim:
        raise ModelError("values of another size than keys (attention.value_length) are not supported")
    if keys.window_every() is not None:
        fields["sliding_window_pattern"] = keys.window_every()
    return fields | {"sliding_window": _window(keys)}


def _vocab_size(keys: GgufKeys) -> int:
    embedding = keys.tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise ModelError("looked for a tensor token_embd.weight of two dimensions, found none")
    return embedding.shape[0]


def _window(keys: GgufKeys) -> int | None:
    return keys.integer("attention.sliding_window", default=0, at_least=0) or None


def _rope(keys: GgufKeys) -> Fields:
    """As `rope_parameters` of transformers 5."""
    table: Fields = {"rope_theta": keys.number("rope.freq_base", default=10000.0)}
    kind = keys.text("rope.scaling.type", default="none")
    if keys.maybe_number("rope.scaling.factor") is None or kind in ("none", "longrope"):
        return table
    table["factor"] = keys.number("rope.scaling.factor")
    if kind == "linear":
        return table | {"rope_type": "linear"}
    if kind != "yarn":
        raise ModelError(f"key {keys.architecture}.rope.scaling.type {shown(kind)} is not supported")
    table |= {
        "rope_type": "yarn",
        "original_max_position_embeddings": keys.integer("rope.scaling.original_context_length"),
    }
    for key in ("beta_fast", "beta_slow"):
        if keys.has(f"rope.scaling.yarn_{key}"):
            table[key] = keys.number(f"rope.scaling.yarn_{key}")
    if keys.has("rope.scaling.yarn_attn_factor"):
        table["attention_factor"] = keys.number("rope.scaling.yarn_attn_factor")
    return table


def _nothing_more(_: GgufKeys) -> Fields:
    return {}


def _llama(keys: GgufKeys) -> Fields:
    """Of Llama, and of Mistral, whose files have no window."""
    fields: Fields = {"mlp_bias": keys.has_tensor("ffn_gate.bias")}
    if keys.integer("expert_count", default=0, at_least=0):
        fields |= {"model_type": "mixtral"} | _experts(keys)
    elif _window(keys) is not None:
        fields["model_type"] = "mistral"
    return fields


def _experts(keys: GgufKeys) -> Fields:
    count = keys.integer("expert_count")
    fields: Fields = dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), count)
    fields["num_experts_per_tok"] = keys.integer("expert_used_count")
    if keys.has("expert_feed_forward_length"):
        fields["moe_intermediate_size"] = keys.integer("expert_feed_forward_length")
    return fields


def _qwen2_moe(keys: GgufKeys) -> Fields:
    shared = keys.tensors.get("blk.0.ffn_up_shexp.weight")
    size = keys.integer("expert_shared_feed_forward_length", default=shared.shape[0] if shared else None)
    return _experts(keys) | {"shared_expert_intermediate_size": size, "norm_topk_prob": False}


def _qwen3_moe(keys: GgufKeys) -> Fields:
    return _experts(keys) | {"norm_topk_prob": True}


def _scale(keys: GgufKeys, default: float) -> Fields:
    """Gemma's query_pre_attn_scalar: the scale of scores is its inverse square root."""
    return {"query_pre_attn_scalar": keys.number("attention.scale", default=default**-0.5) ** -2}


def _gemma2(keys: GgufKeys) -> Fields:
    """The largest has an equal share of the width where the others have the head's size (llama.cpp knows it so)."""
    is_largest = keys.num_layers == 46
    fields = _scale(keys, _equal_share(keys) if is_largest else keys.head_dim)
    fields["attn_logit_softcapping"] = keys.maybe_number("attn_logit_softcapping")
    return fields | {"final_logit_softcapping": keys.maybe_number("final_logit_softcapping")}


def _gemma3(keys: GgufKeys) -> Fields:
    fields = _scale(keys, _equal_share(keys) if keys.num_layers == 62 else keys.head_dim)
    sliding = {"rope_theta": keys.number("rope.freq_base_swa", default=10000.0)}
    full = _rope(keys) | {"rope_theta": keys.number("rope.freq_base", default=1e6)}
    fields["rope_parameters"] = {"sliding_attention": sliding, "full_attention": full}
    return fields | {"final_logit_softcapping": keys.maybe_number("final_logit_softcapping")}


def _equal_share(keys: GgufKeys) -> float:
    return keys.integer("embedding_length") / keys.integer("attention.head_count")


def _rotated_part(keys: GgufKeys) -> Fields:
    return {"rope_parameters": _rope(keys) | {"partial_rotary_factor": keys.rotated_share}}


def _gpt2(keys: GgufKeys) -> Fields:
    return {"n_inner": keys.integer("feed_forward_length")}


def _nemotron(keys: GgufKeys) -> Fields:
    return _rotated_part(keys) | {"mlp_bias": keys.has_tensor("ffn_up.bias")}


def _phi3(keys: GgufKeys) -> Fields:
    """The context before the stretch is there even where nothing is stretched."""
    fields = _rotated_part(keys)
    limit = keys.integer("context_length")
    original = keys.integer("rope.scaling.original_context_length", default=limit)
    fields["original_max_position_embeddings"] = original
    long, short = (keys.factors(f"rope_factors_{length}.weight") for length in ("long", "short"))
    if long is None or short is None:
        return fields
    fields["rope_parameters"] |= {"rope_type": "longrope", "long_factor": long, "short_factor": short}
    if keys.has("rope.scaling.attn_factor"):
        fields["rope_parameters"]["attention_factor"] = keys.number("rope.scaling.attn_factor")
    return fields


def _gpt_neox(keys: GgufKeys) -> Fields:
    return _rotated_part(keys) | {
        "use_parallel_residual": keys.flag("use_parallel_residual", default=True),
        "hidden_act": "gelu",
    }


def _falcon(keys: GgufKeys) -> Fields:
    num_kv_heads = keys.integer("attention.head_count_kv", default=1)
    has_two_norms = keys.has_tensor("attn_norm_2.weight")
    return {
        "num_kv_heads": num_kv_heads,
        "new_decoder_architecture": num_kv_heads > 1 or has_two_norms,
        "num_ln_in_parallel_attn": 2 if has_two_norms else 1,
        "multi_query": num_kv_heads == 1,
        "ffn_hidden_size": keys.integer("feed_forward_length"),
        "bias": keys.has_tensor("attn_qkv.bias"),
    }


def _starcoder2(keys: GgufKeys) -> Fields:
    return {"use_bias": keys.has_tensor("attn_q.bias") or keys.has_tensor("attn_qkv.bias")}


def _stablelm(keys: GgufKeys) -> Fields:
    return _rotated_part(keys) | {
        "use_qkv_bias": keys.has_tensor("attn_q.bias"),
        "qk_layernorm": keys.has_tensor("attn_q_norm.weight"),
        "use_parallel_residual": not keys.has_tensor("ffn_norm.weight"),
    }


def _smollm3(keys: GgufKeys) -> Fields:
    return {"mlp_bias": keys.has_tensor("ffn_gate.bias")}


def _olmo(keys: GgufKeys) -> Fields:
    return {"clip_qkv": keys.maybe_number("attention.clamp_kqv")}


def _olmo2(keys: GgufKeys) -> Fields:
    if _window(keys) is None:
        return {}
    table = _rope(keys)
    sliding = {"rope_theta": table["rope_theta"]}
    return {"model_type": "olmo3", "rope_parameters": {"sliding_attention": sliding, "full_attention": table}}


def _cohere(keys: GgufKeys) -> Fields:
    return {
        "logit_scale": keys.number("logit_scale", default=1.0),
        "use_qk_norm": keys.has_tensor("attn_q_norm.weight"),
    }


def _granite(keys: GgufKeys) -> Fields:
    return {
        "attention_multiplier": keys.number("attention.scale", default=keys.head_dim**-0.5),
        "embedding_multiplier": keys.number("embedding_scale", default=1.0),
        "residual_multiplier": keys.number("residual_scale", default=1.0),
        "logits_scaling": keys.number("logit_scale", default=1.0),
        "mlp_bias": keys.has_tensor("ffn_gate.bias"),
    }


def _deepseek_experts(keys: GgufKeys) -> Fields:
    """Of GLM 4.5, too: experts from some layer on, beside an MLP of all tokens."""
    return _experts(keys) | {
        "n_shared_experts": keys.integer("expert_shared_count", default=1),
        "first_k_dense_replace": keys.integer("leading_dense_block_count", default=0, at_least=0),
        "routed_scaling_factor": keys.number("expert_weights_scale", default=1.0),
        "n_group": keys.integer("expert_group_count", default=1),
        "topk_group": keys.integer("expert_group_used_count", default=1),
    }


def _glm4_moe(keys: GgufKeys) -> Fields:
    return (
        _rotated_part(keys)
        | _deepseek_experts(keys)
        | {
            "use_qk_norm": keys.has_tensor("attn_q_norm.weight"),
            "norm_topk_prob": keys.flag("expert_weights_norm", default=True),
        }
    )


def _deepseek2(keys: GgufKeys) -> Fields:
    """Of V2, where the softmax of all scores chooses, and V3, where the sigmoid of each does. Their files have keys of
    the latent vector's size, shared by all heads; those of a head are `key_length_mla`."""
    rotated = keys.integer("rope.dimension_count")
    key_size = keys.integer("attention.key_length_mla", default=keys.integer("attention.key_length"))
    value_size = keys.integer("attention.value_length_mla", default=keys.integer("attention.value_length"))
    fields = _deepseek_experts(keys) | {
        "qk_rope_head_dim": rotated,
        "qk_nope_head_dim": key_size - rotated,
        "v_head_dim": value_size,
        "kv_lora_rank": keys.integer("attention.kv_lora_rank"),
        "q_lora_rank": keys.integer("attention.q_lora_rank", default=0, at_least=0) or None,
        "rope_parameters": _deepseek_rope(keys),
        "attention_bias": False,
    }
    is_normalised = keys.flag("expert_weights_norm", default=False)
    if keys.integer("expert_gating_func", default=1) == 2:
        return fields | {"model_type": "deepseek_v3", "norm_topk_prob": is_normalised}
    has_groups = fields["n_group"] > 1
    method = "group_limited_greedy" if has_groups else "greedy"
    return fields | {"model_type": "deepseek_v2", "topk_method": method, "norm_topk_prob": is_normalised}


def _deepseek_rope(keys: GgufKeys) -> Fields:
    """The length of queries and keys is not stretched, their scores are, by a tenth of this multiplier."""
    table = _rope(keys)
    multiplier = keys.maybe_number("rope.scaling.yarn_log_multiplier")
    if multiplier is not None and table.get("rope_type") == "yarn":
        table |= {"mscale": multiplier * 10, "mscale_all_dim": multiplier * 10}
    return table


def _gpt_oss(keys: GgufKeys) -> Fields:
    fields = _experts(keys)
    size = fields.get("moe_intermediate_size") or keys.integer("feed_forward_length")
    return fields | {"intermediate_size": size, "rope_parameters": _rope(keys) | {"truncate": False}}


#: By `general.architecture`.
ARCHITECTURES = {
    "llama": GgufArchitecture("llama", _llama, rotates_pairs=True),
    "qwen2": GgufArchitecture("qwen2", _nothing_more),
    "qwen2moe": GgufArchitecture("qwen2_moe", _qwen2_moe),
    "qwen3": GgufArchitecture("qwen3", _nothing_more),
    "qwen3moe": GgufArchitecture("qwen3_moe", _qwen3_moe),
    "gemma": GgufArchitecture("gemma", _nothing_more, has_whole_norms=True),
    "gemma2": GgufArchitecture("gemma2", _gemma2, has_whole_norms=True),
    "gemma3": GgufArchitecture("gemma3_text", _gemma3, has_whole_norms=True),
    "phi2": GgufArchitecture("phi", _rotated_part),
    "phi3": GgufArchitecture("phi3", _phi3),
    "gpt2": GgufArchitecture("gpt2", _gpt2),
    "gptneox": GgufArchitecture("gpt_neox", _gpt_neox),
    "falcon": GgufArchitecture("falcon", _falcon),
    "starcoder2": GgufArchitecture("starcoder2", _starcoder2),
    "stablelm": GgufArchitecture("stablelm", _stablelm),
    "olmo": GgufArchitecture("olmo", _olmo, rotates_pairs=True),
    "olmo2": GgufArchitecture("olmo2", _olmo2),
    "command-r": GgufArchitecture("cohere", _cohere),
    "cohere2": GgufArchitecture("cohere2", _cohere),
    "granite": GgufArchitecture("granite", _granite, rotates_pairs=True),
    "chatglm": GgufArchitecture("glm", _rotated_part),
    "glm4": GgufArchitecture("glm4", _rotated_part),
    "glm4moe": GgufArchitecture("glm4_moe", _glm4_moe),
    "exaone4": GgufArchitecture("exaone4", _nothing_more),
    "nemotron": GgufArchitecture("nemotron", _nemotron, has_whole_norms=True),
    "smollm3": GgufArchitecture("smollm3", _smollm3, rotates_pairs=True),
    "gpt-oss": GgufArchitecture("gpt_oss", _gpt_oss),
    "deepseek2": GgufArchitecture("deepseek_v2", _deepseek2),
}


def gguf_config(keys: GgufKeys) -> Fields:
    """A file's config. ModelError names the key that is missing, of another type or of no model that is built."""
    row = architecture_row(keys.architecture)
    return {"model_type": row.model_type} | common_fields(keys) | row.fields(keys)


def architecture_row(name: str) -> GgufArchitecture:
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"key general.architecture {shown(name)} is not supported, expected one of {known}")
    return ARCHITECTURES[name]
