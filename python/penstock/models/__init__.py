"""One decoder, described by a spec; families as data.

A model is a `DecoderSpec`: a sequence of `LayerSpec`, each with an attention, a feed-forward, norms and a cache of its
own. What is added where:

- **A family** whose layers exist: a file in `families/` (its config → `DecoderSpec`, the names of its tensors), a row
  in `registry.py`, a golden checkpoint in `tests/parity`. A config field that is new is read in `hf_config.py`.
- **A trait of attention or MLP** (another rope, a scale, a bias, an activation): a field of the spec in
  `penstock.layers.spec`, with its leaves, and the lines of `penstock.layers` that act on it.
- **Another kind of feed-forward or attention**: as `MoeSpec` beside `MlpSpec` (`layers/moe_spec.py`, `layers/moe.py`)
  and `LatentAttentionSpec` beside `AttentionSpec`: a spec with `leaves()`, a function in a file of `penstock.layers`,
  the union in `spec.py`, and the choice by type in `decoder.py`. An attention's `cache` says what is kept of a token,
  an implementation of `PagedAttention` how that lies in pages.
- **Another way of choosing experts**: a field of `RouterSpec` and its lines in `route`.
- **Another way of storing a leaf** (experts in one tensor or each in its own, packed numbers): a field of `Stored` in
  `penstock.layers.leaf`, its shapes in `LeafSpec.stored_shapes`, its reading in `penstock.weights`.
- **A group of pages of its own** comes with a window: layers of the same window share a block table and pages.
  `DecoderSpec.page_groups` tells which there are and what each still reads; `penstock.engine.page_plan` how many pages
  each gets.
- **A fused matrix that can be split over devices**: `fused_projection` of `penstock.layers.leaf`, its parts beside each
  other for every head (`qkv [D, K, (G + 2) * H]`, split along K) or for every column (`gate_up [D, 2, F]`, along F).
  What each axis counts is said with the leaf (`axes`), what each device gets by the spec's `shard`, and sums over heads
  or columns that devices share go through `linear_reduced` (`penstock.models.sharding`).

`spec`, `tree`, `sharding`, `hf_config` and `registry` import no jax.
"""
