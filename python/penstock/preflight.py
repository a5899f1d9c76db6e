"""Everything about a start that can be checked without JAX, in a fraction of a second: model folder, tokenizer, port.

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
    from penstock.prompt import PromptEncoder

logger = logging.getLogger("penstock.preflight")

ECHO_MODEL_NAME = "echo"


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
    from penstock.prompt import PromptEncoder

    folder = settings.model or demo.model_path()
    if settings.engine == "echo":
        prompt = PromptEncoder.load(folder)
        return Inspected(name=settings.model_name or ECHO_MODEL_NAME, prompt=prompt, checkpoint=None)

    from penstock.checkpoint import inspect_checkpoint

    checkpoint = inspect_checkpoint(folder)
    limit = checkpoint.max_position_embeddings
    if settings.max_model_len is not None and settings.max_model_len > limit:
        raise ConfigError(
            f"--max-model-len {settings.max_model_len} should be at most {limit}, the model's max_position_embeddings."
        )
    prompt = PromptEncoder.load(folder, vocab_size=checkpoint.vocab_size)
    own_name = demo.MODEL_NAME if settings.model is None else folder.resolve().name
    return Inspected(name=settings.model_name or own_name, prompt=prompt, checkpoint=checkpoint)


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
