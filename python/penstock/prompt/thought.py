"""Whether a prompt ends within a thought: templates of some models open it, or close it at once, for the answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThoughtMarkers:
    """The texts between which a model thinks, as `<think>` and `</think>`.

    Attributes:
        is_implicit: an answer begins within a thought where the prompt says nothing.
    """

    begin: str
    end: str
    is_implicit: bool = False

    def is_thinking(self, prompt: str, *, last_message: str | None = None) -> bool | None:
        """True: the answer begins within a thought; False: the prompt has closed the thought; None: it says nothing.

        Only a prompt's end speaks for the template; further up stand the words of clients.

        Args:
            last_message: what the answer continues, where it continues a message: an open thought stands within it,
                or the answer has begun already.
        """
        if last_message is not None:
            return last_message.rfind(self.begin) > last_message.rfind(self.end)
        text = prompt.rstrip()
        if text.endswith(self.end):
            return False
        return True if self.is_implicit or text.endswith(self.begin) else None
