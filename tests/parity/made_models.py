"""The small models that `make_golden.py` and `against_transformers.py` make: for each its config, in the names of
transformers 5. Random weights; no real ones are involved."""

from __future__ import annotations

from typing import Any

#: What all of them have, where their families have it.
BASE: dict[str, Any] = {
    "vocab_size": 401,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}

DEFAULT_ROPE = {"rope_type": "default", "rope_theta": 10000.0}

#: Folder of tests/data/golden → the class of its config and what it has besides BASE.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "cohere": ("CohereConfig", {"logit_scale": 0.5, "layer_norm_eps": 1e-3, "use_qk_norm": True}),
    "deepseek_v2": ("DeepseekV2Config", {
        "num_key_value_heads": 4, "first_k_dense_replace": 1, "n_routed_experts": 8, "num_experts_per_tok": 3,
        "moe_intermediate_size": 14, "n_shared_experts": 2, "n_group": 4, "topk_group": 2,
        "topk_method": "group_limited_greedy", "routed_scaling_factor": 1.5, "q_lora_rank": 26, "kv_lora_rank": 22,
        "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "v_head_dim": 14, "attention_bias": True, "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "mscale": 0.707, "mscale_all_dim": 0.9,
            "beta_fast": 32.0, "beta_slow": 1.0, "original_max_position_embeddings": 64}}),
    "deepseek_v2_lite": ("DeepseekV2Config", {
        "num_key_value_heads": 4, "first_k_dense_replace": 0, "n_routed_experts": 6, "num_experts_per_tok": 2,
        "moe_intermediate_size": 14, "n_shared_experts": 1, "topk_method": "greedy", "q_lora_rank": None,
        "kv_lora_rank": 22, "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "v_head_dim": 14}),
    "exaone4": ("Exaone4Config", {"num_hidden_layers": 3, "rms_norm_eps": 1e-3, "sliding_window": 20,
                                  "sliding_window_pattern": 3}),
    "falcon_40b": ("FalconConfig", {"num_attention_heads": 4, "num_kv_heads": 2, "new_decoder_architecture": True,
                                    "ffn_hidden_size": 60, "layer_norm_epsilon": 1e-3, "bias": True,
                                    "num_key_value_heads": ...}),
    "falcon_rw": ("FalconConfig", {"multi_query": False, "parallel_attn": False, "ffn_hidden_size": 60, "bias": True,
                                   "layer_norm_epsilon": 1e-3, "num_key_value_heads": ...}),
    "gemma": ("GemmaConfig", {"head_dim": 14, "rms_norm_eps": 1e-3}),
    "glm": ("GlmConfig", {"head_dim": 12, "rms_norm_eps": 1e-3, "partial_rotary_factor": 0.5}),
    "glm4_moe": ("Glm4MoeConfig", {
        "first_k_dense_replace": 1, "n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 14,
        "n_shared_experts": 2, "n_group": 2, "topk_group": 1, "routed_scaling_factor": 1.5, "head_dim": 12,
        "use_qk_norm": True, "attention_bias": True, "rms_norm_eps": 1e-3, "num_nextn_predict_layers": 0}),
    "gpt_neox_sequential": ("GPTNeoXConfig", {"use_parallel_residual": False, "layer_norm_eps": 1e-3,
                                              "num_key_value_heads": ..., "rope_parameters": {
                                                  **DEFAULT_ROPE, "partial_rotary_factor": 0.25}}),
    "olmo": ("OlmoConfig", {"clip_qkv": 1.5}),
    "olmo3": ("Olmo3Config", {
        "num_hidden_layers": 4, "rms_norm_eps": 1e-3, "sliding_window": 20, "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 500000.0},
            "full_attention": {"rope_type": "yarn", "rope_theta": 500000.0, "factor": 8.0, "beta_fast": 32.0,
                               "beta_slow": 1.0, "original_max_position_embeddings": 64}}}),
    "phi": ("PhiConfig", {"layer_norm_eps": 1e-3, "qk_layernorm": True}),
    "qwen2_moe": ("Qwen2MoeConfig", {
        "num_hidden_layers": 4, "num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 18,
        "shared_expert_intermediate_size": 26, "decoder_sparse_step": 2, "mlp_only_layers": [], "norm_topk_prob": False,
        "use_sliding_window": True, "sliding_window": 20, "max_window_layers": 2, "rms_norm_eps": 1e-3}),
    "qwen3_moe_mixed": ("Qwen3MoeConfig", {
        "num_hidden_layers": 3, "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 18,
        "mlp_only_layers": [1], "norm_topk_prob": False, "head_dim": 14, "attention_bias": True, "rms_norm_eps": 1e-3}),
    "stablelm": ("StableLmConfig", {"layer_norm_eps": 1e-3, "use_qkv_bias": True, "rope_parameters": {
        **DEFAULT_ROPE, "partial_rotary_factor": 0.5}}),
    "stablelm2": ("StableLmConfig", {"layer_norm_eps": 1e-3, "qk_layernorm": True, "use_parallel_residual": True,
                                     "rope_parameters": {**DEFAULT_ROPE, "partial_rotary_factor": 0.5}}),
}  # fmt: skip


def fields_of(name: str) -> tuple[str, dict[str, Any]]:
    """The class of a model's config, and its fields; `...` takes one of BASE away."""
    kind, own = MODELS[name]
    return kind, {field: value for field, value in {**BASE, **own}.items() if value is not ...}
