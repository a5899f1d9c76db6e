"""POST /tokenize and POST /detokenize."""

from __future__ import annotations

from penstock.adapters.engine import Engine
from penstock.http.worker_pool import WorkerPool
from penstock.protocol import Limits
from penstock.protocol.tokenize import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse


async def tokenize(request: TokenizeRequest, *, engine: Engine, limits: Limits, pool: WorkerPool) -> TokenizeResponse:
    """The tokens of a text or of a chat, whether or not they fit the context."""
    return await pool.run(_tokenize, request, engine, limits)


async def detokenize(request: DetokenizeRequest, *, engine: Engine, pool: WorkerPool) -> DetokenizeResponse:
    """The text of tokens."""
    return DetokenizeResponse(prompt=await pool.run(engine.detokenize, request.tokens))


def _tokenize(request: TokenizeRequest, engine: Engine, limits: Limits) -> TokenizeResponse:
    request.check()
    adds, prompt = request.add_special_tokens, request.prompt
    if prompt is not None:
        ids = engine.tokenize_text(prompt, add_special_tokens=adds is not False)
    else:
        ids = engine.tokenize_chat(request.to_chat(limits), add_special_tokens=bool(adds))
    names = engine.token_names(ids) if request.return_token_strs else None
    return TokenizeResponse(count=len(ids), max_model_len=engine.max_model_len, tokens=ids, token_strs=names)
