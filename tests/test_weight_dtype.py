"""`--weight-dtype` where no kernel knows it: refused with what stands in its way, before anything is loaded."""

from typing import Any

import jax
import pytest

from penstock.checkpoint import inspect_checkpoint
from penstock.config import Settings
from penstock.demo import model_path
from penstock.engine import EngineOptions
from penstock.engine.plan import packed_formats
from penstock.errors import ConfigError
from penstock.preflight import inspect_model


@pytest.mark.parametrize(
    ("settings", "obstacle"),
    [({"tensor_parallel_size": 2}, "--tensor-parallel-size 2"), ({"cpu_kernels": "off"}, "--cpu-kernels on")],
)
def test_a_start_without_its_kernels_is_refused(settings: dict[str, Any], obstacle: str) -> None:
    with pytest.raises(ConfigError, match=f"--weight-dtype int8 .*{obstacle}"):
        inspect_model(Settings(weight_dtype="int8", **settings))


def test_an_engine_without_its_kernels_refuses() -> None:
    options = EngineOptions(weight_dtype="int4", cpu_kernels=False)
    with pytest.raises(ConfigError, match="--weight-dtype int4 needs the kernels"):
        packed_formats(inspect_checkpoint(model_path()), options, device=jax.devices()[0])
