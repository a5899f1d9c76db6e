"""Whether a prompt ends within a thought: templates of some models open it, or close it at once, for the answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ThoughtMarkers:
    """The texts between which a model thinks, as `<think>` and `</think>`."""

    begin: str
    end: str

    def is_thinking(self, prompt: str, *, last_message: str | None = None) -> bool | None:
        """True: the answer begins within a thought; False: the prompt has closed the thought; None: it says nothing.

        Only a prompt's end speaks for the template; further up stand the words of clients.

        Args:
            last_message: what the answer continues, where it continues a message: the thought may stand within it.
        """
        if last_message is not None:
            began, ended = last_message.rfind(self.begin), last_message.rfind(self.end)
            return None if began < 0 and ended < 0 else began > ended
        text = prompt.rstrip()
        if text.endswith(self.begin):
            return True
        return False if text.endswith(self.end) else None
