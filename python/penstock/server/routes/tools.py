"""POST /v1/tools/execute."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from penstock.protocol import ToolExecutionResponse, parse_tool_call
from penstock.server.error_response import create_error_response
from penstock.server.response import JSONResponse

if TYPE_CHECKING:
    from penstock.server.base import BaseInferenceApiServer
    from penstock.server.request import Request


async def execute_tool(server: BaseInferenceApiServer, request: Request) -> ToolExecutionResponse | JSONResponse:
    """Runs the tool that the body names; 404 when there is none of that name."""
    name, arguments = parse_tool_call(await request.body())
    if name not in server.tools:
        message = f"The tool '{name}' does not exist."
        return create_error_response(HTTPStatus.NOT_FOUND, message, request.request_id, param="name")
    result = await server.tools.execute(name, arguments, pool=server.pool)
    return ToolExecutionResponse(name=name, result=result)
