"""The closed set of programs: which there are, for which shapes, and what is packed for each.

Every shape that the runner can emit is enumerated here, so that all are compiled before the engine is ready.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from penstock.engine.interface import MAX_TABLE_CHANGES_PER_ROW, Capacity
from penstock.engine.packing import Layout
from penstock.engine.row_parameters import ROW_SIZE, Variant
from penstock.engine.token_rules import NUM_COUNTED, NUM_RECENT, num_mask_words, rules_layout
from penstock.layers.attention import PagedAttention
from penstock.models.spec import DecoderSpec


@dataclass(frozen=True, slots=True)
class ProgramConfig:
    """What all programs of one engine share. Static: part of every program's identity.

    Attributes:
        spec: of the model, or of a device's shard of it.
        dtype: of weights and hidden states.
        kv_dtype: of the KV cache, where a layer names none.
        num_pages: of each page group, with page 0.
        num_slots: without the padding row.
        is_dynamic: trip counts may depend on data (CPU).
        compiler_options: XLA's.
        num_devices: that run the programs together.
        mixed_tokens: of a span that rows decode beside in one program; 0: none does.
        kernels: their version and instruction set, where there are any.
    """

    spec: DecoderSpec
    attention: PagedAttention
    dtype: Any
    kv_dtype: Any
    num_pages: tuple[int, ...]
    num_slots: int
    pages_per_sequence: int
    is_dynamic: bool
    compiler_options: tuple[tuple[str, str | int], ...] = ()
    num_devices: int = 1
    mixed_tokens: int = 0
    kernels: str = ""

    @property
    def num_page_groups(self) -> int:
        """Block tables per sequence."""
        return len(self.num_pages)

    @property
    def no_table_entry(self) -> int:
        """The number behind the last entry of the block tables, for changes that are none."""
        return self.num_page_groups * (self.num_slots + 1) * self.pages_per_sequence

    @property
    def num_mask_words(self) -> int:
        """Of a row's mask, a bit for each token."""
        return num_mask_words(self.spec.vocab_size)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Of each program that samples. Where trip counts may depend on data, branches leave out what no row uses, and
        one program serves all."""
        return (Variant.FULL,) if self.is_dynamic else tuple(Variant)


@dataclass(frozen=True, slots=True)
class ProgramKey:
    """Names one program.

    Attributes:
        kind: "fresh", "rules", "score", "prefill", "head", "sample", "advance", "mixed" or "decode".
        size: prefill and score: tokens; head: 1; sample, advance, mixed and decode: rows.
        num_steps: decode: tokens per row.
        variant: sample and decode: how much of the sampler it has.
    """

    kind: str
    size: int = 0
    num_steps: int = 1
    variant: Variant = Variant.FULL

    def __str__(self) -> str:
        size = f"{self.size}x{self.num_steps}" if self.kind == "decode" else str(self.size)
        return f"{self.kind}[{size}{'' if self.variant is Variant.FULL else f', {self.variant.name.lower()}'}]"


#: Positions of a prompt whose logits exist at once: one shape of "score" for spans of every length.
SCORE_BLOCK = 64


def num_score_blocks(num_tokens: int) -> int:
    """Of a span of so many tokens."""
    return -(-num_tokens // SCORE_BLOCK)


def prefill_buckets(max_prefill_tokens: int) -> tuple[int, ...]:
    """Span lengths: doubling from 16, the longest being exactly `max_prefill_tokens`."""
    return _doubling(16, max_prefill_tokens, factor=2)


def decode_buckets(num_slots: int) -> tuple[int, ...]:
    """Row counts: 1, then 4 and doubling. (Two rows cost as much as four on CPU, and little less elsewhere.)"""
    return (1,) if num_slots == 1 else (1, *_doubling(4, num_slots, factor=2))


def sample_buckets(num_slots: int) -> tuple[int, ...]:
    """Row counts of samplers that are programs of their own: 1, then 8 and fourfold. Compiling the sampler takes longer
    than compiling a small model, running it on rows of padding is little beside the model."""
    return (1,) if num_slots == 1 else (1, *_doubling(8, num_slots, factor=4))


def span_sizes(max_prefill_tokens: int, config: ProgramConfig) -> tuple[int, ...]:
    """Tokens of prefill programs. Kernels leave padding out, so half as many do."""
    sizes = prefill_buckets(max_prefill_tokens)
    return sizes[::-1][::2][::-1] if config.kernels else sizes


def row_counts(config: ProgramConfig) -> tuple[int, ...]:
    """Rows of programs that decode. Kernels leave padding out, so as many do as there are samplers."""
    return sample_buckets(config.num_slots) if config.kernels else decode_buckets(config.num_slots)


def _doubling(first: int, last: int, *, factor: int) -> tuple[int, ...]:
    sizes = []
    while first < last:
        sizes.append(first)
        first *= factor
    return (*sizes, last)


def is_split(num_steps: int, config: ProgramConfig) -> bool:
    """Decode is two programs, "advance" and "sample": where a dispatch is cheap and a sampler with its branches is slow
    to compile, so that fewer samplers than row counts are wanted. Several tokens per row need one program."""
    return config.is_dynamic and num_steps == 1


def program_keys(capacity: Capacity, config: ProgramConfig) -> list[ProgramKey]:
    """Every program, smallest first."""
    keys = [ProgramKey("fresh"), ProgramKey("rules"), ProgramKey("head", 1), ProgramKey("score", SCORE_BLOCK)]
    keys += [ProgramKey("prefill", size) for size in span_sizes(capacity.max_prefill_tokens, config)]
    shapes: list[tuple[str, int, int]] = []
    samples: tuple[int, ...] = (1,)
    for num_steps in sorted({1, capacity.tokens_per_dispatch}):
        if is_split(num_steps, config):
            samples = sample_buckets(config.num_slots)
            keys += [ProgramKey("advance", size) for size in row_counts(config)]
            keys += [ProgramKey("mixed", size) for size in samples if config.mixed_tokens]
        else:
            shapes += [("decode", size, num_steps) for size in row_counts(config)]
    shapes += [("sample", size, 1) for size in samples]
    keys += [ProgramKey(*shape, variant) for shape in shapes for variant in config.variants]
    return sorted(keys, key=lambda key: key.size * key.num_steps)


def span_layout(num_tokens: int, config: ProgramConfig) -> Layout:
    """The packed array of a prefill program.

    Parts: slot; num_tokens that are real; start, the first one's position; yields, a `Yields`; is_join; params, of a
    `Join`; num_generated and recent, of the tokens that it has made already; entries and pages of block-table changes,
    as `change_tables` takes them; tokens.
    """
    num_changes = config.num_page_groups * config.pages_per_sequence
    return Layout.of(
        slot=1, num_tokens=1, start=1, yields=1, is_join=1,
        params=ROW_SIZE, num_generated=1, recent=NUM_RECENT, entries=num_changes, pages=num_changes, tokens=num_tokens,
    )  # fmt: skip


def sample_layout(num_rows: int) -> Layout:
    """The packed array of a sample program. Parts: slots, `num_slots` for padding; has_masks."""
    return Layout.of(slots=num_rows, has_masks=1)


def decode_layout(num_rows: int, config: ProgramConfig) -> Layout:
    """The packed array of a decode program. Parts: slots, `num_slots` for padding; has_masks; entries and pages, as
    above."""
    num_changes = num_rows * config.num_page_groups * MAX_TABLE_CHANGES_PER_ROW
    return Layout.of(slots=num_rows, has_masks=1, entries=num_changes, pages=num_changes)


def mixed_layouts(num_rows: int, config: ProgramConfig) -> tuple[Layout, Layout, Layout]:
    """The packed array of a mixed program, whose parts span and decode are those of a prefill's and of a decode's, and
    the layouts of these two."""
    span, decode = span_layout(config.mixed_tokens, config), decode_layout(num_rows, config)
    return Layout.of(span=span.num_words, decode=decode.num_words), span, decode


def join_layout(config: ProgramConfig) -> Layout:
    """The packed array of the program that takes rules down. Parts: slot; is_first, where the slot's tokens are counted
    anew; made, tokens to be counted, -1 for none; words, of `pack_rules`."""
    return Layout.of(slot=1, is_first=1, made=NUM_COUNTED, words=rules_layout(config.spec.vocab_size).num_words)
