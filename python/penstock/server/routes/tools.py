"""POST /v1/tools/execute."""

from __future__ import annotations

from http import HTTPStatus

from penstock.http.error_response import create_error_response
from penstock.http.request import Request
from penstock.http.response import JSONResponse
from penstock.protocol import ToolExecutionRequest, ToolExecutionResponse
from penstock.server.tools import ToolRegistry


async def execute_tool(
    tools: ToolRegistry, request: ToolExecutionRequest, raw_request: Request
) -> ToolExecutionResponse | JSONResponse:
    """Runs the tool that the body names; 404 when there is none of that name."""
    name, arguments = request.name, request.arguments_object()
    if name not in tools:
        message = f"The tool '{name}' does not exist."
        return create_error_response(HTTPStatus.NOT_FOUND, message, raw_request.request_id, param="name")
    result = await tools.execute(name, arguments)
    return ToolExecutionResponse(name=name, result=result)
