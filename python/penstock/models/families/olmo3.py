"""OLMo 3: OLMo 2 with a sliding window on three layers of four; only the full ones stretch their rope."""

from __future__ import annotations

from dataclasses import replace

from penstock.models.families import build, olmo2
from penstock.models.hf_config import HfConfig
from penstock.models.hf_rope import read_rope, rope_tables
from penstock.models.spec import DecoderSpec, windowed


def spec(config: HfConfig) -> DecoderSpec:
    """Olmo3Config of transformers 5, where the base of layers with a window is in `rope_parameters` alone."""
    sliding, full = (read_rope(config, table=table) for table in rope_tables(config, theta=5e5, sliding_theta=5e5))
    each = olmo2.layer(config, full)
    windows = config.windows(config.sliding_window(), full_every=4)
    layers = windowed(each, windows, replace(each, attention=replace(each.attention, rope=sliding)))
    return build.decoder(config, layers, each.norm)
