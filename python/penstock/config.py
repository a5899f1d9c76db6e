"""Every setting, once: flags, `PENSTOCK_*` variables and a TOML file all fill this one model.

Knows names, types and bounds; what a setting does is told by its description and done elsewhere.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from penstock.errors import ConfigError

ENV_PREFIX = "PENSTOCK_"

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT])(?:i?B)?", re.IGNORECASE)
_UNIT_BYTES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _parse_size(value: Any) -> Any:
    """Bytes from "10M" or "1.5G" (powers of 1024); anything else is left for the integer's own check."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return int(float(match[1]) * _UNIT_BYTES[match[2].upper()])
    return value


Size = Annotated[int, BeforeValidator(_parse_size)]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An accepted key, as what is kept of it.

    Attributes:
        id: what names it in logs and counters. It goes with the key's place, so it survives a change of the key itself.
        digest: its SHA-256, in hexadecimal digits.
    """

    id: str
    digest: str = field(repr=False)


def number_keys(keys: Iterable[str | ApiKey]) -> list[ApiKey]:
    """Keys with ids by their place: key_1, key_2, ... Those that have an id keep it."""
    return [
        key if isinstance(key, ApiKey) else ApiKey(f"key_{place}", hashlib.sha256(key.encode()).hexdigest())
        for place, key in enumerate(keys, 1)
    ]


def _check_key(key: Any) -> Any:
    text = key.get_secret_value() if isinstance(key, SecretStr) else key
    if not isinstance(text, ApiKey) and not (isinstance(text, str) and re.fullmatch(r"[!-~]{1,1024}", text)):
        raise PydanticCustomError("api_key", "be 1 to 1024 visible ASCII characters")
    return text


#: In come keys in the clear; what the settings hold are digests.
ApiKeys = Annotated[
    list[Annotated[ApiKey, PlainValidator(_check_key), PlainSerializer(asdict)]], AfterValidator(number_keys)
]


class Settings(BaseModel):
    """The settings of one server. A bound that is a promise has its setting here.

    A field's description is its `--help` text and its line in the docs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: Path | None = Field(
        default=None, description="Hugging Face model folder or GGUF file; none serves the bundled model"
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="address to bind")
    port: int = Field(default=11556, ge=1, le=65535, description="port to bind")
    model_name: str | None = Field(
        default=None,
        min_length=1,
        description="id that clients send as `model`; default: the folder's name or the file's stem",
    )
    engine: Literal["jax", "echo"] = Field(default="jax", description="echo is a fake engine for front-end tests")
    echo_interval_ms: float = Field(
        default=0.0, ge=0, description="echo: time between tokens; 0 as fast as they are taken"
    )

    echo_text: str | None = Field(
        default=None, min_length=1, description="echo: what it answers, once; default: a text without an end"
    )

    tool_format: str = Field(
        default="auto", min_length=1, description="how the model writes tool calls: a format's name, auto or none"
    )
    reasoning_format: str = Field(
        default="auto", min_length=1, description="how the model marks its thinking: a format's name, auto or none"
    )
    reasoning_field: Literal["reasoning_content", "reasoning"] = Field(
        default="reasoning_content", description="what a chat's answer calls the model's thinking"
    )

    dtype: Literal["float32", "bfloat16"] | None = Field(
        default=None, description="of activations, weights and cache; default: float32 on CPU, bfloat16 on accelerators"
    )
    weight_dtype: Literal["float32", "bfloat16", "int8", "int4"] | None = Field(
        default=None,
        description="of matrices, for a CPU's kernels; int8 and int4 in blocks with a scale each; "
        "default: bfloat16 where the model's are, else as --dtype",
    )
    kv_cache_dtype: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="of the KV cache; auto: as --dtype. bfloat16 holds twice the tokens of float32"
    )
    max_model_len: int | None = Field(
        default=None, ge=16, description="prompt and new tokens together; default: the model's"
    )
    max_num_seqs: int = Field(default=32, ge=1, le=1024, description="sequences decoded at once")
    tensor_parallel_size: int = Field(default=1, ge=1, le=256, description="devices that the model is split over")
    kv_cache_memory: Size | None = Field(
        default=None, ge=1, description="bytes for the KV cache on each device (suffixes K, M, G)"
    )
    prefix_caching: Literal["on", "off"] = Field(
        default="on", description="keep the cache of prompts and answers for others that begin alike"
    )
    max_prefill_tokens: int | None = Field(
        default=None,
        ge=16,
        description="prompt tokens computed per step; default: 128, 512 on accelerators",
    )
    max_prefill_tokens_beside: int | None = Field(
        default=None,
        ge=16,
        description="the same in a step in which others get their next token; default: 32, 512 on accelerators",
    )
    tokens_per_dispatch: int | None = Field(
        default=None, ge=1, le=32, description="tokens per decode call when nobody waits"
    )
    pipeline_depth: int | None = Field(default=None, ge=1, le=2, description="steps in flight")
    cpu_kernels: Literal["on", "off"] = Field(
        default="on", description="on a CPU, compute with kernels of Penstock's own; off: with XLA's alone"
    )
    cpu_isa: Literal["auto", "portable", "avx2", "avx512"] = Field(
        default="auto", description="the kernels' instruction set; auto: avx2 where the CPU has it"
    )
    compile_cache: Path | None = Field(
        default=None, description="folder of compiled programs; default: the user's cache"
    )

    max_queued_requests: int = Field(default=512, ge=1, description="requests waiting for a slot; more get 503")
    max_request_size: Size = Field(
        default=10 * 1024 * 1024, ge=1, description="bytes of a request body (suffixes K, M, G)"
    )
    max_total_request_size: Size | None = Field(
        default=None, ge=1, description="bytes of all request bodies held at once; default: 256M (suffixes K, M, G)"
    )
    max_header_count: int = Field(
        default=100, ge=1, le=100, description="headers of a request; the host itself refuses more than 100"
    )
    max_choices: int = Field(default=128, ge=1, le=4096, description="n times prompts of one request")
    max_stop_strings: int = Field(default=16, ge=1, description="stop strings of one request")
    max_json_members: int = Field(
        default=20_000, ge=16, description="object members, objects and arrays of a request body"
    )
    max_json_items: int = Field(default=262_144, ge=16, description="array items of a request body, as token ids")
    max_pending_bytes: Size = Field(
        default=1 << 20, ge=4096, description="unread bytes after which a slow reader is cancelled (suffixes K, M, G)"
    )
    request_timeout_s: float = Field(default=300.0, gt=0, description="a request's time limit")
    keep_alive_s: float = Field(default=10.0, gt=0, description="silence after which a stream gets a `: ping` comment")
    idle_timeout_s: float = Field(default=75.0, gt=0, description="time a connection may stay open between requests")
    head_timeout_s: float = Field(
        default=30.0, gt=0, description="time a new connection has to send its first request's head"
    )
    response_store: Path | None = Field(
        default=None, description="SQLite file that keeps the answers of /v1/responses; default: in memory"
    )
    response_store_size: Size = Field(
        default=64 * 1024 * 1024,
        ge=4096,
        description="bytes of answers that are kept, the longest unused go first (suffixes K, M, G)",
    )
    drain_timeout_s: float = Field(default=30.0, ge=0, description="time that streams get to finish after SIGTERM")
    restart: int = Field(
        default=0, ge=0, le=100, description="how often within ten minutes a worker that was killed is started again"
    )
    tokenizer_threads: int = Field(
        default=2, ge=1, le=64, description="threads that render templates and encode prompts"
    )

    strict: Literal["on", "off"] = Field(
        default="off", description="refuse fields of a request that nothing acts on, instead of a warning"
    )
    grammar_threads: int = Field(
        default=2, ge=1, le=64, description="threads that compile grammars, and as many that compute their masks"
    )

    api_key: ApiKeys = Field(
        default_factory=list, description="accepted API key, may be repeated; none: no authentication"
    )
    cors_origin: list[str] = Field(default_factory=list, description="allowed origin, may be repeated; none: CORS off")
    docs: Literal["on", "off"] = Field(default="on", description="serve /openapi.json and the page /docs")
    access_log: Literal["text", "json", "off"] = Field(
        default="text", description="a line per request, probes and scrapes left out; json goes to stdout"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="of Penstock's own log")

    @field_validator("max_total_request_size")
    @classmethod
    def _holds_one(cls, size: int | None, told: ValidationInfo) -> int | None:
        one = told.data.get("max_request_size", 0)
        if size is not None and size < one:
            raise PydanticCustomError("too_small", "be at least --max-request-size, {one}", {"one": one})
        return size

    def to_json(self) -> str:
        """Everything as JSON, for handing on to the worker; of API keys only what is kept of them."""
        return self.model_dump_json()

    def replace(self, **changes: Any) -> Settings:
        """These settings with `changes`, which are checked.

        Raises:
            ConfigError: a value that cannot be used.
        """
        given = {name: _Given(name, value) for name, value in changes.items()}
        return _validate(given, base={name: getattr(self, name) for name in self.model_fields_set})

    @classmethod
    def from_json(cls, text: str) -> Settings:
        """What `to_json` made."""
        fields = json.loads(text)
        return cls.model_validate(fields | {"api_key": [ApiKey(**key) for key in fields["api_key"]]})


def is_list(name: str) -> bool:
    """Whether setting `name` takes several values."""
    return get_origin(Settings.model_fields[name].annotation) is list


def is_size(name: str) -> bool:
    """Whether setting `name` is a number of bytes, which may be given as "10M"."""
    return "(suffixes K, M, G)" in (Settings.model_fields[name].description or "")


@dataclass(frozen=True, slots=True)
class _Given:
    """One value as the operator gave it, and where: "--port", "PENSTOCK_PORT", "port in penstock.toml"."""

    source: str
    value: Any


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """The settings from all sources: a flag beats a variable, a variable beats the file, the file beats the default.

    Args:
        flags: what the command line gave, by setting name; None where it gave nothing. `config` names the TOML file.
        environ: where `PENSTOCK_*` is looked up; lists are separated by commas, an empty variable counts as unset.

    Raises:
        ConfigError: a value that cannot be used, by its source; or a file that cannot be read.
    """
    file = flags.get("config") or environ.get(f"{ENV_PREFIX}CONFIG")
    given: dict[str, _Given] = dict(_from_file(Path(file))) if file else {}
    given.update(_from_environ(environ))
    given.update(
        (name, _Given(flag_of(name), value))
        for name, value in flags.items()
        if value is not None and name in Settings.model_fields
    )
    return _validate(given)


def _validate(given: Mapping[str, _Given], *, base: Mapping[str, Any] | None = None) -> Settings:
    try:
        return Settings.model_validate(dict(base or {}) | {name: one.value for name, one in given.items()})
    except ValidationError as error:
        raise ConfigError(_sentence(error, given)) from None


def flag_of(name: str) -> str:
    """A setting's flag, as it is typed."""
    return "MODEL" if name == "model" else "--" + name.replace("_", "-")


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """`PENSTOCK_*` variables that name no setting: worth a warning, for a typo would otherwise pass in silence."""
    known = {f"{ENV_PREFIX}{name.upper()}" for name in (*Settings.model_fields, "config")}
    return sorted(name for name in environ if name.startswith(ENV_PREFIX) and name not in known)


def _from_environ(environ: Mapping[str, str]) -> Iterator[tuple[str, _Given]]:
    for name in Settings.model_fields:
        variable = f"{ENV_PREFIX}{name.upper()}"
        text = environ.get(variable)
        if text is None:
            continue
        if name == "api_key" and not text.strip(", "):
            raise ConfigError(f"{variable} is empty: give it a key, or unset it to serve without authentication.")
        if text:
            values = [part.strip() for part in text.split(",") if part.strip()]
            yield name, _Given(variable, values if is_list(name) else text)


def _from_file(path: Path) -> Iterator[tuple[str, _Given]]:
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"Cannot read the settings file {path}: {reason}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"The settings file {path} is not TOML: {error}.") from None
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in Settings.model_fields:
            close = difflib.get_close_matches(name, Settings.model_fields, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise ConfigError(f"The settings file {path} has {key!r}, which is no setting{hint}")
        if isinstance(value, bool):
            raise ConfigError(f"{key} in {path} should not be {str(value).lower()}: no setting is a switch.")
        values = [value] if is_list(name) and isinstance(value, str) else value
        yield name, _Given(f"{key} in {path}", values)


def _sentence(error: ValidationError, given: Mapping[str, _Given]) -> str:
    """The first thing wrong, as source, value and expectation. A secret's value is left out."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0])
    one = given[name]
    value = "" if name == "api_key" else f" {one.value!r}" if not isinstance(one.value, str) else f" {one.value}"
    expected = re.sub(r"^(Input|String|List) should ", "", first["msg"]).split(", unable")[0]
    suffix = " or a size like 10M or 2G" if is_size(name) and first["type"].startswith("int_") else ""
    return f"{one.source}{value} should {expected}{suffix}."
