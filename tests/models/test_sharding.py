"""What of a decoder each device gets, and what is refused: judged by plain indexing of the whole."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from penstock.errors import ConfigError
from penstock.layers.spec import AttentionSpec, MlpSpec, NormSpec
from penstock.models.sharding import mesh_axes, rows_of_shard, shard_of
from penstock.models.spec import DecoderSpec, LayerSpec
from penstock.models.tree import num_parameters, top_leaves


def decoder(*, num_heads: int = 4, num_kv_heads: int = 2, columns: int = 12, vocab_size: int = 64) -> DecoderSpec:
    attention = AttentionSpec(num_heads, num_kv_heads, 8, None, has_qkv_bias=True, has_o_bias=True)
    layer = LayerSpec(attention, MlpSpec(columns, has_bias=True), NormSpec(1e-5))
    return DecoderSpec(vocab_size, 32, (layer, layer), NormSpec(1e-5))


@pytest.mark.parametrize(("num_heads", "num_shards", "size"), [*product((1, 2, 3, 4, 8, 12), (1, 2, 4, 8), (1, 3))])
def test_rows_of_a_shard_are_whole_heads_in_order(num_heads: int, num_shards: int, size: int):
    if num_heads % num_shards and num_shards % num_heads:
        pytest.skip("refused before")
    owned, sharing = max(num_heads // num_shards, 1), max(num_shards // num_heads, 1)
    for shard in range(num_shards):
        heads = np.arange(num_heads * size)[rows_of_shard(num_heads * size, owned * size, shard, num_shards)]
        first = shard // sharing * owned
        assert heads.tolist() == list(range(first * size, (first + owned) * size))


def test_one_device_has_the_decoder_as_it_is():
    spec = decoder()
    assert shard_of(spec, 1) is spec


def test_a_shard_is_a_smaller_decoder():
    shard = shard_of(decoder(), 2)
    layer = shard.layers[0]
    assert (layer.attention.num_heads, layer.attention.num_kv_heads, layer.feed_forward.size) == (2, 1, 6)
    assert layer.cache.num_heads == 1
    assert [leaf.shape for leaf in top_leaves(shard)] == [(32, 32), (32,), (32, 32)]
    assert shard.vocab_size == 64
    assert shard.layers[0] is shard.layers[1]


def test_what_is_split_is_held_once_and_the_rest_by_all():
    """Twice a shard's numbers are the whole's and, once more, those of norms and of biases after a sum."""
    whole, shard = decoder(), shard_of(decoder(), 2)
    copied = 32 + 2 * (2 * 32 + 2 * 32)
    assert 2 * num_parameters(shard) == num_parameters(whole) + copied


def test_devices_beyond_the_key_value_heads_share_them():
    attention = shard_of(decoder(), 4).layers[0].attention
    assert (attention.num_heads, attention.num_kv_heads, attention.num_groups) == (1, 1, 1)
    attention = shard_of(decoder(num_heads=8, num_kv_heads=1), 2).layers[0].attention
    assert (attention.num_heads, attention.num_kv_heads) == (4, 1)


def test_a_vocabulary_that_cannot_be_divided_is_held_whole():
    shard = shard_of(decoder(vocab_size=65), 2)
    embed, *_ = top_leaves(shard)
    assert embed.shape == (65, 32)
    assert not any(mesh_axes(embed.axes))
    assert shard.vocab_axis is None


@pytest.mark.parametrize(
    ("spec", "num_devices", "words"),
    [
        (decoder(), 3, "--tensor-parallel-size 3 .* num_attention_heads, 4"),
        (decoder(num_heads=12, num_kv_heads=6), 4, "--tensor-parallel-size 4 .* num_key_value_heads, 6"),
        (decoder(columns=13), 2, "--tensor-parallel-size 2 .* intermediate_size, 13"),
    ],
)
def test_what_cannot_be_divided_is_refused_by_name(spec: DecoderSpec, num_devices: int, words: str):
    with pytest.raises(ConfigError, match=words):
        shard_of(spec, num_devices)


def test_layers_of_several_kinds_are_each_divided():
    spec = decoder()
    other = replace(spec.layers[0], feed_forward=MlpSpec(20))
    shard = shard_of(replace(spec, layers=(spec.layers[0], other)), 2)
    assert [layer.feed_forward.size for layer in shard.layers] == [6, 10]
