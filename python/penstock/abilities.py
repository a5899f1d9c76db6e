"""What an engine says it can do: the source of what the door lets pass and of what `GET /v1/models` tells."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Abilities:
    """What requests to an engine may use, beside text in and text out. What is not said is refused at the door.

    Attributes:
        chat: /v1/chat/completions.
        token_prompts: token ids for a prompt, and the choice of what is made of a text.
        token_output: its answers come as token ids, so that they may be told, with special tokens and the prompt.
        tools: function calls; json: output of a given form; logprobs; penalties; logit_bias; vision; reasoning;
            embeddings; scheduling: priorities, and salts of a prefix cache. A foreign engine finds the fields of a
            request that belong to them in `SamplingParams.extra`.
        fields: any other field of a request, by its name on the wire, that the engine reads from there.
    """

    chat: bool = False
    token_prompts: bool = False
    token_output: bool = False
    tools: bool = False
    json: bool = False
    logprobs: bool = False
    penalties: bool = False
    logit_bias: bool = False
    vision: bool = False
    reasoning: bool = False
    embeddings: bool = False
    scheduling: bool = False
    fields: frozenset[str] = frozenset()
