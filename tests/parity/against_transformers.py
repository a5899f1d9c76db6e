"""Makes model folders of random shapes and traits for every family, with what transformers computes for them.

In the environment of make_golden.py, then in Penstock's own:

    golden_env/bin/python tests/parity/against_transformers.py FOLDER [--each 2] [--seed 0] [FAMILY ...]
    make families GOLDEN=FOLDER

Not run by the test suite. Each folder is one more golden checkpoint: odd widths (65, 66), heads that divide nothing,
vocabularies that are no multiple of anything, switches on and off, fields left to their defaults.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import make_golden
import torch

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
LINEAR = {"rope_type": "linear", "factor": 3.0}
ROPES = [{"rope_type": "default"}, LINEAR, LLAMA3, YARN, {**YARN, "truncate": False, "beta_fast": 8.0}]

#: Width, heads, key-value heads, and the head size where it is a field of its own.
OWN_HEADS = [(65, 4, 2, 10), (66, 6, 3, 16), (33, 3, 1, 8), (65, 5, 5, 18)]
EQUAL_HEADS = [(66, 3, 1, None), (60, 6, 3, None), (52, 13, 1, None), (40, 4, 4, None)]
ANY_HEADS = [*OWN_HEADS, *EQUAL_HEADS, (65, 4, 2, None)]
ODD_HEADS = [(65, 5, None, None), (66, 6, None, None), (66, 2, None, None)]

EPS = [1e-3, 1e-5, ...]
FLAG = [True, False]
ACTS = ["silu", "gelu", "gelu_new", "relu", "gelu_pytorch_tanh", "relu2", "quick_gelu"]
BIAS = {"attention_bias": FLAG}
RMS = {"rms_norm_eps": EPS, "hidden_act": [..., *ACTS], "tie_word_embeddings": [*FLAG, ...]}
LAYER = {"layer_norm_eps": EPS, "hidden_act": [..., *ACTS], "tie_word_embeddings": [*FLAG, ...]}
WINDOW = [7, 16, 33]

QWEN_EXPERTS = {"num_experts": [4, 7], "num_experts_per_tok": [1, 2, ...], "moe_intermediate_size": [13, 18],
                "norm_topk_prob": FLAG, "decoder_sparse_step": [..., 2], "mlp_only_layers": [..., [0]]}  # fmt: skip
GROUPED_EXPERTS = {"n_routed_experts": [8, 12], "num_experts_per_tok": [1, 2], "moe_intermediate_size": [13, 18],
                   "n_shared_experts": [1, 3], "n_group": [2, 4], "topk_group": [1, 2], "norm_topk_prob": FLAG,
                   "routed_scaling_factor": [..., 1.7], "first_k_dense_replace": [0, 1, 2]}  # fmt: skip
LATENT_HEADS = [(66, 3, 3, None), (60, 5, 5, None), (65, 5, 5, None)]
LATENT = {"rms_norm_eps": EPS, "attention_bias": FLAG, "q_lora_rank": [None, 11, 26], "kv_lora_rank": [13, 22],
          "qk_nope_head_dim": [9, 12], "qk_rope_head_dim": [6, 10], "v_head_dim": [7, 15]}  # fmt: skip
YARN_MSCALE = {**YARN, "mscale": 0.707, "mscale_all_dim": 1.3}

#: Family → the class of its config, its heads, its ropes, the shares of a head that it may rotate, and its traits.
FAMILIES: dict[str, tuple[str, list[Any], list[Any], list[Any], dict[str, list[Any]]]] = {
    "llama": ("LlamaConfig", ANY_HEADS, ROPES, [], {**RMS, **BIAS, "mlp_bias": FLAG}),
    "mistral": ("MistralConfig", ANY_HEADS, ROPES, [], {**RMS, "sliding_window": [*WINDOW, None]}),
    "qwen2": ("Qwen2Config", EQUAL_HEADS, ROPES, [], {
        **RMS, "use_sliding_window": FLAG, "sliding_window": WINDOW, "max_window_layers": [0, 1, 2]}),
    "qwen3": ("Qwen3Config", OWN_HEADS, ROPES, [], {
        **RMS, **BIAS, "use_sliding_window": FLAG, "sliding_window": WINDOW, "max_window_layers": [0, 1, 2]}),
    "cohere": ("CohereConfig", ANY_HEADS, ROPES[:3], [], {**LAYER, **BIAS, "use_qk_norm": FLAG,
                                                          "logit_scale": [0.5, ...]}),
    "cohere2": ("Cohere2Config", ANY_HEADS, ROPES[:3], [], {
        **LAYER, **BIAS, "sliding_window": WINDOW, "sliding_window_pattern": [..., 2, 3], "logit_scale": [0.5, ...]}),
    "exaone4": ("Exaone4Config", ANY_HEADS, ROPES[:3], [], {
        **RMS, "sliding_window": [*WINDOW, None], "sliding_window_pattern": [..., 2, 3]}),
    "falcon": ("FalconConfig", [(66, 3, 1, None), (60, 6, 3, None)], ROPES, [], {
        "new_decoder_architecture": FLAG, "multi_query": FLAG, "parallel_attn": [True], "bias": FLAG,
        "num_ln_in_parallel_attn": [..., 1], "layer_norm_epsilon": EPS, "activation": [..., "relu"],
        "tie_word_embeddings": [..., False], "ffn_hidden_size": [..., 50]}),
    "falcon_rw": ("FalconConfig", [(66, 3, 1, None), (60, 6, 3, None)], ROPES, [], {
        "multi_query": FLAG, "parallel_attn": FLAG, "bias": FLAG, "layer_norm_epsilon": EPS}),
    "gemma": ("GemmaConfig", OWN_HEADS, ROPES[:3], [], {**RMS, **BIAS, "hidden_act": [..., "gelu_pytorch_tanh"]}),
    "gemma2": ("Gemma2Config", [(60, 6, 3, 14), (66, 3, 1, 10)], ROPES[:3], [], {
        "rms_norm_eps": EPS, **BIAS, "sliding_window": WINDOW, "attn_logit_softcapping": [..., None, 3.0],
        "final_logit_softcapping": [..., None, 5.0], "query_pre_attn_scalar": [..., 9]}),
    "gemma3_text": ("Gemma3TextConfig", [(60, 6, 3, 14), (66, 3, 1, 10)], [...], [], {
        "rms_norm_eps": EPS, **BIAS, "sliding_window": WINDOW, "sliding_window_pattern": [..., 2, 3],
        "final_logit_softcapping": [..., 5.0], "attn_logit_softcapping": [..., 3.0],
        "query_pre_attn_scalar": [..., 9], "num_hidden_layers": [6, 7]}),
    "glm": ("GlmConfig", OWN_HEADS, ROPES[:3], [..., 0.5, 1.0, 0.75], {"rms_norm_eps": EPS, **BIAS}),
    "glm4": ("Glm4Config", OWN_HEADS, ROPES[:3], [..., 0.5, 1.0, 0.75], {"rms_norm_eps": EPS, **BIAS}),
    "gpt2": ("GPT2Config", ODD_HEADS, [...], [], {
        "n_inner": [None, 50], "layer_norm_epsilon": EPS, "scale_attn_weights": FLAG,
        "scale_attn_by_inverse_layer_idx": FLAG, "activation_function": [..., "gelu", "relu"],
        "tie_word_embeddings": [..., False], "reorder_and_upcast_attn": FLAG}),
    "gpt_neox": ("GPTNeoXConfig", [(66, 3, None, None), (60, 6, None, None)], ROPES, [..., 0.5, 0.4],
                 {**LAYER, **BIAS, "use_parallel_residual": FLAG}),
    "granite": ("GraniteConfig", ANY_HEADS, ROPES, [], {
        **RMS, **BIAS, "mlp_bias": FLAG, "embedding_multiplier": [..., 3.0], "residual_multiplier": [..., 0.3],
        "attention_multiplier": [..., 0.2], "logits_scaling": [..., 4.0]}),
    "nemotron": ("NemotronConfig", ANY_HEADS, ROPES[:3], [..., 0.5, 1.0], {
        "norm_eps": EPS, "hidden_act": [..., "gelu"], **BIAS, "mlp_bias": FLAG, "tie_word_embeddings": FLAG}),
    "olmo": ("OlmoConfig", ANY_HEADS, ROPES, [], {"clip_qkv": [..., None, 0.7], **BIAS, "tie_word_embeddings": FLAG}),
    "olmo2": ("Olmo2Config", ANY_HEADS, ROPES, [], {**RMS, **BIAS}),
    "olmo3": ("Olmo3Config", ANY_HEADS, [...], [], {**RMS, **BIAS, "sliding_window": WINDOW,
                                                    "num_hidden_layers": [4, 5]}),
    "phi": ("PhiConfig", [(60, 6, 3, None), (66, 3, 1, None), (40, 4, 4, None)], ROPES, [..., 0.4], {
        "layer_norm_eps": EPS, "hidden_act": [..., "gelu"], "qk_layernorm": FLAG}),
    "phi3": ("Phi3Config", EQUAL_HEADS, [...], [..., 0.5], {**RMS, "sliding_window": [*WINDOW, None]}),
    "smollm3": ("SmolLM3Config", ANY_HEADS, ROPES, [], {
        **RMS, **BIAS, "mlp_bias": FLAG, "no_rope_layer_interval": [..., 2], "use_sliding_window": FLAG,
        "sliding_window": [*WINDOW, None]}),
    "stablelm": ("StableLmConfig", [(60, 6, 3, None), (66, 3, 1, None), (40, 4, 4, None)], ROPES, [..., 0.4], {
        **LAYER, "use_qkv_bias": FLAG, "qk_layernorm": FLAG, "use_parallel_residual": FLAG}),
    "starcoder2": ("Starcoder2Config", ANY_HEADS, ROPES, [], {
        "norm_epsilon": EPS, "hidden_act": [..., "gelu"], "use_bias": FLAG, "sliding_window": [*WINDOW, None],
        "tie_word_embeddings": [..., False]}),
    "mixtral": ("MixtralConfig", ANY_HEADS, ROPES, [], {
        **RMS, "num_local_experts": [1, 5, 8], "num_experts_per_tok": [1], "sliding_window": [*WINDOW, None, ...]}),
    "mixtral_2": ("MixtralConfig", ANY_HEADS, ROPES, [], {
        **RMS, "num_local_experts": [3, 8], "num_experts_per_tok": [2, 3], "sliding_window": [*WINDOW, None, ...]}),
    "qwen2_moe": ("Qwen2MoeConfig", EQUAL_HEADS, ROPES, [], {
        **RMS, **QWEN_EXPERTS, "shared_expert_intermediate_size": [19, 30], "qkv_bias": [*FLAG, ...],
        "use_sliding_window": FLAG, "sliding_window": WINDOW, "max_window_layers": [0, 1, 2]}),
    "qwen3_moe": ("Qwen3MoeConfig", OWN_HEADS, ROPES, [], {
        **RMS, **BIAS, **QWEN_EXPERTS, "use_sliding_window": FLAG, "sliding_window": WINDOW}),
    "glm4_moe": ("Glm4MoeConfig", OWN_HEADS, ROPES[:3], [..., 0.5, 1.0, 0.75], {
        **RMS, **BIAS, **GROUPED_EXPERTS, "use_qk_norm": FLAG}),
    "gpt_oss": ("GptOssConfig", OWN_HEADS, [..., *ROPES], [], {
        "rms_norm_eps": EPS, "attention_bias": [*FLAG, ...], "sliding_window": WINDOW, "num_local_experts": [4, 6],
        "num_experts_per_tok": [1, 3, ...], "swiglu_limit": [..., 0.5], "swiglu_alpha": [..., 1.2]}),
    "deepseek_v2": ("DeepseekV2Config", LATENT_HEADS, [*ROPES, YARN_MSCALE], [], {
        **LATENT, **GROUPED_EXPERTS, "num_experts_per_tok": [1, 3], "topk_method": ["greedy", "group_limited_greedy"],
        "norm_topk_prob": [...], "mlp_bias": FLAG}),
    "deepseek_v3": ("DeepseekV3Config", LATENT_HEADS, [*ROPES, YARN_MSCALE], [], {
        **LATENT, **GROUPED_EXPERTS, "rope_interleave": [*FLAG, ...], "num_nextn_predict_layers": [0]}),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--each", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for family in given.families or FAMILIES:
        for number in range(given.seed, given.seed + given.each):
            kind, fields = random_fields(family, random.Random(f"{family} {number}"))
            try:
                model, prompts = make(kind, fields, number)
            except Exception as error:  # transformers does not make such a model
                print(family, number, fields, f"{type(error).__name__}: {error}"[:300], flush=True)
                continue
            make_golden.save(model, given.folder / f"{family}-{number}", prompts)


def make(kind: str, fields: dict[str, Any], number: int) -> tuple[Any, list[dict[str, Any]]]:
    """The first model of some seeds that decides every step clearly, or the last one."""
    for seed in range(number * 10, number * 10 + 5):
        model = make_golden.make_model(kind, fields, seed)
        prompts = [make_golden.record(model, 75, num_tokens=6)]
        if prompts[0].pop("margin") >= make_golden.MARGIN:
            break
    return model, prompts


def random_fields(family: str, rng: random.Random) -> tuple[str, dict[str, Any]]:
    """Of a config; a field that the draw leaves out takes its default."""
    kind, all_heads, ropes, shares, traits = FAMILIES[family]
    hidden, heads, kv_heads, head_dim = rng.choice(all_heads)
    fields: dict[str, Any] = {
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": rng.choice([37, 64, 91]),
        "num_hidden_layers": rng.choice([1, 2, 3]),
        "vocab_size": rng.choice([97, 331, 402]),
        "max_position_embeddings": rng.choice([128, 200]),
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    }  # fmt: skip
    if kv_heads is not None:
        fields["num_kv_heads" if kind == "FalconConfig" else "num_key_value_heads"] = kv_heads
    if head_dim is not None:
        fields["head_dim"] = head_dim
    rope = rng.choice(ropes)
    if rope is not ... and rng.random() < 0.8:
        fields["rope_parameters"] = {**rope, "rope_theta": rng.choice([1000.0, 10000.0, 500000.0])}
    share = rng.choice(shares or [...])
    if share is not ...:
        fields.setdefault("rope_parameters", {"rope_type": "default", "rope_theta": 10000.0})
        fields["rope_parameters"]["partial_rotary_factor"] = share
    drawn = {name: rng.choice(choices) for name, choices in traits.items()}
    return kind, fields | {name: value for name, value in drawn.items() if value is not ...}


if __name__ == "__main__":
    main()
