"""The Rust edge: what crosses the boundary, in words.

Buffers cross as any object with the buffer protocol (`array.array`, `numpy.ndarray`, `bytes`), C-contiguous,
with the item type stated. Times are seconds of `time.monotonic()`.
"""

from typing import Any, final

from typing_extensions import Buffer

__all__ = [
    "BLOCK_TYPES",
    "CHOICE_BITS",
    "DONE",
    "END_ERROR",
    "END_LENGTH",
    "END_NONE",
    "END_STOP",
    "GRAMMAR_KINDS",
    "KERNEL_ABI",
    "PAGE_HASH_BYTES",
    "PING",
    "REASONING_FORMATS",
    "TOOL_FORMATS",
    "GgufFile",
    "Grammar",
    "GrammarFactory",
    "GrammarRows",
    "Hub",
    "Metrics",
    "ModelMetrics",
    "Opening",
    "ReasoningFormat",
    "Receipt",
    "RequestHead",
    "Router",
    "ToolFormat",
    "Vocabulary",
    "__version__",
    "blocks_format",
    "choose_kernel_isa",
    "dequantize",
    "error_body",
    "error_kind",
    "error_kinds",
    "error_status",
    "json_excess",
    "kernel_blocks_packer",
    "kernel_handlers",
    "kernel_isa",
    "kernel_packer",
    "key_digest",
    "keys_equal",
    "mint_id",
    "packed_bytes",
    "page_hashes",
    "parse_output",
    "tool_grammar",
]

__version__: str

# ---- errors: the table of every error a client can see, and its body in OpenAI's shape

def error_kind(name: str) -> tuple[int, str, str | None]:
    """The row of the error table named `name`: (HTTP status, `type`, `code` or None). KeyError if there is none."""

def error_kinds() -> list[str]:
    """The names of all rows, in the table's order."""

def error_status(name: str, shape: str) -> int:
    """The HTTP status of a row where an endpoint's errors have that shape: Anthropic's tells a full queue by 529.
    KeyError on `name` and `shape`."""

def error_body(
    name: str,
    message: str,
    *,
    param: str | None = None,
    request_id: str | None = None,
    timestamp: float = 0.0,
    shape: str = "openai",
) -> bytes:
    """`{"error": {"message", "type", "param", "code"}, "request_id", "timestamp"}` as JSON; where `shape` is
    "anthropic", `{"type": "error", "error": {"type", "message"}, "request_id"}`. KeyError on `name` and `shape`."""

# ---- the shape of JSON bodies

def json_excess(body: bytes, *, max_members: int, max_items: int) -> tuple[str, str] | None:
    """What `body` has too much of to be parsed, as a row of the error table and a sentence; None when it may be.

    `max_members`: object members, objects and arrays together; `max_items`: items of all arrays. Nesting is bounded,
    too. Whether `body` is JSON is the parser's to say. A long body is read detached from the GIL."""

# ---- request ids

def mint_id(prefix: str) -> str:
    """`prefix` + 32 hex digits: 48 bits of Unix milliseconds, then 80 random bits (so ids sort by time)."""

# ---- request heads

@final
class Router:
    """The closed list of endpoints, and everything that can be answered from a request's head alone."""

    def __new__(
        cls,
        endpoints: list[tuple[str, list[str], bool]],
        *,
        cors_origins: list[str] = ...,
        max_body_bytes: int = ...,
        max_headers: int = ...,
        error_shapes: list[str] = ...,
    ) -> Router:
        """`endpoints`: (path template, methods, whether it takes a JSON body) in order, as ("/v1/models/{model_id}",
        ["GET"], False); a parameter that ends a template, and behind which no other goes on, takes the rest of the
        path, slashes included. Literal templates win over templates with parameters; methods may be written in any
        case. `cors_origins`: empty turns CORS off; "*" allows any origin, and then never credentials. `error_shapes`:
        of the endpoints' refusals, in order, "openai" or "anthropic"; default: all "openai". KeyError on another."""

    def read(self, scope: dict[str, Any]) -> RequestHead:
        """Reads an ASGI HTTP scope in one call. Never raises on what a client sent: a head that must be refused
        (unknown route, wrong method, oversize content-length, too many headers, a body that is not JSON or compressed
        where one is taken, CORS preflight) carries its ready answer in `answer`."""

@final
class RequestHead:
    method: str
    path: str
    #: Index into the router's endpoints; -1 when no template matches.
    endpoint: int
    path_params: dict[str, str]
    #: The client's X-Request-ID if sane (1 to 128 of [A-Za-z0-9._:-]), else minted with prefix "req_".
    request_id: str
    #: From `Authorization: Bearer K` or `X-API-Key: K`; None when neither is there.
    api_key: bytes | None
    #: None when absent; a bad one is refused in `answer`.
    content_length: int | None
    #: Over HTTP/1 with a body announced: an answer that leaves the body unread must say `connection: close`, or the
    #: client's next request on the connection may be lost. `answer` says so by itself. (HTTP/2 forbids the header.)
    closes_if_unread: bool
    #: True when `Accept` prefers application/json over text/plain (for /metrics).
    accepts_json: bool
    #: `x-request-timeout` in seconds, if positive and finite: how long the whole request may take.
    timeout_s: float | None
    #: `x-stainless-read-timeout` in seconds, likewise: how long the client bears silence between bytes.
    read_timeout_s: float | None
    #: The `traceparent` header, verbatim, when well-formed.
    traceparent: str | None
    #: What every answer to this request carries: x-request-id, server: penstock, and the CORS headers.
    headers: list[tuple[bytes, bytes]]
    #: (status, complete headers, body) when the head alone decides; else None.
    answer: tuple[int, list[tuple[bytes, bytes]], bytes] | None

def keys_equal(given: bytes, digests: list[bytes]) -> bool:
    """Whether SHA-256 of `given` is one of `digests`, in time that depends only on their number."""

def key_digest(key: bytes) -> bytes:
    """SHA-256 of an API key, 32 bytes: what a server keeps of it."""

# ---- vocabulary

@final
class Vocabulary:
    """Token id -> bytes, from a tokenizer.json."""

    @staticmethod
    def from_json(data: bytes) -> Vocabulary:
        """ValueError names what a decoder or model type we cannot stream is called."""
    def __len__(self) -> int: ...
    def decode(self, ids: list[int], *, skip_special: bool = True) -> str:
        """The whole text of `ids`, equal to `tokenizers`' decode. An id outside the vocabulary is ValueError."""

# ---- GGUF files

@final
class GgufFile:
    """The header of a GGUF file, every count and offset in it held against the file's size."""

    @staticmethod
    def read(path: str) -> GgufFile:
        """ValueError goes on behind the name of a file that is refused: "is truncated: ..."; OSError as of open."""
    @property
    def metadata(self) -> dict[str, Any]:
        """Key -> int, float, bool, str or a list of them. Lists of more than 4096 items, those of a vocabulary, are
        not among them."""
    @property
    def tensors(self) -> list[tuple[str, str, list[int], int, int]]:
        """Name, ggml's type, shape as numpy has it, first byte in the file, number of bytes; in the file's order."""
    def tokenizer(self) -> tuple[bytes, dict[str, str]]:
        """A tokenizer.json, and the special tokens by their names in chat templates ("bos_token"). ValueError as of
        `read`."""
    @property
    def end_ids(self) -> list[int]:
        """The tokens that end a text, ascending. ValueError as of `read`."""

#: The types of tensors whose numbers lie in blocks, with ggml's numbers for them.
BLOCK_TYPES: dict[str, int]

def blocks_format(kinds: list[str]) -> str | None:
    """The smallest format of packed matrices that holds every value of tensors of these types, as "q8_32"; None where
    one has no blocks."""

def kernel_blocks_packer() -> int:
    """The address of the C function that packs blocks (`penstock.layers.packing.pack_blocks`)."""

def dequantize(kind: str, data: Buffer) -> bytes:
    """The float32 numbers of ggml's blocks. ValueError: a type without blocks, or no whole blocks.

    Args:
        kind: ggml's type, as "Q4_K"; data: bytes.
    """

# ---- hub: all open streams

PING: bytes
"""A keep-alive comment with its blank line."""
DONE: bytes
"""`data: [DONE]` with its blank line."""

#: Bytes of a page's name.
PAGE_HASH_BYTES: int

def page_hashes(ids: Buffer, page_size: int, *, salt: str = "", parent: bytes | None = None) -> bytes:
    """The names of the whole pages of `ids`, int32 [T], PAGE_HASH_BYTES each: a hash of all tokens up to the page's end
    and of `salt`, under a random key of this process. `parent`: the name of the page before them, which stands for the
    salt too; None: they begin the sequence. Detached from the GIL. ValueError on a `page_size` of 0, or a `parent` that
    is no name."""

CHOICE_BITS: int
"""A row key is `stream_key | choice`: the low CHOICE_BITS (12) bits of a stream key are zero."""

END_NONE: int
END_STOP: int
END_LENGTH: int
END_ERROR: int

@final
class Opening:
    """What a stream is opened with: one response of one request."""

    def __new__(
        cls,
        *,
        dialect: str,
        response_id: str,
        model: str,
        created: int,
        is_streamed: bool,
        num_choices: int,
        prompt_tokens: int,
        max_tokens: int,
        request_id: str,
        arrival: float,
        include_usage: bool = False,
        stop: list[str] = ...,
        stop_token_ids: list[int] = ...,
        keep_alive_s: float | None = None,
        prompts: list[tuple[list[int], str | None]] = ...,
        choices_per_prompt: int | None = None,
        output: Any = None,
    ) -> Opening:
        """`dialect`: the API it speaks: "chat" (chat.completion and its chunks), "completions" (text_completion),
        "responses" (response and its events), "messages" (Anthropic's message and its events), or
        "deltas": no wire at all, for `Hub.take_deltas`. `is_streamed`: events as the tokens come, else one body at the
        end. `num_choices`: of all prompts together; `choices_per_prompt`: of each, None: there is one prompt.
        `prompt_tokens`: of all prompts together, for usage. `max_tokens`: per choice, for metrics. `arrival`: when the
        request came. `stop`: stop strings; empty ones are ignored. `stop_token_ids`: stop tokens beside the model's
        own, to be named where one ended a choice. `prompts`: ids and text (None: what the ids say) of each, where
        `output` asks for `echo` or `return_token_ids`; else empty. `output`: a
        `penstock.output_options.OutputOptions`, or None for one as it is by default. `keep_alive_s`: a stream that
        sent nothing for so long gets a comment; None: never. `dialect_options` of `output` are, of "responses":
        {"response": an object whose members every response object repeats, "reasoning_as_summary": bool, "keeps":
        whether the receipt has the final response}.
        ValueError when `dialect` is none of these, `num_choices` not 1 to 2**CHOICE_BITS, `keep_alive_s` not positive,
        or a format of `output` unknown."""

@final
class Receipt:
    """What a stream came to."""

    #: Of all prompts together.
    @property
    def prompt_tokens(self) -> int: ...
    #: Those of them that a cache had.
    @property
    def cached_tokens(self) -> int: ...
    #: Of all choices together, shown or not.
    @property
    def completion_tokens(self) -> int: ...
    #: From `arrival` to the first token of any choice; None where none came.
    @property
    def time_to_first_token_s(self) -> float | None: ...
    #: Of the first choice: "stop", "length", "tool_calls", "abort" (the client left) or "error".
    @property
    def finish_reason(self) -> str | None: ...
    #: Tool calls of all choices that no client could run: they were shown as text, or as they broke off.
    @property
    def num_malformed_calls(self) -> int: ...
    #: The row of the error table that it failed of.
    @property
    def error(self) -> str | None: ...
    def take_record(self) -> bytes | None:
        """The answer, where it was asked to be kept: once, of the receipt that comes with the stream's end."""

@final
class Hub:
    """Every open stream of one engine: ids in, SSE frames (or one JSON body) out. Thread-safe; no lock spans streams.

    A stream is one HTTP response; it has `num_choices` choices, each fed by one sequence of the engine.
    """

    def __new__(cls, vocabulary: Vocabulary, metrics: ModelMetrics, *, max_pending_bytes: int = ...) -> Hub:
        """`max_pending_bytes`: frames a slow reader may leave unread; past it the stream ends with an error frame."""

    def open(self, opening: Opening) -> int:
        """Opens a stream and returns its key. Special tokens never reach the text."""

    def mark_scheduled(
        self, row_key: int, *, num_cached_tokens: int = 0, num_queried_tokens: int = 0, cache_exit: str | None = None
    ) -> None:
        """A choice left the queue (its prefill begins): ends its queue time. `num_cached_tokens`: those of its prompt
        that a cache had: for usage, where a prompt counts as the first of its choices found it, and, with
        `num_queried_tokens`, those that were looked for, for the metrics. `cache_exit`: why no more were there, for a
        request with `cache_report`: "whole" (all that can be cached was there), "evicted" (the next was there once),
        "differs" (other tokens had followed), "new" (nothing is known that begins so), "salt" (nothing was computed
        under its salt), "off" (nothing is read from a cache). The first call of a choice counts. Unknown keys are
        ignored. KeyError on another `cache_exit`."""

    def count_preemption(self) -> None:
        """A sequence gave its pages back, to go on later: counted."""

    def push_step(
        self, keys: Buffer, output: Any, *, num_running: int, num_waiting: int, num_pages_in_use: int
    ) -> list[int]:
        """One engine step. `keys`: uint64 [B] row keys. `output` has a column per attribute: `ids`: int32 [B, N], -1 =
        no token; `ends`: uint8 [B] END_*, which applies after the row's ids (a stop token is the row's last id:
        counted, not shown; END_ERROR fails the row's stream with "engine_error", and no other); `logprobs`: None or an
        object with `sampled`: float32 [B, N], `top_ids`: int32 [B, N, K] and `top`: float32 [B, N, K], the likeliest
        first; `prompt_columns`: None or objects with `row_key`, `start` and, of the prompt's tokens `start` + 1 to
        `start` + T, `sampled`: float32 [T], `top_ids`: int32 [T, K], `top`: float32 [T, K].
        A key may appear twice. Unknown or ended keys are ignored. Returns the row keys that Rust ended by text (stop
        string), by a slow reader, or whose stream is gone: the scheduler frees those. Detached from the GIL. The three
        numbers set the engine's gauges. ValueError when the columns do not fit each other."""

    def push_text(
        self,
        row_key: int,
        text: str,
        *,
        num_tokens: int,
        end: int = 0,
        reasoning: str = ...,
        tool_calls: list[tuple[int, tuple[str, str] | None, str]] = ...,
        logprobs: list[tuple[bytes, float, list[tuple[bytes, float]]]] = ...,
    ) -> bool:
        """What a foreign engine gives of a choice, through the same stop strings, events and counters: `reasoning`,
        then `text`, then pieces of tool calls (index; id and name where a call begins; arguments), all from
        `num_tokens` tokens. `logprobs`: of those tokens, each its bytes, its log probability and the likeliest ones in
        its place. Reasoning and calls fail a stream of completions. True if the engine must stop: ended by text or a
        slow reader, or nobody is there to take it. ValueError where there are more `logprobs` than tokens."""

    def fail(self, stream_key: int, kind: str, message: str, *, param: str | None = None) -> bool:
        """Ends a stream with an error (a row of the error table): an error frame and [DONE], or the plain answer's
        body and status. False if it had ended or is gone. KeyError on `kind`."""

    def cancel(self, stream_key: int) -> Receipt | None:
        """The client is gone: drops the stream and, unless it had ended, counts it as cancelled and its tokens as
        wasted. What it came to; None if it was not there."""

    def withdraw(self, stream_key: int) -> bool:
        """Forgets a stream whose work no engine has taken: nothing of it is counted. False if it was not there."""

    def take(self, stream_key: int) -> tuple[bytes, int, Receipt | None]:
        """What is ready to send; 0 while more will come, else the final HTTP status (200, or an error's: for a plain
        answer `bytes` is then the whole body); and at the end what the stream came to. A stream whose end was taken is
        closed; an unknown key gives (b"", 499, None)."""

    def take_deltas(
        self, stream_key: int
    ) -> tuple[list[tuple[int, str, str, int, str | None, int, str]], int, tuple[str, str, str | None] | None]:
        """`take` for a stream that was opened with the dialect "deltas": rows of (choice, kind, new text, new tokens,
        finish reason or None, which tool call, its id), the status, and the error that ended it (row of the error
        table, message, param). Kinds: "text", "reasoning", "tool_call" (the text is its tool's name) and
        "tool_arguments"; the last two columns are those of calls. The tokens of a choice's rows add up to all that it
        cost. ValueError when the stream speaks another dialect."""

    def take_ready(self) -> list[int]:
        """Keys of the streams that got something to take since the last call, each once."""

    def ping_idle(self) -> bool:
        """Appends a keep-alive comment to every streamed stream that sent nothing for its own `keep_alive_s`. True if
        any did."""

    def rows_with_room(
        self, keys: Buffer, max_pending_bytes: int, *, num_wanted: int = 0, timeout_s: float = 0.0
    ) -> bytes:
        """uint8 [B]: 1 where the stream of that row is open and holds at most `max_pending_bytes` unread.

        Waits until `num_wanted` are, at most `timeout_s`, without the GIL: whoever sends needs it meanwhile."""

    @property
    def num_open(self) -> int:
        """Streams open now."""

# ---- grammars: constrained output

GRAMMAR_KINDS: list[str]
"""What `GrammarFactory.compile` takes: "json_schema" (a JSON schema, as JSON), "json_object" (any JSON object; the text
is not looked at), "regex" (of Rust's syntax; the whole output matches), "choice" (a JSON array of strings), "lark" (of
llguidance's syntax), "ebnf" (of llama.cpp's GBNF and xgrammar's), "structural_tag" (of xgrammar's, as JSON)."""

@final
class Grammar:
    """What a row's output is held to: a grammar, a thought before it, or both. Compiled, immutable, cheap to share."""

@final
class GrammarFactory:
    """Compiles grammars for one model; for any thread. Keeps those used last."""

    def __new__(
        cls,
        vocabulary: Vocabulary,
        *,
        num_ids: int,
        stop_ids: list[int],
        max_bytes: int = ...,
        timeout_s: float = ...,
        max_running: int = ...,
    ) -> GrammarFactory:
        """`num_ids`: logits of the model, ids behind the vocabulary's included. `stop_ids`: the tokens by which an
        output may end where its grammar allows it to; without any it ends only where nothing can follow. `max_bytes`
        of a grammar's text; `timeout_s` to compile it; at most `max_running` are compiled at once. Takes some 0.1 s,
        without the GIL. ValueError when the vocabulary cannot be used."""

    def compile(self, kind: str, text: str) -> Grammar:
        """Blocks, without the GIL, for `timeout_s` at most. ValueError, in one sentence, when the text is at fault;
        RuntimeError when too many are being compiled; KeyError on `kind`."""

    def after_thought(
        self, grammar: Grammar | None = None, *, end: str, begin: str | None = None, max_tokens: int | None = None
    ) -> Grammar:
        """`grammar`, or none, from where a thought has ended with the text `end`. `begin`: the token that begins one,
        which may be left out; None: the prompt has begun it. A thought of `max_tokens` tokens is closed: `end` is all
        that may follow. ValueError when the model cannot spell the markers."""

@final
class GrammarRows:
    """All rows under a grammar, and the threads that compute their masks. For one thread at a time."""

    def __new__(cls, *, num_threads: int = ...) -> GrammarRows:
        """The threads are started with the first row."""

    def join(self, row_key: int, grammar: Grammar) -> None:
        """A new row. Its first mask is ready at once."""

    def advance(self, row_keys: Buffer, ids: Buffer, ends: Buffer) -> None:
        """The new tokens of rows whose masks were taken: `row_keys`: uint64 [R]; `ids`: int32 [R], -1 = none, the mask
        is ready again; `ends`: uint8 [R] END_*: an ended row only waits to leave. Their next masks are computed
        meanwhile. Unknown rows are ignored."""

    def take_ready(
        self, row_keys: Buffer, *, wait_s: float = 0.0
    ) -> tuple[bytes, bytes, list[int], list[tuple[int, str]]]:
        """Of `row_keys`, uint64 [R]: the places of the rows whose masks are ready, int32 [M]; their masks, uint32
        [M, W], each given once, where bit t % 32 of word t // 32 is set if token t is allowed; the keys of rows whose
        text is whole, so that nothing can follow it; and the keys of rows that can go no further, and why. Ends are
        told once. Where there is none of all that and something is being computed, waits for it, `wait_s` at most."""

    def leave(self, row_key: int) -> None:
        """Forgets a row. Unknown ones are ignored."""

    def __len__(self) -> int:
        """Rows that have joined and not left."""

# ---- metrics

@final
class ModelMetrics:
    """Counters, gauges and histograms of one model, in atomics, under vLLM's names and `penstock_`'s. Made by
    `Metrics.model`."""

    def add(self, name: str, amount: int = 1) -> None:
        """Adds to a counter, named as in the tables of metrics/names.rs. KeyError if there is none."""
    def set(self, name: str, value: float) -> None:
        """Sets a gauge. KeyError if there is none."""
    def get(self, name: str) -> float:
        """A counter's or gauge's value. KeyError if there is none."""
    def observe(self, name: str, value: float) -> None:
        """Adds an observation to a histogram. KeyError if there is none."""

@final
class Metrics:
    """What is counted in one process: HTTP answers, and the metrics of every model."""

    def __new__(cls) -> Metrics: ...
    def model(self, name: str, *, max_model_len: int = ...) -> ModelMetrics:
        """The metrics with the label `model_name=name`: the same ones for the same name. `max_model_len` bounds the
        token-count buckets; it is looked at the first time only."""
    def count_request(self, handler: str, method: str, status: int, seconds: float, *, is_work: bool = False) -> None:
        """One HTTP answer: http_requests_total and http_request_duration_seconds. `handler` is a path template;
        `is_work`: it counts in `snapshot`, too."""
    def render(self) -> bytes:
        """Prometheus text format 0.0.4."""
    def snapshot(self) -> dict[str, float]:
        """The seed's counters, of all models together: total_requests, successful_requests, failed_requests,
        total_tokens_generated, average_tokens_per_second, uptime_seconds."""

# ---- formats of tool calls and thoughts

#: The names of all formats.
TOOL_FORMATS: list[str]
REASONING_FORMATS: list[str]

@final
class ToolFormat:
    """How one family of models writes its tool calls."""

    name: str
    #: Texts of special tokens that must be shown for the calls to be seen.
    markers: list[str]
    def __new__(cls, name: str) -> ToolFormat:
        """By its name, or by another name for it. ValueError if there is none."""

@final
class ReasoningFormat:
    """How one family of models writes its thoughts."""

    name: str
    #: Texts of special tokens that must be shown for the thoughts to be seen.
    markers: list[str]
    #: What begins a thought and what ends it, as templates write them.
    begin: str
    end: str
    #: Whether an answer begins inside of a thought where the prompt says nothing.
    is_implicit: bool
    def __new__(cls, name: str) -> ReasoningFormat:
        """By its name, or by another name for it. ValueError if there is none."""

    def begins_inside(self, prompt: str) -> bool:
        """Whether an answer to `prompt` begins inside of a thought: the prompt ends by opening one, or does not end by
        closing one and the format is implicit."""

def parse_output(
    pieces: list[str],
    *,
    tools: bytes | None = None,
    tool_format: str | None = None,
    reasoning_format: str | None = None,
    begins_inside: bool = False,
) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Text, reasoning and calls (id, name, arguments) of an output that comes in these pieces, as a stream tells them.

    `tools`: the request's tools, a JSON array; without them and a format no call is looked for. ValueError on formats
    that there are not and on tools that are no JSON array."""

def tool_grammar(
    format: str,  # noqa: A002 - as everywhere
    tools: bytes,
    *,
    vocabulary: Vocabulary,
    required: bool = False,
    name: str | None = None,
    parallel: bool = True,
) -> str:
    """The grammar, in Lark, of an answer that calls tools as the models of this format write it.

    `tools`: the request's tools, a JSON array. `required`: at least one must be called; `name`: this one must. Where
    neither is said, text is free up to a call, and only strict tools' arguments are held to their schemas. `parallel`:
    more than one call may be made. `vocabulary`: of the model, for its special tokens. ValueError, in one sentence,
    where a schema asks for what cannot be enforced in this format, and on a tool or format that there is not."""

#: Goes up whenever a kernel's operands, attributes, layout or meaning change.
KERNEL_ABI: int

def kernel_handlers() -> list[tuple[str, int]]:
    """The CPU's kernels: a name, and the address of the C function that XLA calls."""

def kernel_isa(name: str = "auto") -> str:
    """The instruction set that a name means on this machine: portable, avx2 or avx512; "auto" is the best that is on by
    default. ValueError, in a few words, where this machine lacks it."""

def choose_kernel_isa(name: str) -> str:
    """Decides which instruction set all kernels of this process compute with. ValueError as in `kernel_isa`, and where
    another one computes already."""

def kernel_packer() -> int:
    """The address of the C function that packs a matrix (`penstock.layers.packing.pack`)."""

def packed_bytes(format: str, num_in: int, num_out: int) -> int:  # noqa: A002 - as everywhere
    """Bytes of a packed matrix. ValueError on a format that there is not."""
