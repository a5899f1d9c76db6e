"""The checkpoints that users may bring: every size, format and spelling that once was, or could be, got wrong."""

from __future__ import annotations

from random_checkpoint import Recipe

LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
WINDOW = {"use_sliding_window": True, "sliding_window": 20}
MIXED = ["sliding_attention", "full_attention", "sliding_attention", "full_attention", "full_attention"]

#: Judged in every run: between them every family, format, spelling and kind of attention.
RECIPES = {
    "llama, all biases, odd sizes, published, f16, shards": Recipe(
        hidden_size=52, num_heads=13, num_kv_heads=1, head_dim=6, intermediate_size=37, vocab_size=1283,
        fields={"attention_bias": True, "mlp_bias": True}, is_published=True, stored="F16", num_shards=3,
        rope={"rope_type": "llama3", "factor": 8.0, "rope_theta": 500000.0, **LLAMA3},
        extra={"model.layers.0.self_attn.rotary_emb.inv_freq": (3,), "model.rotary_emb.inv_freq": (3,)},
    ),
    "mistral, window below a page, as many kv heads as heads, bf16": Recipe(
        family="mistral", num_layers=1, num_kv_heads=4, head_dim=40, fields={"sliding_window": 5}, stored="BF16",
    ),
    "qwen2, window on some layers by layer_types, tied with a head in the file": Recipe(
        family="qwen2", fields={**WINDOW, "layer_types": MIXED[:2]}, is_tied=True, has_lm_head=True, seed=2,
    ),
    "qwen3, attention bias, default head size, one layer, linear rope by type": Recipe(
        family="qwen3", num_layers=1, num_heads=3, num_kv_heads=1, vocab_size=97, is_published=True,
        rope={"type": "linear", "factor": 3, "rope_theta": 1000}, fields={"attention_bias": True}, is_tied=True,
    ),
}  # fmt: skip

#: The rest, judged where PENSTOCK_TEST_ALL is set.
MORE_RECIPES = {
    "llama, heads of 8": Recipe(num_heads=4, num_kv_heads=2, head_dim=8),
    "llama, heads of 128": Recipe(num_heads=2, num_kv_heads=1, head_dim=128, hidden_size=64),
    "llama, six heads over three": Recipe(hidden_size=60, num_heads=6, num_kv_heads=3),
    "llama, one of everything": Recipe(num_layers=1, hidden_size=2, num_heads=1, num_kv_heads=1, intermediate_size=1,
                                       vocab_size=3),
    "llama, wide": Recipe(num_layers=1, hidden_size=256, num_heads=8, num_kv_heads=4, intermediate_size=688,
                          vocab_size=4099),
    "llama, no kv heads named": Recipe(num_kv_heads=4, fields={"num_key_value_heads": None}),
    "llama, attention bias only": Recipe(fields={"attention_bias": True}),
    "llama, mlp bias only": Recipe(fields={"mlp_bias": True}),
    "llama, no rope at all": Recipe(fields={"rope_parameters": ..., "rms_norm_eps": ...}),
    "llama, theta only": Recipe(fields={"rope_parameters": ..., "rope_theta": 777}),
    "llama, theta beside rope_parameters": Recipe(fields={"rope_parameters": {"rope_type": "default"},
                                                          "rope_theta": 777.0}),
    "llama, empty rope_scaling": Recipe(is_published=True, fields={"rope_scaling": {}}),
    "llama, default rope_scaling": Recipe(is_published=True, fields={"rope_scaling": {"type": "default"}}),
    "llama, llama3 by type, factor 32": Recipe(is_published=True, fields={
        "rope_scaling": {"type": "llama3", "factor": 32, **LLAMA3, "high_freq_factor": 2.5}}),
    "llama, scaling beside parameters": Recipe(fields={
        "rope_scaling": {"rope_type": "linear", "factor": 2.5, "rope_theta": 100.0}}),
    "llama, gelu_pytorch_tanh": Recipe(fields={"hidden_act": "gelu_pytorch_tanh"}),
    "llama, gelu_new": Recipe(fields={"hidden_act": "gelu_new"}),
    "llama, swish, eps 1e-12": Recipe(fields={"hidden_act": "swish", "rms_norm_eps": 1e-12}),
    "llama, eps 0.5, tied, published, bf16 shards": Recipe(fields={"rms_norm_eps": 0.5}, is_tied=True, stored="BF16",
                                                           is_published=True, num_shards=2),
    "llama, other seed": Recipe(seed=1234, num_layers=5),
    "mistral, no window": Recipe(family="mistral", fields={"sliding_window": None}),
    "mistral, default window": Recipe(family="mistral", hidden_size=64, num_heads=16, num_kv_heads=8),
    "mistral, window 1": Recipe(family="mistral", fields={"sliding_window": 1}),
    "mistral, window 16": Recipe(family="mistral", fields={"sliding_window": 16}),
    "mistral, window 17": Recipe(family="mistral", fields={"sliding_window": 17}),
    "mistral, window 64": Recipe(family="mistral", fields={"sliding_window": 64}),
    "mistral, window 65, heads of 128": Recipe(family="mistral", head_dim=128, fields={"sliding_window": 65}),
    "mistral, window above the context": Recipe(family="mistral", fields={"sliding_window": 5000}),
    "qwen2, five layers by layer_types": Recipe(family="qwen2", num_layers=5, fields={**WINDOW, "layer_types": MIXED}),
    "qwen2, window from layer 1": Recipe(family="qwen2", num_layers=3, fields={**WINDOW, "max_window_layers": 1}),
    "qwen2, window from layer 0": Recipe(family="qwen2", num_layers=3, fields={**WINDOW, "max_window_layers": 0}),
    "qwen2, window on layers that are not there": Recipe(family="qwen2", fields=WINDOW),
    "qwen2, window not used": Recipe(family="qwen2", fields={**WINDOW, "use_sliding_window": False}),
    "qwen2, null window": Recipe(family="qwen2", fields={**WINDOW, "sliding_window": None}),
    "qwen2, tied, f16": Recipe(family="qwen2", is_tied=True, stored="F16"),
    "qwen3, window from layer 1": Recipe(family="qwen3", head_dim=24, num_layers=3,
                                         fields={**WINDOW, "max_window_layers": 1}),
    "qwen3, kv heads as heads": Recipe(family="qwen3", head_dim=16, num_kv_heads=4),
}  # fmt: skip
