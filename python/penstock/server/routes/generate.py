"""The one road of chats and completions: a checked body in, a delivery that an engine already works for out.

Everything that can be refused is refused here, while the answer's head can still say so.
"""

from __future__ import annotations

from functools import partial

from penstock import _core
from penstock.adapters.engine import Engine, PromptRequest
from penstock.adapters.stream_opening import new_token_limit, open_stream
from penstock.delivery.delivery import Delivery
from penstock.generation import SamplingParams
from penstock.http.request import Request
from penstock.http.worker_pool import WorkerPool
from penstock.server.routes.constraint import constraint
from penstock.server.served_model import ServedModel


async def generate(
    request: PromptRequest, raw_request: Request, *,
    model: ServedModel, sampling: SamplingParams, pool: WorkerPool, grammar_pool: WorkerPool,
    reasoning_field: str = "reasoning_content",
) -> Delivery:  # fmt: skip
    """Reads the prompts, opens a stream and hands the work to the model's engine.

    Args:
        reasoning_field: what an answer calls the model's thinking.

    Raises:
        ApiError: prompts that cannot be continued, or an engine that takes no work.
    """
    model.check_ready()
    model.outlets.catch_up()  # a burst of requests does not hold up the streams that are under way
    engine = model.engine
    engine.check_sampling(sampling)
    whose = f"{raw_request.api_key_id} {request.cache_salt or ''}"  # of a salt's texts no time must tell either
    read = partial(engine.read_prompts, request, tenant=whose)
    prompts = read() if engine.is_quick(request) else await pool.run(read)
    if sampling.bad_words:
        sampling = await pool.run(engine.read_sampling, sampling)
    warn_of_unread(request, raw_request, engine)
    grammar = await constraint(request, engine, is_thinking=prompts[0].is_thinking, pool=grammar_pool)
    max_tokens = new_token_limit(engine, prompts, wanted=sampling.max_tokens, default=request.default_max_tokens)
    asked = request.new_token_limit
    if max_tokens is not None and asked is not None and max_tokens < asked:
        raw_request.warnings.append("max_tokens")  # clamped to the room that is left, or lowered by the server
    if max_tokens != sampling.max_tokens:
        sampling = sampling.with_max_tokens(max_tokens)
    output = request.output_options(
        sampling, tool_format=engine.formats.tool, reasoning_format=engine.formats.reasoning,
        reasoning_field=reasoning_field, is_thinking=prompts[0].is_thinking,
        system_fingerprint=model.system_fingerprint,
    )  # fmt: skip
    is_streamed, response_id = bool(request.stream), _core.mint_id(request.response_id_prefix)
    key = open_stream(
        engine, prompts, sampling,
        dialect=request.dialect, response_id=response_id, model_name=model.name,
        request_id=raw_request.request_id, arrival=raw_request.arrival, is_streamed=is_streamed,
        include_usage=request.include_usage, keep_alive_s=raw_request.keep_alive_s(model.keep_alive_s),
        tenant=raw_request.api_key_id, priority=request.priority or 0, cache_salt=request.cache_salt or "",
        output=output, grammar=grammar,
    )  # fmt: skip
    return model.deliver(key, raw_request, response_id=response_id, is_streamed=is_streamed)


def warn_of_unread(request: PromptRequest, raw_request: Request, engine: Engine) -> None:
    """Names the fields that a prompt's reader cannot act on, but for those that the client has not given itself."""
    if unread := engine.unread_options(request):
        raw_request.warnings += [name for name in unread if name not in request.assumed]
