"""Whether a prompt ends within a thought. The prompts are the ends of what public templates render."""

import pytest

from penstock.prompt import ThoughtMarkers

THINK = ThoughtMarkers("<think>", "</think>")


@pytest.mark.parametrize(
    ("prompt", "is_thinking"),
    [
        ("<|im_start|>assistant\n", None),
        ("<|im_start|>assistant\n<think>\n", True),  # Qwen3-Thinking, QwQ
        ("<｜Assistant｜><think>\n", True),  # DeepSeek-R1
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),  # Qwen3, enable_thinking false
        ("<｜Assistant｜></think>", False),  # DeepSeek-V3.1
        ("<|assistant|>\n<think></think>", False),  # GLM-4.5, enable_thinking false
        ("<|im_start|>user\nWhat is <think>?<|im_end|>\n<|im_start|>assistant\n", None),  # a client's word
    ],
)
def test_only_its_end_speaks(prompt: str, is_thinking: bool | None) -> None:
    assert THINK.is_thinking(prompt) is is_thinking


def test_a_model_that_always_thinks_need_not_be_told() -> None:
    always = ThoughtMarkers("<think>", "</think>", is_implicit=True)
    assert always.is_thinking("<｜Assistant｜>") is True
    assert always.is_thinking("<｜Assistant｜></think>") is False
    assert always.is_thinking("…Well", last_message="Well") is False, "its answer has begun"


@pytest.mark.parametrize(
    ("message", "is_thinking"),
    [("Well", False), ("<think>Well", True), ("<think>Well.</think>It", False), ("<think>a</think><think>b", True)],
)
def test_a_message_that_goes_on_may_be_within_a_thought(message: str, is_thinking: bool) -> None:
    assert THINK.is_thinking(f"…{message}", last_message=message) is is_thinking
