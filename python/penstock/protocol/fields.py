"""Fields of a request that nothing acts on: refused, accepted silently, or named in a warning.

A field that would change the answer is refused, unless its value is null or neutral, that is, asks for what happens
anyway. Every other field (`user`, `metadata`, `store`, `service_tier`, names nobody knows …) is accepted and named, so
that no client believes it was heard.
"""

from __future__ import annotations

import json
import re
from typing import Any

from penstock.abilities import Abilities
from penstock.errors import ApiError
from penstock.protocol.common import GenerationFields

_MAX_WARNINGS = 16
_MAX_NAME_CHARS = 64
_UNPRINTABLE_IN_A_HEADER = re.compile(r"[^A-Za-z0-9_.\-]")

_TEXT_ONLY = {"type": "text"}

#: A field that is not built -> its neutral values, beside null. OpenAI's own, then vLLM's, SGLang's, llama.cpp's.
_NOT_BUILT: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "echo": (False,),
    "best_of": (),  # neutral when it is n
    "repetition_penalty": (1,),
    "repeat_penalty": (1,),
    "length_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "bad_words": ([],),
    "allowed_token_ids": ([],),
    "suppress_tokens": ([],),
    "logits_processors": ([],),
    "custom_logit_processor": (),
    "stop_regex": ("", []),
    "include_stop_str_in_output": (False,),
    "no_stop_trim": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "use_beam_search": (False,),
    "early_stopping": (False,),
    "truncate_prompt_tokens": (),
    "prompt_logprobs": (),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "structured_outputs": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
    "structural_tag": (),
    "json_schema": (),
    "regex": (),
    "ebnf": (),
    "grammar": ("",),
    "typical_p": (1,),
    "tfs_z": (1,),
    "top_a": (0,),
    "top_n_sigma": (-1,),
    "mirostat": (0,),
    "xtc_probability": (0,),
    "dry_multiplier": (0,),
    "dynatemp_range": (0,),
    "kv_transfer_params": (),
    "lora_path": (),
    "max_output_tokens": (),
}

NOT_BUILT_IN_CHAT: dict[str, tuple[Any, ...]] = _NOT_BUILT | {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": (_TEXT_ONLY,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "modalities": (["text"], []),
    "audio": (),
    "web_search_options": (),
    "chat_template": (),
    "add_special_tokens": (False,),
    "separate_reasoning": (False,),
    "thinking_token_budget": (),
    "prompt": (),
    "prompt_embeds": (),
}

NOT_BUILT_IN_COMPLETIONS: dict[str, tuple[Any, ...]] = _NOT_BUILT | {
    "suffix": ("",),
    "logprobs": (False,),
    "response_format": (_TEXT_ONLY,),
    "add_special_tokens": (True,),
    "messages": (),
    "prompt_embeds": (),
}

_HINTS = {"max_output_tokens": "give 'max_tokens'"}


#: What an engine that has an ability reads by itself, from `SamplingParams.extra`.
_FIELDS_OF_ABILITY = {
    "tools": ("tools", "tool_choice", "functions", "function_call", "parallel_tool_calls"),
    "json": ("response_format", "structured_outputs", "json_schema", "guided_json", "guided_regex", "guided_choice"),
    "logprobs": ("logprobs", "top_logprobs", "prompt_logprobs"),
    "penalties": ("presence_penalty", "frequency_penalty", "repetition_penalty"),
    "logit_bias": ("logit_bias",),
    "reasoning": ("reasoning_effort", "separate_reasoning", "thinking_token_budget"),
}


def fields_of(abilities: Abilities) -> frozenset[str]:
    """The fields of a request that an engine with `abilities` reads by itself: not refused, and not checked."""
    known = [name for ability, names in _FIELDS_OF_ABILITY.items() if getattr(abilities, ability) for name in names]
    return abilities.fields.union(known)


def check_fields(
    request: GenerationFields, not_built: dict[str, tuple[Any, ...]], engine_reads: frozenset[str] = frozenset()
) -> list[str]:
    """The names, fit for a header, of fields that are accepted and not acted on. Raises ApiError on one not built.

    Args:
        engine_reads: fields that are the engine's affair (`fields_of`).
    """
    ignored: list[str] = []
    for name, value in (request.model_extra or {}).items():
        if value is None or name in engine_reads:
            continue
        neutral = not_built.get(name)
        if neutral is None:
            if len(ignored) <= _MAX_WARNINGS:
                ignored.append(name)
        elif not _is_neutral(value, neutral if name != "best_of" else (request.n or 1,)):
            raise ApiError("unsupported_parameter", _not_supported(name, neutral), param=name)
    ignored += _ignored_stream_options(request)
    more = ["..."] if len(ignored) > _MAX_WARNINGS else []
    return [_for_header(name) for name in ignored[:_MAX_WARNINGS]] + more


def _not_supported(name: str, neutral: tuple[Any, ...]) -> str:
    """Never a word that another value would do, unless one would: such values are named."""
    if name in _HINTS:
        return f"'{name}' is not supported here; {_HINTS[name]}."
    useful = [json.dumps(value) for value in neutral if value or type(value) in (int, float)]
    other = f", other than {' or '.join(useful)}" if useful else ""
    return f"'{name}' is not supported yet{other}."


def _ignored_stream_options(request: GenerationFields) -> list[str]:
    extra = request.stream_options.model_extra if request.stream_options else None
    return [f"stream_options.{name}" for name, value in (extra or {}).items() if value not in (None, False)]


def _is_neutral(value: Any, neutral: tuple[Any, ...]) -> bool:
    """Equality that keeps JSON's kinds apart: false is not 0, but 0.0 is."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in neutral)


def _for_header(name: str) -> str:
    return _UNPRINTABLE_IN_A_HEADER.sub("?", name[:_MAX_NAME_CHARS])
