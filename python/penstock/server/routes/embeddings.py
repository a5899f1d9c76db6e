"""POST /v1/embeddings: prompts through the engine's batch, their hidden states pooled, no token made."""

from __future__ import annotations

from penstock import _core
from penstock.adapters.pooled import embed_prompts
from penstock.http.request import Request
from penstock.http.response import JSONResponse
from penstock.http.worker_pool import WorkerPool
from penstock.pooling import PooledVectors
from penstock.protocol.embeddings import EmbeddingRequest, no_embeddings, write_embeddings
from penstock.server.served_model import ServedModel


async def embeddings(
    request: EmbeddingRequest, raw_request: Request, *, model: ServedModel, pool: WorkerPool
) -> JSONResponse:
    """Reads the inputs, has the engine pool them, and writes the vectors.

    Raises:
        ApiError: inputs that the model cannot read, a model that makes no embeddings, an engine that takes no work or
            fails.
    """
    model.check_ready()
    engine, config = model.engine, model.engine.pooling
    if config is None:
        raise no_embeddings()
    request.check_dimensions(config.size)
    prompts = await pool.run(engine.read_inputs, request)
    num_tokens = [prompt.num_tokens for prompt in prompts]
    vectors = PooledVectors(num_tokens, config)
    await embed_prompts(
        engine, prompts, vectors,
        response_id=_core.mint_id("embd-"), model_name=model.name, request_id=raw_request.request_id,
        arrival=raw_request.arrival, tenant=raw_request.api_key_id,
    )  # fmt: skip

    def write() -> bytes:
        return write_embeddings(
            vectors.embeddings(config, num_dimensions=request.dimensions),
            model=model.name, num_tokens=sum(num_tokens), as_base64=request.encoding_format == "base64",
        )  # fmt: skip

    return JSONResponse(await pool.run(write))
