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
from penstock.protocol.anthropic import CountTokensRequest, MessagesChat, MessagesRequest
from penstock.protocol.chat import ChatCompletionRequest
from penstock.protocol.common import GenerationBody, GenerationFields, Limits, Parsed, StreamOptions
from penstock.protocol.completions import CompletionRequest
from penstock.protocol.errors import ErrorResponse
from penstock.protocol.fields import fields_of
from penstock.protocol.messages import ChatMessage, FunctionCall, ToolCall
from penstock.protocol.models import ModelFormats, ModelList, ModelObject, ModelSamplingDefaults, capabilities_of
from penstock.protocol.responses import ResponsesChat, ResponsesRequest
from penstock.protocol.sampling import sampling_params
from penstock.protocol.structured import StructuredOutput, structured_output
from penstock.protocol.tokenize import DetokenizeRequest, TokenizeRequest
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
    "CountTokensRequest",
    "DeltaFunctionCall",
    "DeltaMessage",
    "DeltaToolCall",
    "DetokenizeRequest",
    "ErrorResponse",
    "FinishReasonName",
    "FunctionCall",
    "FunctionCallFormat",
    "FunctionDefinition",
    "GenerationBody",
    "GenerationFields",
    "Limits",
    "MessagesChat",
    "MessagesRequest",
    "ModelFormats",
    "ModelList",
    "ModelObject",
    "ModelSamplingDefaults",
    "Parsed",
    "ResponsesChat",
    "ResponsesRequest",
    "StreamOptions",
    "StructuredOutput",
    "TokenizeRequest",
    "ToolCall",
    "ToolDefinition",
    "ToolExecutionRequest",
    "ToolExecutionResponse",
    "ToolList",
    "ToolUse",
    "UsageInfo",
    "capabilities_of",
    "fields_of",
    "parse_chat",
    "parse_completion",
    "parse_tool_call",
    "sampling_params",
    "structured_output",
]
