"""The wire: what clients send and what lists say, as pydantic models. No engine, no tokenizer, no HTTP here."""

from penstock.protocol.answers import (
    ChatCompletionResponse,
    ChatCompletionResponseChoice,
    ChatCompletionStreamResponse,
    ChatCompletionStreamResponseChoice,
    CompletionResponse,
    CompletionResponseChoice,
    CompletionStreamResponse,
    CompletionStreamResponseChoice,
    DeltaFunctionCall,
    DeltaMessage,
    DeltaToolCall,
    FinishReasonName,
    UsageInfo,
)
from penstock.protocol.chat import ChatCompletionRequest
from penstock.protocol.common import GenerationFields, Limits, Parsed, StreamOptions
from penstock.protocol.completions import CompletionRequest
from penstock.protocol.errors import ErrorResponse
from penstock.protocol.fields import fields_of
from penstock.protocol.messages import ChatMessage, FunctionCall, ToolCall
from penstock.protocol.models import ModelCapabilities, ModelList, ModelObject, ModelSamplingDefaults
from penstock.protocol.sampling import sampling_params
from penstock.protocol.tool_use import ToolUse
from penstock.protocol.tools import (
    FunctionCallFormat,
    FunctionDefinition,
    ToolDefinition,
    ToolExecutionRequest,
    ToolExecutionResponse,
    ToolList,
    parse_tool_call,
)

parse_chat = ChatCompletionRequest.parse
parse_completion = CompletionRequest.parse

__all__ = [
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
    "FinishReasonName",
    "FunctionCall",
    "FunctionCallFormat",
    "FunctionDefinition",
    "GenerationFields",
    "Limits",
    "ModelCapabilities",
    "ModelList",
    "ModelObject",
    "ModelSamplingDefaults",
    "Parsed",
    "StreamOptions",
    "ToolCall",
    "ToolDefinition",
    "ToolExecutionRequest",
    "ToolExecutionResponse",
    "ToolList",
    "ToolUse",
    "UsageInfo",
    "fields_of",
    "parse_chat",
    "parse_completion",
    "parse_tool_call",
    "sampling_params",
]
