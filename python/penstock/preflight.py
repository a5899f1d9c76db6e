"""Everything about a start that can be checked without JAX, in a fraction of a second: model, tokenizer, port.

`penstock serve` asks before it starts anything; a worker asks again and builds on the answer.
"""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.config import Settings
from penstock.errors import ConfigError
from penstock.life.port_claim import PortClaim

if TYPE_CHECKING:
    from penstock.checkpoint import Checkpoint
    from penstock.models.spec import DecoderSpec
    from penstock.prompt import PromptEncoder

logger = logging.getLogger("penstock.preflight")

ECHO_MODEL_NAME = "echo"

#: Of any platform, in tokens.
_SMALLEST_PAGE_TOKENS = 16
#: One that is kept out of use, and one for a sequence.
_LEAST_PAGES = 2


@dataclass(frozen=True, slots=True)
class Inspected:
    """A model that can be served, as far as its files tell.

    Attributes:
        name: the id that clients send as `model`.
        prompt: its templates and tokenizer.
        checkpoint: its weights' description; None for the echo engine, which has none.
    """

    name: str
    prompt: PromptEncoder
    checkpoint: Checkpoint | None


def inspect_model(settings: Settings) -> Inspected:
    """Looks at the model that `settings` name, and at nothing else of the machine.

    Raises:
        ModelError: the folder cannot be served.
        ConfigError: a setting does not fit the model.
    """
    from penstock import demo
    from penstock.prompt import PromptEncoder, choose_formats

    formats = {"tool": settings.tool_format, "reasoning": settings.reasoning_format}
    folder = settings.model or demo.model_path()
    if settings.engine == "echo":
        prompt = PromptEncoder.load(folder)
        choose_formats(prompt, **formats)
        return Inspected(name=settings.model_name or ECHO_MODEL_NAME, prompt=prompt, checkpoint=None)

    from penstock.checkpoint import inspect_checkpoint, model_name
    from penstock.models.sharding import shard_of

    checkpoint = inspect_checkpoint(folder)
    _check_isa(settings)
    _check_weight_dtype(settings)
    limit = checkpoint.max_position_embeddings
    if settings.max_model_len is not None and settings.max_model_len > limit:
        raise ConfigError(
            f"--max-model-len {settings.max_model_len} should be at most {limit}, the model's max_position_embeddings."
        )
    _check_cache_memory(settings, shard_of(checkpoint.spec, settings.tensor_parallel_size))
    prompt = PromptEncoder.load(folder, vocab_size=checkpoint.vocab_size)
    choose_formats(prompt, **formats)
    own_name = demo.MODEL_NAME if settings.model is None else model_name(folder)
    return Inspected(name=settings.model_name or own_name, prompt=prompt, checkpoint=checkpoint)


def _check_isa(settings: Settings) -> None:
    from penstock._core import kernel_isa

    try:
        kernel_isa(settings.cpu_isa)
    except ValueError as error:
        raise ConfigError(f"--cpu-isa {settings.cpu_isa} cannot be used: {error}.") from None


def _check_weight_dtype(settings: Settings) -> None:
    """Whether the kernels that know it are used; whether the machine is a CPU only is the engine's to say."""
    if settings.weight_dtype is None:
        return
    if settings.tensor_parallel_size > 1:
        raise ConfigError(
            f"--weight-dtype {settings.weight_dtype} is for one device, not for --tensor-parallel-size "
            f"{settings.tensor_parallel_size}."
        )
    if settings.cpu_kernels == "off":
        raise ConfigError(f"--weight-dtype {settings.weight_dtype} needs the CPU's kernels: --cpu-kernels on.")


def _check_cache_memory(settings: Settings, spec: DecoderSpec) -> None:
    """Refuses a cache that is too small on every platform; what fits on this one is the engine's to say."""
    dtype = settings.dtype if settings.kv_cache_dtype == "auto" else settings.kv_cache_dtype
    num_bytes = 4 if dtype == "float32" else 2
    numbers = sum(layer.cache.numbers_per_token for layer in spec.layers)
    least = _LEAST_PAGES * _SMALLEST_PAGE_TOKENS * numbers * num_bytes
    if settings.kv_cache_memory is not None and settings.kv_cache_memory < least:
        raise ConfigError(
            f"--kv-cache-memory {settings.kv_cache_memory} should be at least {least} bytes, {_LEAST_PAGES} pages of "
            f"{_SMALLEST_PAGE_TOKENS} tokens."
        )


def check(settings: Settings) -> PortClaim:
    """What must hold before a server is started: a model that can be served, and a port that is now ours.

    Raises:
        ModelError, ConfigError: it does not; one sentence says what.
    """
    inspect_model(settings)
    claim = PortClaim(settings.host, settings.port)
    if not settings.api_key and not ipaddress.ip_address(claim.address.partition("%")[0]).is_loopback:
        logger.warning(
            "Binding %s without an API key: anyone who reaches port %d can use this server (see --api-key)",
            settings.host,
            settings.port,
        )
    return claim
