"""From what a client wrote to token ids: chat templates, the tokenizer, and the room of the context."""

from penstock.prompt.bad_words import bad_word_ids
from penstock.prompt.chat_template import ChatTemplate
from penstock.prompt.chosen_formats import choose_formats, thought_markers
from penstock.prompt.encoder import PromptEncoder
from penstock.prompt.formats import OutputFormats
from penstock.prompt.length import check_prompt_length, clamp_max_tokens
from penstock.prompt.thought import ThoughtMarkers

__all__ = [
    "ChatTemplate",
    "OutputFormats",
    "PromptEncoder",
    "ThoughtMarkers",
    "bad_word_ids",
    "check_prompt_length",
    "choose_formats",
    "clamp_max_tokens",
    "thought_markers",
]
