"""Configs of every family become the specs that transformers means by them."""

import pytest

from penstock.errors import ModelError
from penstock.layers.rope_spec import RopeSpec
from penstock.layers.spec import NormSpec
from penstock.models.registry import FAMILIES, find_family
from penstock.models.tree import layer_leaves, top_leaves

INF, NAN = float("inf"), float("nan")
BASE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 2,
    "vocab_size": 100,
}


def spec_of(architecture: str, **fields):
    config = {"architectures": [architecture], **BASE, **fields}
    family = find_family(config)
    return family.spec(family.reader(config))


def attention_of(architecture: str, **fields):
    """Of a model whose layers are all alike."""
    (layer,) = set(spec_of(architecture, **fields).layers)
    return layer.attention


def windows_of(architecture: str, **fields):
    return tuple(layer.attention.window for layer in spec_of(architecture, **fields).layers)


def test_defaults_are_those_of_transformers():
    spec = spec_of("LlamaForCausalLM")
    assert (spec.final_norm.eps, spec.is_tied, spec.num_layers) == (1e-6, False, 3)
    attention = attention_of("LlamaForCausalLM")
    assert (attention.head_dim, attention.scores.scale, attention.rope) == (16, 16**-0.5, RopeSpec(10000.0))
    assert attention_of("LlamaForCausalLM", num_key_value_heads=None).num_kv_heads == 4
    assert attention_of("Qwen3ForCausalLM").head_dim == 128
    assert attention_of("Qwen3ForCausalLM", rms_norm_eps=1e-5).qk_norm == NormSpec(1e-5)
    assert windows_of("MistralForCausalLM") == (4096,) * 3


def test_a_head_size_of_its_own_does_not_ask_for_one_that_divides():
    """Qwen 3 with 20 heads of 128 over a width of 100: 5 is odd, and nobody's head size."""
    assert attention_of("Qwen3ForCausalLM", hidden_size=100, num_attention_heads=20).head_dim == 128


def test_biases_follow_the_config_or_the_family():
    for architecture, biases in {
        "LlamaForCausalLM": (True, True, True),
        "MistralForCausalLM": (False, False, False),
        "Qwen2ForCausalLM": (True, False, False),
        "Qwen3ForCausalLM": (True, True, False),
    }.items():
        (layer,) = set(spec_of(architecture, attention_bias=True, mlp_bias=True).layers)
        got = layer.attention.has_qkv_bias, layer.attention.has_o_bias, layer.feed_forward.has_bias
        assert got == biases, architecture


@pytest.mark.parametrize(
    ("fields", "windows"),
    [
        ({"sliding_window": 8}, (None, None, None)),
        ({"sliding_window": 8, "use_sliding_window": False}, (None, None, None)),
        ({"sliding_window": None, "use_sliding_window": True}, (None, None, None)),
        ({"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1}, (None, 8, 8)),
        (
            {
                "sliding_window": 8,
                "use_sliding_window": True,
                "layer_types": ["sliding_attention", "full_attention", "full_attention"],
            },
            (8, None, None),
        ),
    ],
)
def test_qwen_windows_are_on_only_where_asked_for(fields: dict, windows: tuple):
    assert windows_of("Qwen2ForCausalLM", **fields) == windows
    assert windows_of("Qwen3ForCausalLM", **fields) == windows


def test_a_null_window_of_mistral_is_none():
    assert windows_of("MistralForCausalLM", sliding_window=None) == (None,) * 3


LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}


@pytest.mark.parametrize(
    ("published", "saved", "rope"),
    [
        ({"rope_theta": 5e5}, {"rope_type": "default", "rope_theta": 5e5}, RopeSpec(5e5)),
        (
            {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}},
            {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5},
            RopeSpec(5e5, "linear", 2.0),
        ),
        (
            {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
            {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3},
            RopeSpec(5e5, "llama3", 8.0, 1.0, 4.0, 32),
        ),
    ],
)
def test_both_spellings_of_rope(published: dict, saved: dict, rope: RopeSpec):
    assert attention_of("LlamaForCausalLM", **published).rope == rope
    assert attention_of("LlamaForCausalLM", rope_parameters=saved).rope == rope


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "rope type 'dynamic'"),
        ({"rope_scaling": {"rope_type": "longrope", "short_factor": [], "long_factor": []}}, "rope type 'longrope'"),
        ({"num_attention_heads": 10**9, "head_dim": 1}, "num_attention_heads must be a positive integer up to 65536"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor must be a positive number"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "one flat object"),
        ({"hidden_size": None}, "hidden_size must be a positive integer, found None"),
        ({"vocab_size": "many"}, "vocab_size must be a positive integer, found 'many'"),
        ({"hidden_act": "mish"}, "hidden_act 'mish'"),
        ({"hidden_act": "xielu"}, "hidden_act 'xielu'"),
        ({"hidden_act": ["silu"]}, "hidden_act \\['silu'\\]"),
        ({"rope_theta": 0}, "rope_theta must be a positive number, found 0"),
        ({"rope_theta": 1e-300}, "rope_theta must be a positive number, found 1e-300"),  # 0 in float32
        ({"num_key_value_heads": 3}, "4 attention heads .* 3 key-value heads"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings must be true or false"),
        ({"architectures": ["MambaForCausalLM"]}, "architecture MambaForCausalLM is not supported"),
        ({"architectures": None, "model_type": "mamba"}, "architecture mamba is not supported"),
        ({"architectures": None, "model_type": {"a": 1}}, "architecture {'a': 1} is not supported"),
        ({"architectures": []}, "architecture none is not supported"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(fields: dict, message: str):
    with pytest.raises(ModelError, match=message):
        spec_of("LlamaForCausalLM", **fields)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_every_leaf_has_names_in_every_family(family):
    spec = spec_of(family.architecture, attention_bias=True, mlp_bias=True, num_experts_per_tok=2)
    assert {leaf.name for leaf in top_leaves(spec)} <= set(family.top_tensors)
    assert {leaf.name for leaf in layer_leaves(spec, 0)} <= set(family.layer_tensors(family.reader(BASE)))
    assert find_family({"model_type": family.model_type}) is family


def test_rope_scaling_goes_before_rope_parameters_as_in_transformers():
    linear = {"rope_type": "linear", "factor": 2.5}
    both = {"rope_scaling": linear, "rope_parameters": {"rope_type": "default", "rope_theta": 500.0}, "rope_theta": 7.0}
    assert attention_of("LlamaForCausalLM", **both).rope == RopeSpec(7.0, "linear", 2.5)
    assert attention_of("LlamaForCausalLM", **both | {"rope_scaling": {}}).rope == RopeSpec(500.0)


WRONG = ([[1]], {"a": {"b": 1}}, [None], True, "x", -1, 10**400, INF, NAN)
NAMES = ("architectures", "head_dim", "hidden_size", "max_window_layers", "layer_types", "num_hidden_layers")
NUMBERS = ("rms_norm_eps", "rope_theta", "rope_scaling")


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in NAMES + NUMBERS for value in WRONG]
    + [(name, value) for name in NAMES for value in (1.5, 10**25)],
)
def test_a_field_of_any_wrong_kind_is_refused_in_a_sentence(name: str, value):
    with pytest.raises(ModelError) as refused:
        spec_of("Qwen2ForCausalLM", use_sliding_window=True, **{name: value})
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "fields",
    [{"partial_rotary_factor": 0.5}, {"rope_scaling": {"type": "linear", "factor": 2, "partial_rotary_factor": 0.5}}],
)
def test_rotation_of_a_part_of_the_head_is_refused(fields: dict):
    with pytest.raises(ModelError, match=r"partial_rotary_factor 0\.5 is not supported"):
        spec_of("LlamaForCausalLM", **fields)


def ropes_of(architecture: str, **fields):
    return tuple(layer.attention.rope for layer in spec_of(architecture, **fields).layers)


def rotated(architecture: str, **fields) -> list[bool]:
    return [rope is not None for rope in ropes_of(architecture, **fields)]


def test_a_layer_has_rope_only_where_its_family_says_so():
    assert rotated("SmolLM3ForCausalLM", no_rope_layers=[1, 0, 1, 0]) == [True, False, True]
    assert rotated("Cohere2ForCausalLM", sliding_window_pattern=2) == [True, False, True]
    assert rotated("Exaone4ForCausalLM", sliding_window_pattern="LG") == [True, False, True]
    assert None not in ropes_of("Exaone4ForCausalLM", sliding_window=None, sliding_window_pattern=0)
    assert set(ropes_of("GPT2LMHeadModel", n_embd=65, n_head=5, n_layer=2, n_positions=32)) == {None}


def test_full_and_windowed_layers_each_have_the_base_of_their_kind():
    thetas = {"rope_theta": 5e6, "rope_local_base_freq": 777.0, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}
    sliding, full = RopeSpec(777.0), RopeSpec(5e6, "linear", 8.0)
    assert ropes_of("Gemma3ForCausalLM", sliding_window_pattern=3, **thetas) == (sliding, sliding, full)
    assert ropes_of("Gemma3ForCausalLM", num_hidden_layers=6)[4:] == (RopeSpec(1e4), RopeSpec(1e6))
    saved = {"full_attention": {"rope_theta": 5e6, "rope_type": "linear", "factor": 8.0},
             "sliding_attention": {"rope_theta": 777.0}}  # fmt: skip
    assert ropes_of("Gemma3ForCausalLM", sliding_window_pattern=3, rope_parameters=saved) == (sliding, sliding, full)


def test_a_soft_cap_that_is_null_is_none_and_an_absent_one_the_familys():
    for given, want in (
        ({}, (50.0, 30.0)),
        ({"attn_logit_softcapping": None, "final_logit_softcapping": None}, (None,) * 2),
    ):
        spec = spec_of("Gemma2ForCausalLM", **given)
        assert (spec.layers[0].attention.soft_cap, spec.logit_soft_cap) == want


def test_mistral_reads_no_layer_types():
    types = ["full_attention"] * 3
    assert windows_of("MistralForCausalLM", sliding_window=8, layer_types=types) == (8, 8, 8)


@pytest.mark.parametrize(
    ("architecture", "fields", "message"),
    [
        ("FalconForCausalLM", {"alibi": True}, "alibi is not supported"),
        ("GPT2LMHeadModel", {"add_cross_attention": True}, "add_cross_attention is not supported"),
        ("GemmaForCausalLM", {"use_bidirectional_attention": True}, "use_bidirectional_attention is not supported"),
        ("GPT2LMHeadModel", {"n_layer": "many", "num_hidden_layers": None}, "n_layer must be a positive integer"),
        ("SmolLM3ForCausalLM", {"no_rope_layers": [1]}, "no_rope_layers must be 0 or 1 for each layer"),
        ("Phi3ForCausalLM", {"rope_scaling": {"type": "su", "short_factor": [1], "long_factor": [1]}},
         "short_factor must be a list of 8 numbers"),
        ("LlamaForCausalLM", {"rope_scaling": {"type": "yarn"}, "rope_theta": 1}, "rope_theta must be above 1"),
        ("LlamaForCausalLM", {"head_dim": 15}, "expected an even head size for rotary positions, found 15"),
        ("DeepseekV3ForCausalLM", {"rope_scaling": {"rope_type": "longrope", "short_factor": [], "long_factor": []}},
         "rope type 'longrope' is not supported"),
        ("GlmForCausalLM", {"partial_rotary_factor": 1.5}, "rotates 192 numbers"),
        ("Olmo3ForCausalLM", {"rope_parameters": {"rope_theta": 1e4}}, "an object for each kind of attention"),
    ],
)  # fmt: skip
def test_what_a_family_cannot_do_is_refused_by_the_fields_name(architecture: str, fields: dict, message: str):
    with pytest.raises(ModelError, match=message):
        spec_of(architecture, **fields)


@pytest.mark.parametrize("num_kv_heads", [1, 2])
def test_a_norm_for_each_head_is_stored_head_by_head_even_where_there_is_one(num_kv_heads: int):
    config = {
        "architectures": ["StableLmForCausalLM"],
        **BASE,
        "num_key_value_heads": num_kv_heads,
        "qk_layernorm": True,
    }
    family = find_family(config)
    reader = family.reader(config)
    leaf = next(leaf for leaf in layer_leaves(family.spec(reader), 0) if leaf.name == "k_norm")
    assert leaf.stored_shapes(family.layer_tensors(reader)["k_norm"]) == ((16,),) * num_kv_heads
