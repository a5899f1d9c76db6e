"""From what a client wrote to token ids: chat templates, the tokenizer, and the room of the context."""

from penstock.prompt.chat_template import ChatTemplate
from penstock.prompt.encoder import PromptEncoder
from penstock.prompt.length import check_prompt_length, clamp_max_tokens
from penstock.prompt.thought import ThoughtMarkers

__all__ = ["ChatTemplate", "PromptEncoder", "ThoughtMarkers", "check_prompt_length", "clamp_max_tokens"]
