"""Golden checkpoints as GGUF files: what llama.cpp's conversion scripts do to a family's tensors and config.

Names of tensors and keys are those of the `gguf` package, which is written by llama.cpp's authors: so what our tables
say is judged by theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from golden import GOLDEN, golden_folder
from safetensors.numpy import load_file

Config = dict[str, Any]
Tensors = Iterator[tuple[str, np.ndarray]]

#: Families by the architecture that GGUF has for them.
ARCHITECTURES = {
    "cohere": "command-r", "cohere2": "cohere2", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2",
    "exaone4": "exaone4", "falcon": "falcon", "gemma": "gemma", "gemma2": "gemma2", "gemma3_text": "gemma3",
    "glm": "chatglm", "glm4": "glm4", "glm4_moe": "glm4moe", "gpt2": "gpt2", "gpt_neox": "gptneox",
    "gpt_oss": "gpt-oss", "granite": "granite", "llama": "llama", "mistral": "llama", "mixtral": "llama",
    "nemotron": "nemotron", "olmo": "olmo", "olmo2": "olmo2", "olmo3": "olmo2", "phi": "phi2", "phi3": "phi3",
    "qwen2": "qwen2", "qwen2_moe": "qwen2moe", "qwen3": "qwen3", "qwen3_moe": "qwen3moe", "smollm3": "smollm3",
    "stablelm": "stablelm", "starcoder2": "starcoder2",
}  # fmt: skip
#: Of which q and k are stored with the numbers of a rotated pair beside each other.
PAIRED = ("llama", "mistral", "mixtral", "granite", "smollm3", "olmo")
#: Of which norm weights are stored with the 1 that they lack.
WHOLE_NORMS = ("gemma", "gemma2", "gemma3_text", "nemotron")
#: Tensors outside the table of names, by what they end with.
OTHER_NAMES = {"self_attn.sinks": "attn_sinks.weight", "gate.e_score_correction_bias": "exp_probs_b.bias"}


def write_gguf(name: str, file: Path, *, quantize: Callable[[str, np.ndarray], Any] | None = None) -> Path:
    """Writes a golden checkpoint.

    Args:
        quantize: ggml's type of a matrix, by its name and numbers; None leaves it in float32.
    """
    folder = golden_folder(name)
    config = json.loads((folder / "config.json").read_text())
    architecture = ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(file, architecture)
    for key, value in keys(config, architecture).items():
        add_key(writer, key if key.startswith("general.") else f"{architecture}.{key}", value)
    add_tokenizer(writer, GOLDEN / "tokenizer", config["vocab_size"])
    for tensor_name, tensor in renamed(config, architecture, read_tensors(folder)):
        kind = quantize(tensor_name, tensor) if quantize and tensor.ndim > 1 else None
        if kind is None:
            writer.add_tensor(tensor_name, np.ascontiguousarray(tensor, np.float32))
        else:
            writer.add_tensor(tensor_name, gguf.quants.quantize(tensor.astype(np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def add_key(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        writer.add_string(key, value)


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    return {
        name: tensor for file in sorted(folder.glob("model*.safetensors")) for name, tensor in load_file(file).items()
    }


# ---- keys


def keys(config: Config, architecture: str) -> Config:
    """Those of the architecture, without its name."""
    heads = config["num_attention_heads"] if "num_attention_heads" in config else config["n_head"]
    hidden = config.get("hidden_size", config.get("n_embd"))
    head_dim = config.get("head_dim") or hidden // heads
    found: Config = {
        "block_count": config.get("num_hidden_layers", config.get("n_layer")),
        "context_length": config.get("max_position_embeddings", config.get("n_positions", 2048)),
        "embedding_length": hidden,
        "feed_forward_length": config.get("intermediate_size") or 4 * hidden,
        "attention.head_count": heads,
        "attention.head_count_kv": config.get("num_key_value_heads") or heads,
    }
    if head_dim * heads != hidden:
        found |= {"attention.key_length": head_dim, "attention.value_length": head_dim}
    for field in ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon", "norm_eps"):
        if field in config:
            kind = "rms_epsilon" if field.startswith("rms") else "epsilon"
            found[f"attention.layer_norm_{kind}"] = config[field]
    found |= rope_keys(config, head_dim)
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        found["attention.sliding_window"] = config["sliding_window"]
        if "layer_types" in config and config["model_type"] in ("olmo3", "exaone4"):
            found["attention.sliding_window_pattern"] = [each == "sliding_attention" for each in config["layer_types"]]
    found |= OWN_KEYS.get(config["model_type"], lambda _: {})(config)
    return {key: value for key, value in found.items() if value is not None}


def rope_keys(config: Config, head_dim: int) -> Config:
    table = config.get("rope_parameters") or {}
    sliding, table = table.get("sliding_attention", {}), table.get("full_attention", table)
    found: Config = {"rope.freq_base": table.get("rope_theta")}
    if "rope_theta" in sliding and config["model_type"] == "gemma3_text":
        found["rope.freq_base_swa"] = sliding["rope_theta"]
    if "partial_rotary_factor" in table:
        found["rope.dimension_count"] = int(table["partial_rotary_factor"] * head_dim)
    if table.get("rope_type") in ("linear", "yarn"):
        found |= {"rope.scaling.type": table["rope_type"], "rope.scaling.factor": table["factor"]}
    if table.get("rope_type") == "yarn":
        found["rope.scaling.original_context_length"] = table["original_max_position_embeddings"]
        found |= {f"rope.scaling.yarn_{key}": table[key] for key in ("beta_fast", "beta_slow") if key in table}
        if table.get("mscale_all_dim"):
            found["rope.scaling.yarn_log_multiplier"] = 0.1 * table["mscale_all_dim"]
    return found


def expert_keys(config: Config) -> Config:
    count = config.get("num_local_experts") or config.get("num_experts") or config.get("n_routed_experts")
    return {
        "expert_count": count,
        "expert_used_count": config["num_experts_per_tok"],
        "expert_feed_forward_length": config.get("moe_intermediate_size"),
    }


def gemma_keys(config: Config) -> Config:
    """The scale has no key in files of these families, but of others; the golden checkpoints' is their own."""
    return {
        "attention.key_length": config["head_dim"],
        "attention.value_length": config["head_dim"],
        "attention.scale": config.get("query_pre_attn_scalar", config["head_dim"]) ** -0.5,
        "attn_logit_softcapping": config.get("attn_logit_softcapping"),
        "final_logit_softcapping": config.get("final_logit_softcapping"),
    }


def deepseek_keys(config: Config) -> Config:
    return expert_keys(config) | {
        "attention.head_count_kv": 1,
        "attention.q_lora_rank": config["q_lora_rank"],
        "attention.kv_lora_rank": config["kv_lora_rank"],
        "attention.key_length": config["kv_lora_rank"] + config["qk_rope_head_dim"],
        "attention.value_length": config["kv_lora_rank"],
        "attention.key_length_mla": config["qk_nope_head_dim"] + config["qk_rope_head_dim"],
        "attention.value_length_mla": config["v_head_dim"],
        "attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
        "rope.dimension_count": config["qk_rope_head_dim"],
        "expert_gating_func": 2 if config["model_type"] == "deepseek_v3" else 1,
        "expert_group_count": config.get("n_group"),
        "expert_group_used_count": config.get("topk_group"),
        "expert_shared_count": config["n_shared_experts"],
        "expert_weights_norm": bool(config.get("norm_topk_prob")),
        "expert_weights_scale": config["routed_scaling_factor"],
        "leading_dense_block_count": config["first_k_dense_replace"],
    }


def glm4_moe_keys(config: Config) -> Config:
    return expert_keys(config) | {
        "expert_gating_func": 2,
        "expert_group_count": config.get("n_group"),
        "expert_group_used_count": config.get("topk_group"),
        "expert_shared_count": config["n_shared_experts"],
        "expert_weights_norm": config["norm_topk_prob"],
        "expert_weights_scale": config["routed_scaling_factor"],
        "leading_dense_block_count": config["first_k_dense_replace"],
    }


def longrope_keys(config: Config) -> Config:
    return {"rope.scaling.original_context_length": config["original_max_position_embeddings"]}


OWN_KEYS: dict[str, Callable[[Config], Config]] = {
    "cohere": lambda config: {"logit_scale": config["logit_scale"]},
    "cohere2": lambda config: {"logit_scale": config["logit_scale"]},
    "deepseek_v2": deepseek_keys,
    "deepseek_v3": deepseek_keys,
    "falcon": lambda config: {
        "attention.head_count_kv": config["num_kv_heads"] if config["new_decoder_architecture"] else 1,
        "feed_forward_length": config.get("ffn_hidden_size") or 4 * config["hidden_size"],
        "context_length": 2048,
    },
    "gemma": gemma_keys,
    "gemma2": gemma_keys,
    "gemma3_text": gemma_keys,
    "glm4_moe": glm4_moe_keys,
    "gpt2": lambda config: {"feed_forward_length": config.get("n_inner") or 4 * config["n_embd"]},
    "gpt_neox": lambda config: {"use_parallel_residual": config["use_parallel_residual"]},
    "gpt_oss": lambda config: expert_keys(config) | {"expert_feed_forward_length": config["intermediate_size"]},
    "granite": lambda config: {
        "attention.scale": config["attention_multiplier"],
        "embedding_scale": config["embedding_multiplier"],
        "residual_scale": config["residual_multiplier"],
        "logit_scale": config["logits_scaling"],
    },
    "mixtral": expert_keys,
    "olmo": lambda config: {"attention.layer_norm_epsilon": 1e-5, "attention.clamp_kqv": config.get("clip_qkv")},
    "phi3": longrope_keys,
    "qwen2_moe": lambda config: (
        expert_keys(config) | {"expert_shared_feed_forward_length": config["shared_expert_intermediate_size"]}
    ),
    "qwen3_moe": expert_keys,
}


# ---- tensors


def renamed(config: Config, architecture: str, tensors: dict[str, np.ndarray]) -> Tensors:
    kind = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, config.get("num_hidden_layers", config.get("n_layer")))
    for name, tensor in merged(config, tensors):
        ending = next((ending for ending in OTHER_NAMES if name.endswith(ending)), None)
        if ending is not None:
            yield f"blk.{layer_of(name)}.{OTHER_NAMES[ending]}", tensor
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert found is not None, name
        yield found, changed(config, name, tensor)
    yield from rope_tensors(config)


def layer_of(name: str) -> int:
    return int(re.findall(r"\.(\d+)\.", name)[0])


def changed(config: Config, name: str, tensor: np.ndarray) -> np.ndarray:
    """A tensor as the conversion leaves it."""
    kind, heads = config["model_type"], config.get("num_attention_heads", 0)
    if kind in PAIRED and ".self_attn." in name and ("q_proj" in name or "k_proj" in name):
        num_heads = heads if "q_proj" in name else config["num_key_value_heads"]
        halves = tensor.reshape(num_heads, 2, len(tensor) // num_heads // 2, *tensor.shape[1:])
        return halves.swapaxes(1, 2).reshape(tensor.shape)
    if kind in WHOLE_NORMS and name.endswith("norm.weight"):
        return tensor + np.float32(1)
    if kind == "gpt2" and re.search(r"c_(attn|proj|fc)\.weight$", name):
        return tensor.T
    if "query_key_value" in name:
        return unwoven(config, tensor)
    return tensor


def unwoven(config: Config, tensor: np.ndarray) -> np.ndarray:
    """All queries, all keys, all values, of a tensor that has them group by group."""
    heads = config["num_attention_heads"]
    groups = heads
    if config["model_type"] == "falcon":
        groups = config["num_kv_heads"] if config["new_decoder_architecture"] else 1
    head_dim = config["hidden_size"] // heads
    woven = tensor.reshape(groups, heads // groups + 2, head_dim, *tensor.shape[1:])
    parts = woven[:, :-2], woven[:, -2:-1], woven[:, -1:]
    return np.concatenate([part.reshape(-1, *tensor.shape[1:]) for part in parts])


def merged(config: Config, tensors: dict[str, np.ndarray]) -> Tensors:
    """What GGUF has in one tensor put together, and what it has in several taken apart."""
    stacks: dict[str, dict[int, np.ndarray]] = {}
    for name, tensor in tensors.items():
        if match := re.match(r"(.*(?:\.experts|norms))\.(\d+)\.(.*)", name):
            whole = f"{match[1]}.{match[3]}".replace(".norms.", ".")
            stacks.setdefault(whole, {})[int(match[2])] = tensor
        elif name.endswith("experts.gate_up_proj"):
            yield from taken_apart(config, name, tensor, "weight")
        elif name.endswith("experts.gate_up_proj_bias"):
            yield from taken_apart(config, name, tensor, "bias")
        elif name.endswith(("experts.down_proj", "experts.down_proj_bias")):
            stem, is_bias = name.removesuffix("_bias"), name.endswith("_bias")
            is_transposed = config["model_type"] == "gpt_oss" and not is_bias
            yield f"{stem}.{'bias' if is_bias else 'weight'}", tensor.swapaxes(1, 2) if is_transposed else tensor
        elif name.endswith("kv_b_proj.weight"):
            sizes = config["qk_nope_head_dim"], config["v_head_dim"]
            heads = tensor.reshape(config["num_attention_heads"], sum(sizes), -1)
            yield name.replace("kv_b_proj", "k_b_proj"), heads[:, : sizes[0]].swapaxes(1, 2)
            yield name.replace("kv_b_proj", "v_b_proj"), heads[:, sizes[0] :]
        else:
            yield name, tensor
    for name, parts in stacks.items():
        is_mixtral = "block_sparse_moe" in name
        whole = name.replace("model.", "").replace("block_sparse_moe", "feed_forward") if is_mixtral else name
        yield whole, np.stack([parts[number] for number in sorted(parts)])


def taken_apart(config: Config, name: str, tensor: np.ndarray, kind: str) -> Tensors:
    """Gate and up of all experts."""
    stem = name[: name.index("gate_up_proj")]
    if config["model_type"] == "gpt_oss":
        rows = tensor if kind == "bias" else tensor.swapaxes(1, 2)
        gate, up = rows[:, ::2], rows[:, 1::2]
    else:
        gate, up = np.split(tensor, 2, axis=1)
    yield f"{stem}gate_proj.{kind}", gate
    yield f"{stem}up_proj.{kind}", up


def rope_tensors(config: Config) -> Tensors:
    table = config.get("rope_parameters") or {}
    if table.get("rope_type") == "longrope":
        for length in ("long", "short"):
            yield f"rope_factors_{length}.weight", np.array(table[f"{length}_factor"], np.float32)
    if table.get("rope_type") != "llama3":
        return
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = table["rope_theta"] ** -(np.arange(0, head_dim, 2) / head_dim)
    turns = table["original_max_position_embeddings"] * frequencies / (2 * np.pi)
    low, high = table["low_freq_factor"], table["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    yield "rope_freqs.weight", (1 / ((1 - kept) / table["factor"] + kept)).astype(np.float32)


# ---- tokenizer


def add_tokenizer(writer: gguf.GGUFWriter, folder: Path, num_tokens: int) -> None:
    """The tokenizer that all golden checkpoints share, cut or padded to the model's vocabulary."""
    model = json.loads((folder / "tokenizer.json").read_text())
    config = json.loads((folder / "tokenizer_config.json").read_text())
    texts = {index: token for token, index in model["model"]["vocab"].items()}
    types = dict.fromkeys(texts, gguf.TokenType.NORMAL)
    for token in model["added_tokens"]:
        texts[token["id"]] = token["content"]
        types[token["id"]] = gguf.TokenType.CONTROL if token["special"] else gguf.TokenType.USER_DEFINED
    ids = range(num_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([texts.get(index, f"[PAD{index}]") for index in ids])
    writer.add_token_types([types.get(index, gguf.TokenType.UNUSED) for index in ids])
    writer.add_token_merges([" ".join(pair) for pair in model["model"]["merges"]])
    special = {token["content"]: token["id"] for token in model["added_tokens"]}
    for part, add in (("bos", writer.add_bos_token_id), ("eos", writer.add_eos_token_id)):
        if special[config[f"{part}_token"]] < num_tokens:
            add(special[config[f"{part}_token"]])
    if "chat_template" in config:
        writer.add_chat_template(config["chat_template"])
