"""OutputOptions: how an answer is to look. What of a request only its way out reads, and no engine."""

from __future__ import annotations

from dataclasses import dataclass

#: Likeliest tokens that can be told with each token.
MAX_LOGPROBS = 20


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """What of a generation is shown, and what is told beside it. As it is by default, an answer is plain text.

    Attributes:
        logprobs: likeliest tokens that are told with each token's log probability, 0 to `MAX_LOGPROBS`; None: no log
            probabilities. The engine must be asked for them, too (`SamplingParams.logprobs`, `prompt_logprobs`).
        prompt_logprobs: the same with each token of the prompt, in a field of its own of a plain answer (vLLM's).
        echo: the prompt stands before its answers.
        include_stop_str: the stop string or stop token that ended a choice is part of its text.
        skip_special_tokens: special tokens are no part of the text.
        return_token_ids: the ids of prompt and tokens are told.
        tool_format: by which the model writes tool calls, a name of `_core.TOOL_FORMATS`.
        tools: the request's tools, as JSON; None: there are none, and no call is looked for.
        parallel_tool_calls: more than one call may be told.
        old_function_call: a call is told as OpenAI's older `function_call`.
        reasoning_format: by which the model writes its thoughts, a name of `_core.REASONING_FORMATS`.
        begins_in_reasoning: the prompt has begun a thought already.
        include_reasoning: thoughts are told.
        reasoning_field: what they are called: "reasoning_content" or "reasoning".
        continuous_usage: every event tells the usage so far.
        system_fingerprint: told in every event and body.
        dialect_options: JSON that only the dialect reads.
        cache_report: it is told how much of each prompt a cache had, and why no more.
        num_best: of each prompt's choices, how many of the likeliest are shown, in a plain answer; None: all.
    """

    logprobs: int | None = None
    prompt_logprobs: int | None = None
    echo: bool = False
    include_stop_str: bool = False
    skip_special_tokens: bool = True
    return_token_ids: bool = False
    tool_format: str | None = None
    tools: bytes | None = None
    parallel_tool_calls: bool = True
    old_function_call: bool = False
    reasoning_format: str | None = None
    begins_in_reasoning: bool = False
    include_reasoning: bool = True
    reasoning_field: str = "reasoning_content"
    continuous_usage: bool = False
    system_fingerprint: str | None = None
    dialect_options: bytes | None = None
    num_best: int | None = None
    cache_report: bool = False


#: Of a request that asks for nothing special.
PLAIN_OUTPUT = OutputOptions()
