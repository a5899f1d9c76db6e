"""Fields of a request that not every engine, or nothing, acts on: refused, accepted silently, or named in a warning.

A field that would change the answer is refused, unless its value is null or neutral, that is, asks for what happens
anyway. Every other field (`user`, `store`, `service_tier`, names nobody knows …) is accepted and named, so that no
client believes it was heard; a strict server refuses it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from penstock.abilities import Abilities
from penstock.errors import ApiError
from penstock.protocol.common import GenerationFields, Limits

_MAX_WARNINGS = 16
_MAX_NAME_CHARS = 64
_UNPRINTABLE_IN_A_HEADER = re.compile(r"[^A-Za-z0-9_.\-]")

#: A field that is not built -> its neutral values, beside null. OpenAI's own, then vLLM's, SGLang's, llama.cpp's.
_NOT_BUILT: dict[str, tuple[Any, ...]] = {
    "suffix": ("",),
    "repeat_penalty": (1,),
    "length_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "suppress_tokens": ([],),
    "logits_processors": ([],),
    "custom_logit_processor": (),
    "stop_regex": ("", []),
    "no_stop_trim": (False,),
    "use_beam_search": (False,),
    "early_stopping": (False,),
    "return_tokens_as_token_ids": (False,),
    "guided_whitespace_pattern": (),
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
    "prompt_embeds": (),
}

NOT_BUILT_IN_CHAT: dict[str, tuple[Any, ...]] = _NOT_BUILT | {
    "echo": (False,),
    "best_of": (1,),
    "modalities": (["text"], []),
    "audio": (),
    "web_search_options": (),
    "chat_template": (),
    "prompt": (),
}

NOT_BUILT_IN_COMPLETIONS: dict[str, tuple[Any, ...]] = _NOT_BUILT | {
    "messages": (),
}

_REASONS = {
    "max_output_tokens": "is not supported here; give 'max_tokens'",
    "suffix": "is not supported: this model does not fill in the middle",
}

#: An ability -> the fields that engines act on which have it -> their neutral values, beside null.
BY_ABILITY: dict[str, dict[str, tuple[Any, ...]]] = {
    "penalties": {"presence_penalty": (0,), "frequency_penalty": (0,), "repetition_penalty": (1,)},
    "logit_bias": {"logit_bias": ({},), "allowed_token_ids": ([],), "bad_words": ([],)},
    "logprobs": {
        "logprobs": (False,),
        "top_logprobs": (0,),
        "prompt_logprobs": (),
        "best_of": (),  # neutral when it is n
    },
    "token_prompts": {"truncate_prompt_tokens": (), "add_special_tokens": ()},  # neutral when it is the endpoint's own
    "token_output": {
        "echo": (False,),
        "include_stop_str_in_output": (False,),
        "skip_special_tokens": (True,),
        "return_token_ids": (False,),
    },
    "json": {
        "response_format": ({"type": "text"},),
        "structured_outputs": ({},),
        "guided_json": (),
        "guided_regex": (),
        "guided_choice": (),
        "guided_grammar": (),
        "json_schema": (),
        "regex": (),
        "ebnf": (),
        "grammar": ("",),
        "structural_tag": (),
    },
    "reasoning": {"thinking_token_budget": ()},
    "scheduling": {"priority": (0,), "cache_salt": (), "return_cache_report": (False,)},
    "tools": {
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "functions": ([],),
        "function_call": ("none", "auto"),
        "parallel_tool_calls": (True, False),
    },
}

#: What a foreign engine that has an ability reads from `SamplingParams.extra`, though no endpoint declares it.
_READ_FROM_EXTRA = {
    "reasoning": ("reasoning_effort", "separate_reasoning"),
}

_DEPENDENT = {name: neutral for fields in BY_ABILITY.values() for name, neutral in fields.items()}
_DEPENDENT_NAMES = frozenset(_DEPENDENT)

#: Fields that change nothing here -> values that ask for nothing, which a strict server lets pass.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "user": (),
    "metadata": ({},),
    "store": (False,),
    "service_tier": ("auto", "default"),
    "verbosity": ("medium",),
    "prediction": (),
    "prompt_cache_key": (),
    "prompt_cache_retention": (),
    "safety_identifier": (),
    "spaces_between_special_tokens": (True, False),
}


def fields_of(abilities: Abilities) -> frozenset[str]:
    """The fields of a request that an engine with `abilities` acts on: they are not refused, and go to it."""
    names = set(abilities.fields)
    for table in (BY_ABILITY, _READ_FROM_EXTRA):
        for ability, fields in table.items():
            if getattr(abilities, ability):
                names.update(fields)
    return frozenset(names)


def check_fields(request: GenerationFields, not_built: dict[str, tuple[Any, ...]], limits: Limits) -> list[str]:
    """The names, fit for a header, of fields that are accepted and not acted on. Raises ApiError on one that is not
    built, that the model's engine does not act on, or, where `limits` are strict, that would be named."""
    extra = request.model_extra or {}
    dependent = _DEPENDENT_NAMES & request.__pydantic_fields_set__
    options = request.stream_options
    if not extra and not dependent and (options is None or not options.model_extra):  # most requests
        return []
    engine_reads = limits.engine_reads(request.model) if extra or dependent else frozenset()
    _check_dependent(request, dependent - engine_reads)
    others = {name: value for name, value in extra.items() if name not in engine_reads}
    ignored = _unread(others, _DEPENDENT | not_built) if others else []
    ignored += _ignored_stream_options(request)
    return _named(ignored, limits)


def check_extra(extra: dict[str, Any], not_built: dict[str, tuple[Any, ...]], limits: Limits) -> list[str]:
    """The same of an endpoint that no engine reads more fields of than it declares.

    Args:
        extra: what was sent and is not declared.
    """
    return _named(_unread(extra, not_built), limits)


def _unread(extra: dict[str, Any], not_built: dict[str, tuple[Any, ...]]) -> list[str]:
    """Names of fields that are accepted and not acted on. Raises ApiError on one that is not built."""
    ignored: list[str] = []
    for name, value in extra.items():
        if value is None:
            continue
        neutral = not_built.get(name)
        if neutral is None:
            if len(ignored) <= _MAX_WARNINGS and not is_neutral(value, HARMLESS.get(name, ())):
                ignored.append(name)
        elif not is_neutral(value, neutral):
            raise ApiError("unsupported_parameter", _not_supported(name, neutral, "yet"), param=name)
    return ignored


def _named(ignored: list[str], limits: Limits) -> list[str]:
    """Fit for a header. Raises ApiError where `limits` are strict."""
    if ignored and limits.is_strict:
        raise _nothing_reads(ignored[0])
    more = ["..."] if len(ignored) > _MAX_WARNINGS else []
    return [for_header(name) for name in ignored[:_MAX_WARNINGS]] + more


def _check_dependent(request: GenerationFields, names: frozenset[str]) -> None:
    """Raises ApiError on a field that the engine does not act on, and that is not neutral."""
    for name in sorted(names):
        value, neutral = getattr(request, name), _DEPENDENT[name]
        if name == "best_of":
            neutral = (request.n or 1,)
        elif name == "add_special_tokens":
            neutral = (request.adds_special_tokens,)
        elif name in ("tools", "functions") and "none" in (request.tool_choice, request.function_call):
            continue  # they are neither shown nor called
        if value is not None and not is_neutral(value, neutral):
            raise ApiError("unsupported_parameter", _not_supported(name, neutral, "by this model"), param=name)


def _not_supported(name: str, neutral: tuple[Any, ...], where: str) -> str:
    """Never a word that another value would do, unless one would: such values are named."""
    if name in _REASONS:
        return f"'{name}' {_REASONS[name]}."
    useful = [json.dumps(value) for value in neutral if value or type(value) in (int, float)]
    other = f", other than {' or '.join(useful)}" if useful else ""
    return f"'{name}' is not supported {where}{other}."


def _nothing_reads(name: str) -> ApiError:
    shown = for_header(name)
    return ApiError("unsupported_parameter", f"Nothing here acts on '{shown}', and this server is strict.", param=shown)


def _ignored_stream_options(request: GenerationFields) -> list[str]:
    options = request.stream_options
    if options is None or not options.model_extra:
        return []
    return [f"stream_options.{name}" for name, value in options.model_extra.items() if value not in (None, False)]


def is_neutral(value: Any, neutral: tuple[Any, ...]) -> bool:
    """Equality that keeps JSON's kinds apart: false is not 0, but 0.0 is."""
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in neutral)


def for_header(name: str) -> str:
    return _UNPRINTABLE_IN_A_HEADER.sub("?", name[:_MAX_NAME_CHARS])
