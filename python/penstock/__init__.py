"""Penstock: an OpenAI-compatible inference server with a Rust edge and a JAX engine.

Importing the package loads nothing; its public names load what they need when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.abilities import Abilities
    from penstock.adapters.base import InferenceEngineAdapter, ReturnSample
    from penstock.adapters.jax_engine import JaxEngine
    from penstock.config import Settings
    from penstock.errors import ApiError, ConfigError, ModelError, PenstockError
    from penstock.generation import FinishReason, SamplingParams
    from penstock.http.endpoint import EndpointConfig
    from penstock.http.error_response import create_error_response
    from penstock.http.request import Request
    from penstock.http.response import JSONResponse, Response, StreamingResponse
    from penstock.protocol import (
        ChatCompletionRequest,
        ChatCompletionResponse,
        ChatCompletionResponseChoice,
        ChatCompletionStreamResponse,
        ChatCompletionStreamResponseChoice,
        ChatMessage,
        CompletionRequest,
        CompletionResponse,
        CompletionResponseChoice,
        CompletionStreamResponse,
        CompletionStreamResponseChoice,
        DeltaFunctionCall,
        DeltaMessage,
        DeltaToolCall,
        ErrorResponse,
        FunctionCall,
        FunctionCallFormat,
        FunctionDefinition,
        ToolCall,
        ToolDefinition,
        UsageInfo,
    )
    from penstock.server.app import PenstockServer
    from penstock.server.base import BaseInferenceApiServer
    from penstock.server.status import ServerMetrics, ServerStatus

__all__ = [
    "Abilities",
    "ApiError",
    "BaseInferenceApiServer",
    "ChatCompletionRequest",
    "ChatCompletionResponse",
    "ChatCompletionResponseChoice",
    "ChatCompletionStreamResponse",
    "ChatCompletionStreamResponseChoice",
    "ChatMessage",
    "CompletionRequest",
    "CompletionResponse",
    "CompletionResponseChoice",
    "CompletionStreamResponse",
    "CompletionStreamResponseChoice",
    "ConfigError",
    "DeltaFunctionCall",
    "DeltaMessage",
    "DeltaToolCall",
    "EndpointConfig",
    "ErrorResponse",
    "FinishReason",
    "FunctionCall",
    "FunctionCallFormat",
    "FunctionDefinition",
    "InferenceEngineAdapter",
    "JSONResponse",
    "JaxEngine",
    "ModelError",
    "PenstockError",
    "PenstockServer",
    "Request",
    "Response",
    "ReturnSample",
    "SamplingParams",
    "ServerMetrics",
    "ServerStatus",
    "Settings",
    "StreamingResponse",
    "ToolCall",
    "ToolDefinition",
    "UsageInfo",
    "create_error_response",
]

_HOMES = {
    "abilities": ("Abilities",),
    "adapters.base": ("InferenceEngineAdapter", "ReturnSample"),
    "adapters.jax_engine": ("JaxEngine",),
    "config": ("Settings",),
    "errors": ("ApiError", "ConfigError", "ModelError", "PenstockError"),
    "generation": ("FinishReason", "SamplingParams"),
    "protocol": (
        "ChatCompletionRequest",
        "ChatCompletionResponse",
        "ChatCompletionResponseChoice",
        "ChatCompletionStreamResponse",
        "ChatCompletionStreamResponseChoice",
        "ChatMessage",
        "CompletionRequest",
        "CompletionResponse",
        "CompletionResponseChoice",
        "CompletionStreamResponse",
        "CompletionStreamResponseChoice",
        "DeltaFunctionCall",
        "DeltaMessage",
        "DeltaToolCall",
        "ErrorResponse",
        "FunctionCall",
        "FunctionCallFormat",
        "FunctionDefinition",
        "ToolCall",
        "ToolDefinition",
        "UsageInfo",
    ),
    "server.app": ("PenstockServer",),
    "server.base": ("BaseInferenceApiServer",),
    "http.endpoint": ("EndpointConfig",),
    "http.error_response": ("create_error_response",),
    "http.request": ("Request",),
    "http.response": ("JSONResponse", "Response", "StreamingResponse"),
    "server.status": ("ServerMetrics", "ServerStatus"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, from its home (PEP 562)."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
