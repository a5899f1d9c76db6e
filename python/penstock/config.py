"""Every setting, once: flags, `PENSTOCK_*` variables and a TOML file all fill this one model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class Settings(BaseModel):
    """The settings of one server. A bound that is a promise has its setting here.

    A field's description is its `--help` text and its line in the docs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Path | None = Field(None, description="Hugging Face model folder; none serves the bundled model")
    host: str = Field("127.0.0.1", description="address to bind")
    port: int = Field(11556, ge=1, le=65535, description="port to bind")
    model_name: str | None = Field(None, description="id that clients send as `model`; default: the folder's name")
    engine: Literal["jax", "echo"] = Field("jax", description="echo is a fake engine for front-end tests")
    echo_interval_ms: float = Field(0.0, ge=0, description="echo: time between tokens; 0 as fast as they are taken")

    dtype: Literal["float32", "bfloat16"] | None = Field(
        None, description="of weights and cache; default: float32 on CPU, bfloat16 on accelerators"
    )
    max_model_len: int | None = Field(None, ge=16, description="prompt and new tokens together; default: the model's")
    max_num_seqs: int = Field(32, ge=1, le=1024, description="sequences decoded at once")
    kv_cache_memory: int | None = Field(None, ge=1, description="bytes for the KV cache (suffixes K, M, G)")
    max_prefill_tokens: int = Field(256, ge=16, description="prompt tokens computed per step beside decode")
    tokens_per_dispatch: int | None = Field(None, ge=1, le=32, description="tokens per decode call when nobody waits")
    pipeline_depth: int | None = Field(None, ge=1, le=2, description="steps in flight")
    compile_cache: Path | None = Field(None, description="folder of compiled programs; default: the user's cache")

    max_queued_requests: int = Field(512, ge=1, description="requests waiting for a slot; more get 503")
    max_request_size: int = Field(10 * 1024 * 1024, ge=1, description="bytes of a request body")
    max_header_count: int = Field(100, ge=1, description="headers of a request")
    max_choices: int = Field(128, ge=1, le=4096, description="n times prompts of one request")
    max_stop_strings: int = Field(16, ge=1, description="stop strings of one request")
    max_pending_bytes: int = Field(1 << 20, ge=4096, description="unread bytes after which a slow reader is cancelled")
    request_timeout_s: float = Field(300.0, gt=0, description="a request's time limit")
    keep_alive_s: float = Field(10.0, gt=0, description="silence after which a stream gets a `: ping` comment")
    drain_timeout_s: float = Field(30.0, ge=0, description="time that streams get to finish after SIGTERM")
    tokenizer_threads: int = Field(2, ge=1, le=64, description="threads that render templates and encode prompts")

    api_key: list[SecretStr] = Field(default_factory=list, description="accepted API keys; none: no authentication")
    cors_origin: list[str] = Field(default_factory=list, description="allowed origins; none: CORS off")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="of Penstock's own log")
