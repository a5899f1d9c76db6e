"""Live servers, shared by the whole run: real processes on free ports, asked over real sockets."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "launch"))

from processes import Launch, free_port

ServeEcho = Callable[..., Launch]


@pytest.fixture(scope="session")
def serve_echo() -> Iterator[ServeEcho]:
    """Starts `penstock serve --engine echo` with flags, once for the same flags, and returns it when it is ready."""
    servers: dict[tuple[str, ...], Launch] = {}
    with ExitStack() as stack:

        def serve(*flags: str) -> Launch:
            if flags not in servers:
                port = free_port()
                command = [sys.executable, "-m", "penstock", "serve", "--engine", "echo", "--port", str(port), *flags]
                server = stack.enter_context(Launch(command, port))
                server.wait_for("/ready")
                servers[flags] = server
            return servers[flags]

        yield serve


@pytest.fixture(scope="session")
def compile_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled programs, for servers of the bundled model's shapes."""
    return tmp_path_factory.mktemp("programs")


@pytest.fixture(scope="session")
def jax_server(compile_cache: Path) -> Iterator[Launch]:
    """The real engine with the bundled model, in few and small programs."""
    port = free_port()
    flags = ["--max-num-seqs", "4", "--max-prefill-tokens", "16", "--compile-cache", str(compile_cache)]
    with Launch([sys.executable, "-m", "penstock", "serve", "--port", str(port), *flags], port) as server:
        server.wait_for("/ready", timeout_s=120)
        yield server


@pytest.fixture(scope="session")
def echo_server(serve_echo: ServeEcho) -> Launch:
    """As fast as it can, no key."""
    return serve_echo()


@pytest.fixture(scope="session")
def paced_server(serve_echo: ServeEcho) -> Launch:
    """A token every 10 ms: slow enough to be left in the middle."""
    return serve_echo("--echo-interval-ms", "10")


@pytest.fixture(scope="session")
def slow_server(serve_echo: ServeEcho) -> Launch:
    """A token every 400 ms, and a comment into every silence of 100 ms; pages of one origin may ask it."""
    return serve_echo("--echo-interval-ms", "400", "--keep-alive-s", "0.1", "--cors-origin", "https://a.example")


@pytest.fixture(scope="session")
def guarded_server(serve_echo: ServeEcho) -> Launch:
    """With the key "secret"."""
    return serve_echo("--api-key", "secret")


@pytest.fixture(scope="session")
def serve_slashed(serve_echo: ServeEcho) -> Launch:
    """Its model is called "org/model"."""
    return serve_echo("--model-name", "org/model")
