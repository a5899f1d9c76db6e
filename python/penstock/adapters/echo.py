"""A fake engine: the real scheduler and hub over a runner that computes nothing.

For front-end tests and benches: what is left to measure is the road from a token to a client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from penstock import _core
from penstock.adapters.echo_runner import EchoRunner, echo_capacity
from penstock.adapters.echo_text import tokens_of, visible_tokens
from penstock.adapters.scheduled_engine import ScheduledEngine
from penstock.config import Settings
from penstock.generation import SamplingDefaults
from penstock.prompt import PromptEncoder, choose_formats
from penstock.scheduler.scheduler import Scheduler

_MAX_MODEL_LEN = 32768
#: Unpaced: a stream with more unread bytes than this gets no token. Some ten events, so that a stream always has the
#: next ones ready while its last are being sent, and none runs far ahead of the others.
_WATERMARK_BYTES = 2400
#: Unpaced: so that what is measured is the road of a token, not the steps of an engine without a device.
_TOKENS_PER_DISPATCH = 4


class EchoEngine(ScheduledEngine):
    """Echoes no one: every sequence gets the same text, from its first token on, until its limit; or once, where it is
    given one (`--echo-text`).

    At most 1024 sequences are live; more wait, and of those at most `max_queued_requests` requests.
    """

    def __init__(
        self, settings: Settings, prompt: PromptEncoder, hub: _core.Hub, metrics: _core.ModelMetrics, model_name: str
    ) -> None:
        super().__init__(prompt, hub, metrics, model_name)
        self.formats = choose_formats(prompt, tool=settings.tool_format, reasoning=settings.reasoning_format)
        self.max_model_len = min(settings.max_model_len or _MAX_MODEL_LEN, _MAX_MODEL_LEN)
        prompt.max_model_len = self.max_model_len
        self.sampling_defaults = SamplingDefaults()
        self._text = settings.echo_text
        self._interval_s = settings.echo_interval_ms / 1e3
        self._max_queued_requests = settings.max_queued_requests
        self._num_grammar_threads = settings.grammar_threads

    def get_model_info(self) -> dict[str, Any]:
        return {"architecture": "echo", "vocab_size": self.prompt.vocab_size}

    def _load(self, on_progress: Callable[[str], None]) -> Scheduler:
        tokens_per_dispatch = 1 if self._interval_s else _TOKENS_PER_DISPATCH
        capacity = echo_capacity(max_model_len=self.max_model_len, tokens_per_dispatch=tokens_per_dispatch)
        tokens = visible_tokens(self.prompt) if self._text is None else tokens_of(self.prompt, self._text)
        runner = EchoRunner(
            capacity, tokens, is_said_once=self._text is not None,
            interval_s=self._interval_s, rows_with_room=self._rows_with_room,
        )  # fmt: skip
        self._num_pages = sum(capacity.num_pages)
        return Scheduler(
            runner, self.hub,
            max_queued_requests=self._max_queued_requests, num_grammar_threads=self._num_grammar_threads,
            prefix_caching=False,
        )  # fmt: skip

    def _rows_with_room(self, row_keys: Any, num_wanted: int, timeout_s: float) -> np.ndarray:
        """`row_keys`: uint64 [B]; numpy's types do not say on 3.11 that it is a buffer."""
        return np.frombuffer(
            self.hub.rows_with_room(row_keys, _WATERMARK_BYTES, num_wanted=num_wanted, timeout_s=timeout_s), bool
        )
