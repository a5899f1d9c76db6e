"""POST /tokenize and POST /detokenize."""

from __future__ import annotations

from penstock.adapters.engine import Engine
from penstock.http.request import Request
from penstock.http.worker_pool import WorkerPool
from penstock.protocol.tokenize import DetokenizeRequest, DetokenizeResponse, TokenizeRequest, TokenizeResponse
from penstock.server.routes.generate import warn_of_unread


async def tokenize(
    request: TokenizeRequest, raw_request: Request, *, engine: Engine, pool: WorkerPool
) -> TokenizeResponse:
    """The tokens of a text or of a chat, whether or not they fit the context."""
    if request.chat is not None:
        warn_of_unread(request.chat, raw_request, engine)
    return await pool.run(_tokenize, request, engine)


async def detokenize(request: DetokenizeRequest, *, engine: Engine, pool: WorkerPool) -> DetokenizeResponse:
    """The text of tokens."""
    return DetokenizeResponse(prompt=await pool.run(engine.detokenize, request.tokens))


def _tokenize(request: TokenizeRequest, engine: Engine) -> TokenizeResponse:
    adds = request.add_special_tokens
    if request.chat is not None:
        ids = engine.tokenize_chat(request.chat, add_special_tokens=bool(adds))
    else:
        ids = engine.tokenize_text(request.prompt or "", add_special_tokens=adds is not False)
    names = engine.token_names(ids) if request.return_token_strs else None
    return TokenizeResponse(count=len(ids), max_model_len=engine.max_model_len, tokens=ids, token_strs=names)
