"""A request's body as a pydantic model: by the model's own door where it has one, else by the model alone."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from penstock.http.request import Request
from penstock.http.worker_pool import WorkerPool
from penstock.protocol import Limits, Parsed
from penstock.protocol.common import RequestBody
from penstock.protocol.parse import read

#: Below this, parsing takes less than handing it to a thread and back.
_PARSE_ON_LOOP_BYTES = 64 * 1024


async def read_body(model: type[BaseModel], request: Request, *, limits: Limits, pool: WorkerPool) -> BaseModel:
    """The body of `request` as `model`; notes the names of fields that nothing acts on.

    Raises:
        ApiError: with `param`, on anything wrong.
    """
    body = await request.body()
    if len(body) < _PARSE_ON_LOOP_BYTES:
        parsed = _parse(model, body, limits)
    else:
        parsed = await pool.run(_parse, model, body, limits)
    request.warnings = parsed.warnings
    checked: BaseModel = parsed.request
    return checked


def _parse(model: type[BaseModel], body: bytes, limits: Limits) -> Parsed[Any]:
    if issubclass(model, RequestBody):
        return model.parse(body, limits)
    request: Any = read(model, body, limits)
    return Parsed(request, [])
