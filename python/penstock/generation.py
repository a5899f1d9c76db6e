"""What a generation is: the vocabulary that server, adapters and scheduler share."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from penstock.abilities import Abilities
    from penstock.pooling import PooledVectors

#: Stop tokens of one sequence: the model's own and a request's.
MAX_STOP_IDS = 16
MAX_STOP_IDS_OF_A_REQUEST = 4
MAX_STOP_IDS_OF_A_MODEL = MAX_STOP_IDS - MAX_STOP_IDS_OF_A_REQUEST

#: Entries of `logit_bias`, and how far each may go (OpenAI's reference).
MAX_LOGIT_BIAS = 1024
MAX_BIAS = 100.0
#: Strings in `bad_words`, and tokens of each; a string gives one or two sequences of tokens, see `bad_word_ids`.
MAX_BAD_WORDS = 64
MAX_BAD_WORD_TOKENS = 16
#: Presence and frequency penalties (OpenAI's reference), and the repetition penalty.
MIN_PENALTY, MAX_PENALTY = -2.0, 2.0
MIN_REPETITION_PENALTY, MAX_REPETITION_PENALTY = 0.01, 100.0
#: Choices that may be computed of one prompt.
MAX_BEST_OF = 128


def _default_of(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


class FinishReason(StrEnum):
    """Why a choice ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    ABORT = "abort"
    ERROR = "error"


def _as_tuple(value: Any) -> tuple[Any, ...]:
    if type(value) is tuple:
        return value
    return (value,) if isinstance(value, str | int) else tuple(value)


@dataclass(frozen=True, slots=True)
class RowParameter:
    """How one of a sequence's parameters travels to its row on the device: a row of the table that packing, unpacking,
    the device's state and the tests derive from (`engine.row_parameters`).

    Attributes:
        dtype: "int32", "uint32" or "float32".
        neutral: the value with which the parameter does nothing.
        size: values.
        is_for_draws: without meaning in a greedy row, which gets the neutral value.
        is_plain: a row with another value than the neutral one still needs no more than the plain sampler, which
            knows temperatures alone.
    """

    dtype: str
    neutral: float
    size: int = 1
    is_for_draws: bool = False
    is_plain: bool = False

    def default(self, value: Any) -> Any:
        """A dataclass field that travels as this."""
        return field(default=value, metadata={"row": self})


@dataclass(frozen=True)
class ForeignSamplingParams:
    """What only engines of others act on. Penstock's own refuse, by name, what is not neutral (`not_neutral`)."""

    guided_decoding: Any = field(default=None, hash=False)
    stop_pattern: str | None = None
    truncate_prompt_tokens: int | None = None
    include_stop_str_in_output: bool = False
    ignore_stop_strings_in_reasoning: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    detokenize: bool = True
    output_kind: Any = field(default=None, hash=False)

    @property
    def not_neutral(self) -> list[str]:
        """Names of those that ask for something."""
        values = _foreign_values(self)
        if values == _NEUTRAL:  # nearly every request
            return []
        return [name for name, value, neutral in zip(_FOREIGN, values, _NEUTRAL, strict=True) if value != neutral]


@dataclass(frozen=True)  # without slots, so that all values are copied at once
class SamplingParams(ForeignSamplingParams):
    """How tokens are chosen and when a choice ends. Bounds are checked at the door (`protocol`).

    For every field None means its default, and a list, or a single value, is as good as a tuple.

    A field with a `RowParameter` is known to the device, under its name.

    Attributes:
        max_tokens: new tokens per choice; None fills the context. With 0 the prompt is computed and nothing more.
        min_tokens: stop tokens cannot be drawn before so many others were. Stop strings are not held back by it.
        temperature: 0 is greedy.
        top_p: nucleus mass, in (0, 1]; 1 keeps all.
        top_k: keep the k likeliest tokens; 0 keeps all.
        min_p: drop tokens less likely than this share of the likeliest; 0 keeps all.
        presence_penalty: taken from the logit of each token that was made before; frequency_penalty: as often as it
            was. Both count new tokens only (OpenAI's reference).
        repetition_penalty: of each token of the prompt or made before: divides its logit where that is positive, else
            multiplies it (Keskar et al., arXiv 1909.05858, as transformers reads it); 1 does nothing.
        logit_bias: added to the logits of tokens, by their ids; at most MAX_LOGIT_BIAS.
        allowed_token_ids: no other tokens are made; empty allows all.
        bad_words: texts whose tokens are not made in a row (a model may still spell one by other tokens);
            bad_word_ids: the same as tokens, whose last one is not made where the others are the newest; at most
            2 MAX_BAD_WORDS, of at most MAX_BAD_WORD_TOKENS each.
        logprobs: the likeliest tokens whose logprobs are told at each new one, beside its own; None: none at all.
        prompt_logprobs: the same for the tokens of the prompt.
        n: choices per prompt.
        best_of: choices that are computed of each prompt, of which the `n` with the highest mean logprob are given;
            None: `n`.
        stop: stop strings, matched on text, not shown.
        stop_token_ids: stop ids beside the model's own.
        ignore_eos: the model's own stop ids do not stop.
        seed: the same seed, prompt and choice give the same tokens; drawn at random when the client gave none.
        extra: fields of the request, as sent and not checked, that a foreign engine said it reads (`Abilities`).
    """

    max_tokens: int | None = RowParameter("int32", 0, is_plain=True).default(None)
    min_tokens: int = RowParameter("int32", 0).default(0)
    temperature: float = RowParameter("float32", 0.0, is_plain=True).default(1.0)
    top_p: float = RowParameter("float32", 1.0, is_for_draws=True).default(1.0)
    top_k: int = RowParameter("int32", 0, is_for_draws=True).default(0)
    min_p: float = RowParameter("float32", 0.0, is_for_draws=True).default(0.0)
    presence_penalty: float = RowParameter("float32", 0.0).default(0.0)
    frequency_penalty: float = RowParameter("float32", 0.0).default(0.0)
    repetition_penalty: float = RowParameter("float32", 1.0).default(1.0)
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    allowed_token_ids: tuple[int, ...] = ()
    bad_words: tuple[str, ...] = ()
    bad_word_ids: tuple[tuple[int, ...], ...] = ()
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    n: int = 1
    best_of: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    seed: int = field(default_factory=lambda: random.getrandbits(63))
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if None in _never_none_values(self):
            for name in _NEVER_NONE:
                if getattr(self, name) is None:
                    object.__setattr__(self, name, _default_of(self.__dataclass_fields__[name]))
        for name in _TUPLES:
            if type(value := getattr(self, name)) is not tuple:
                object.__setattr__(self, name, _as_tuple(value))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """`SamplingParams(**given)` in a quarter of the time; that all names are fields is not checked."""
        made = object.__new__(cls)
        values = vars(made)  # a constant default that is not given is read from the class
        for name, factory in _FACTORIES:
            values[name] = factory()
        for name, value in given.items():
            if value is not None or name not in _NEVER_NONE:
                values[name] = value if name not in _TUPLES else _as_tuple(value)
        return made

    def with_max_tokens(self, max_tokens: int | None) -> Self:
        """`dataclasses.replace(self, max_tokens=max_tokens)` in a tenth of the time."""
        made = object.__new__(type(self))
        vars(made).update(vars(self), max_tokens=max_tokens)
        return made

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    def beyond(self, abilities: Abilities) -> list[str]:
        """Names of those that ask for something that an engine with `abilities` does not do."""
        if _dependent_values(self) == _DEPENDENT_NEUTRAL:  # nearly every request
            return []
        return [
            name
            for name, ability in _NEEDS.items()
            if not getattr(abilities, ability) and getattr(self, name) != _default_of(self.__dataclass_fields__[name])
        ]

    @property
    def num_computed(self) -> int:
        """Choices of each prompt that the engine computes."""
        return self.n if self.best_of is None else self.best_of

    @property
    def has_penalty(self) -> bool:
        """What was made before weighs on what is made next."""
        return self.presence_penalty != 0 or self.frequency_penalty != 0 or self.repetition_penalty != 1

    @property
    def needs_logprobs(self) -> bool:
        """Of the new tokens, for the client or for the choice of the best."""
        return self.logprobs is not None or self.num_computed > self.n


# A request makes its parameters anew, and there are thirty: they are read and copied by one call each.
#: What is acted on outside of an engine, where a prompt is read or an answer told.
_OUTSIDE = frozenset({
    "truncate_prompt_tokens", "include_stop_str_in_output", "skip_special_tokens", "spaces_between_special_tokens",
})  # fmt: skip
_FOREIGN = [each.name for each in fields(ForeignSamplingParams) if each.name not in _OUTSIDE]
_NEUTRAL = tuple(_default_of(each) for each in fields(ForeignSamplingParams) if each.name not in _OUTSIDE)
_foreign_values = attrgetter(*_FOREIGN)
#: What an engine does only where it says so, and the ability.
_NEEDS = {
    **dict.fromkeys(("presence_penalty", "frequency_penalty", "repetition_penalty"), "penalties"),
    **dict.fromkeys(("logit_bias", "allowed_token_ids", "bad_words", "bad_word_ids"), "logit_bias"),
    **dict.fromkeys(("logprobs", "prompt_logprobs", "best_of"), "logprobs"),
}
_dependent_values = attrgetter(*_NEEDS)
_DEPENDENT_NEUTRAL = tuple(_default_of(SamplingParams.__dataclass_fields__[name]) for name in _NEEDS)
_NEVER_NONE = dict.fromkeys(each.name for each in fields(SamplingParams) if _default_of(each) is not None)
_never_none_values = attrgetter(*_NEVER_NONE)
_TUPLES = dict.fromkeys(each.name for each in fields(SamplingParams) if type(each.default) is tuple)
_FACTORIES: list[tuple[str, Callable[[], Any]]] = [
    (each.name, each.default_factory) for each in fields(SamplingParams) if each.default_factory is not MISSING
]


class PageNames(NamedTuple):
    """By which the cache finds the whole pages of a prompt.

    Attributes:
        page_size: tokens per page.
        salt: the request's `cache_salt`.
    """

    page_size: int
    salt: str
    names: list[bytes]


@dataclass(slots=True, eq=False)  # not frozen: that takes five times as long to make
class Prompt:
    """What is to be continued, in the form that the engine reads.

    Attributes:
        ids: token ids, shorter than the model's context.
        text: for an engine that reads text; or as the client wrote it, where the answer shows it again.
        is_thinking: whether the answer begins within a thought: True where the prompt has opened one, False where it
            has closed one, so that none will come; None where it says nothing.
        page_names: where they were made already.
    """

    num_tokens: int
    ids: Sequence[int] | None = None
    text: str | None = None
    is_thinking: bool | None = None
    page_names: PageNames | None = None

    @classmethod
    def of_ids(cls, ids: Sequence[int]) -> Prompt:
        return cls(len(ids), ids=ids)


@dataclass(frozen=True, slots=True)
class GrammarSpec:
    """What every choice of a request is held to.

    Attributes:
        grammar: a `_core.Grammar`, compiled for the model that it goes to.
        param: the request's field that it came from, for errors.
    """

    grammar: Any
    param: str


@dataclass(slots=True, eq=False)  # not frozen: that takes five times as long to make
class GenerationRequest:
    """One request's work for an engine: every prompt times `sampling.num_computed` choices, one hub stream.

    Choice c of prompt p is row `stream_key | (p * num_computed + c)` of the hub.

    Attributes:
        stream_key: the hub stream that takes the tokens.
        sampling: `max_tokens` is set, and already clamped to the room after the longest prompt.
        request_id: for logs.
        tenant: whose request this is, for fair shares: the id of its API key, "" without keys.
        priority: the lower, the sooner among the requests of its tenant; an int32.
        wants_cache_report: the hub is to be told why no more of a prompt was cached.
        cache_salt: prompts share the prefix cache only with prompts of the same salt.
        is_streamed: whether the client takes it piece by piece; an engine may then do more for the first token.
        grammar: what may be written; None: anything.
        vectors: takes the prompts' embeddings, where they are wanted and no token is.
    """

    stream_key: int
    prompts: tuple[Prompt, ...]
    sampling: SamplingParams
    request_id: str
    tenant: str = ""
    priority: int = 0
    cache_salt: str = ""
    wants_cache_report: bool = False
    is_streamed: bool = True
    grammar: GrammarSpec | None = None
    vectors: PooledVectors | None = None

    @property
    def num_choices(self) -> int:
        return len(self.prompts) * self.sampling.num_computed


@dataclass(frozen=True, slots=True)
class SamplingDefaults:
    """What a request gets where it says nothing: the model's `generation_config.json`, else 1.0/1.0.

    Attributes:
        source: "generation_config.json" or "penstock".
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    source: str = "penstock"


class EngineState(StrEnum):
    """Where an engine stands. Only READY accepts work."""

    LOADING = "loading"
    READY = "ready"
    ERROR = "error"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A snapshot for /health and /ready.

    Attributes:
        detail: progress ("compiled 7/12") or the reason of an error.
        num_running: sequences in slots; num_waiting: in the queue; num_pages_in_use and num_pages of the KV cache.
        heartbeat_age_s: since the engine thread last passed its loop.
    """

    state: EngineState
    detail: str = ""
    num_running: int = 0
    num_waiting: int = 0
    num_pages_in_use: int = 0
    num_pages: int = 0
    heartbeat_age_s: float = 0.0
