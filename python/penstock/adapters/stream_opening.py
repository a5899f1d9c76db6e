"""The one place where a hub's stream is opened, and its work handed to the engine: for clients and for `generate()`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from operator import attrgetter

from penstock import _core
from penstock.adapters.engine import Engine
from penstock.errors import ApiError
from penstock.generation import GenerationRequest, GrammarSpec, Prompt, SamplingParams
from penstock.output_options import PLAIN_OUTPUT, OutputOptions
from penstock.pooling import PooledVectors
from penstock.prompt import clamp_max_tokens

#: What a hub can be told of a limit.
_MAX_TOKENS_SHOWN = 2**32 - 1
#: Of the prompts of one request; each is some 40 bytes of its answer.
_MAX_PROMPT_LOGPROBS = 2_000_000
_num_tokens = attrgetter("num_tokens")


def open_stream(
    engine: Engine, prompts: tuple[Prompt, ...], sampling: SamplingParams, *,
    dialect: str, response_id: str, model_name: str, request_id: str, arrival: float, is_streamed: bool,
    include_usage: bool = False, keep_alive_s: float | None = None, tenant: str = "",
    priority: int = 0, cache_salt: str = "",
    output: OutputOptions = PLAIN_OUTPUT, grammar: GrammarSpec | None = None, vectors: PooledVectors | None = None,
) -> int:  # fmt: skip
    """The key of a stream that the engine works for. To be followed (`Outlets.follow`) before the loop's next turn.

    Args:
        sampling: `max_tokens` as `new_token_limit` gives it.
        dialect, response_id, model_name, include_usage, keep_alive_s: as of `_core.Opening`.
        request_id: of the log, and of errors.
        arrival: when the request came, in seconds of `time.monotonic()`.
        tenant, priority, cache_salt: as of `GenerationRequest`.
        output: how the answer is to look.
        grammar: what may be written.
        vectors: takes embeddings in place of tokens.

    Raises:
        ApiError: the engine takes no work, or the answer would be too large; no stream is left then.
    """
    _check_size(prompts, sampling, output)
    num_computed = sampling.num_computed
    opening = _core.Opening(
        dialect=dialect, response_id=response_id, model=model_name, created=int(time.time()), is_streamed=is_streamed,
        num_choices=len(prompts) * num_computed, choices_per_prompt=num_computed,
        include_usage=include_usage, stop=list(sampling.stop), stop_token_ids=list(sampling.stop_token_ids),
        prompt_tokens=sum(map(_num_tokens, prompts)),
        max_tokens=min(sampling.max_tokens or 0, _MAX_TOKENS_SHOWN), keep_alive_s=keep_alive_s,
        request_id=request_id, arrival=arrival, prompts=_shown_prompts(prompts, output),
        output=None if output is PLAIN_OUTPUT else output,
    )  # fmt: skip
    stream_key = engine.hub.open(opening)
    try:
        request = GenerationRequest(
            stream_key, prompts, sampling, request_id,
            tenant=tenant, priority=priority, cache_salt=cache_salt, wants_cache_report=output.cache_report,
            is_streamed=is_streamed, grammar=grammar, vectors=vectors,
        )  # fmt: skip
        engine.submit(request)
    except BaseException:
        engine.hub.withdraw(stream_key)
        raise
    return stream_key


def _shown_prompts(prompts: tuple[Prompt, ...], output: OutputOptions) -> list[tuple[list[int], str | None]]:
    """The prompts themselves, where the answer tells of them. One without ids belongs to an engine that shows it
    itself."""
    if not (output.echo or output.return_token_ids or output.prompt_logprobs is not None):
        return []
    return [(list(prompt.ids), prompt.text) for prompt in prompts if prompt.ids is not None]


def _check_size(prompts: tuple[Prompt, ...], sampling: SamplingParams, output: OutputOptions) -> None:
    num_top = output.logprobs if output.echo else output.prompt_logprobs
    if num_top is None:
        return
    num_logprobs = sum(map(_num_tokens, prompts)) * sampling.n * (num_top + 1)
    if num_logprobs > _MAX_PROMPT_LOGPROBS:
        param = "logprobs" if output.echo else "prompt_logprobs"
        problem = (
            f"The prompts, 'n' and '{param}' ask for {num_logprobs} log-probabilities of prompts; the limit is"
            f" {_MAX_PROMPT_LOGPROBS}."
        )
        raise ApiError("invalid_value", problem, param=param)


def new_token_limit(
    engine: Engine, prompts: Sequence[Prompt], *, wanted: int | None, default: int | None = None
) -> int | None:
    """New tokens per choice, within what the longest prompt leaves of the context; None where nobody sets a limit.

    Args:
        wanted: what was asked for; default: what its request gets that asked for nothing.
    """
    if engine.max_model_len is None:
        return default if wanted is None else wanted
    longest = max(map(_num_tokens, prompts))
    return clamp_max_tokens(wanted, num_prompt_tokens=longest, max_model_len=engine.max_model_len, default=default)
