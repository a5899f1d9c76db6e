"""What the echo engine says."""

from __future__ import annotations

import numpy as np

from penstock.errors import ModelError
from penstock.prompt import PromptEncoder

TEXT = "Water runs down the pipe and turns the wheel, and the wheel turns the stone. "


def visible_tokens(prompt: PromptEncoder) -> np.ndarray:
    """int32: the ids of TEXT that show text by themselves, so that every token is an event of its own."""
    ids = prompt.tokenizer.encode(TEXT, add_special_tokens=False).ids
    visible = [token for token in ids if prompt.vocabulary.decode([token])]
    if not visible:
        raise ModelError("The model's tokenizer cannot spell the echo engine's text.")
    return np.array(visible, np.int32)
