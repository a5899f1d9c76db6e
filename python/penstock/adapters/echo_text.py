"""What the echo engine says: a text of its own without end, or a given one once."""

from __future__ import annotations

import numpy as np

from penstock.errors import ModelError
from penstock.prompt import PromptEncoder

TEXT = "Water runs down the pipe and turns the wheel, and the wheel turns the stone. "


def tokens_of(prompt: PromptEncoder, text: str) -> np.ndarray:
    """int32: the ids of `text`, special tokens in it by their names; and one more, to stop with."""
    ids = prompt.tokenizer.encode(text, add_special_tokens=False).ids
    return np.array([*ids, 0], np.int32)


def visible_tokens(prompt: PromptEncoder) -> np.ndarray:
    """int32: the ids of TEXT that show text by themselves, so that every token is an event of its own."""
    ids = prompt.tokenizer.encode(TEXT, add_special_tokens=False).ids
    visible = [token for token in ids if prompt.vocabulary.decode([token])]
    if not visible:
        raise ModelError("The model's tokenizer cannot spell the echo engine's text.")
    return np.array(visible, np.int32)
