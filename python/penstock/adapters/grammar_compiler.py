"""From what a request asks of its answer's form to a grammar for the model's tokens. Blocks: for a pool's threads."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from penstock import _core
from penstock.errors import ApiError
from penstock.generation import GrammarSpec
from penstock.protocol import StructuredOutput


@dataclass(frozen=True, slots=True)
class ThoughtBefore:
    """What a model thinks before it answers: free, and followed by what is constrained.

    Attributes:
        begin: the text that begins a thought, which the model may leave out; None: the prompt has begun it.
        end: the text that ends it.
        max_tokens: after so many it is closed; None: any number.
    """

    begin: str | None
    end: str
    max_tokens: int | None = None


class GrammarCompiler:
    """Grammars of one model. What it needs of the vocabulary is made at the first use: most servers never do.

    Args:
        num_logits: of the model.
        stop_ids: the model's own stop tokens.
    """

    def __init__(self, vocabulary: _core.Vocabulary, *, num_logits: int, stop_ids: tuple[int, ...]) -> None:
        self._vocabulary = vocabulary
        self._num_logits = num_logits
        self._stop_ids = stop_ids
        self._made: _core.GrammarFactory | None = None
        self._lock = threading.Lock()

    def compile(self, form: StructuredOutput | None, thought: ThoughtBefore | None, *, param: str) -> GrammarSpec:
        """`form`, or none, after `thought`, if there may be one.

        Args:
            param: the request's field, for errors of the thought.

        Raises:
            ApiError: a form that cannot be enforced, with the reason; "server_overloaded" when too many are compiled.
        """
        param = param if form is None else form.param
        try:
            grammar = None if form is None else self._factory.compile(form.kind, form.text)
            if thought is not None:
                grammar = self._after(grammar, thought)
        except ValueError as error:
            raise ApiError("invalid_value", f"'{param}' cannot be used: {error}.", param=param) from None
        except RuntimeError as error:
            raise ApiError("server_overloaded", f"The server is busy: {error}.") from None
        return GrammarSpec(grammar, param)

    def _after(self, grammar: _core.Grammar | None, thought: ThoughtBefore) -> _core.Grammar | None:
        end, begin, max_tokens = thought.end, thought.begin, thought.max_tokens
        try:
            return self._factory.after_thought(grammar, end=end, begin=begin, max_tokens=max_tokens)
        except ValueError:
            if begin is None or grammar is None:
                raise
            return grammar  # no token begins a thought: the model cannot be told to be in one

    @property
    def _factory(self) -> _core.GrammarFactory:
        with self._lock:
            if self._made is None:
                self._made = _core.GrammarFactory(
                    self._vocabulary, num_ids=self._num_logits, stop_ids=list(self._stop_ids)
                )
            return self._made
