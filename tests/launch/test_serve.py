"""The whole server as processes, under both launches, with the echo engine; asked by the official client."""

import contextlib
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI
from processes import Launch, free_port, granian

from penstock import demo

KINDS = ["serve", "granian-uvloop", "granian-asyncio", "own-server"]
INTERVAL = {"engine": "echo", "echo_interval_ms": "50"}


def own_server(fault: str = "", port: int | None = None) -> Launch:
    port = port or free_port()
    return Launch([sys.executable, "own_server.py", str(port), fault], port)


def launch(kind: str, **settings: str) -> Launch:
    """A server with `settings`: as flags of `penstock serve`, as variables under granian."""
    port = free_port()
    if kind == "serve":
        flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
        return Launch([sys.executable, "-m", "penstock", "serve", *flags, "--port", str(port)], port)
    if kind == "own-server":
        return Launch([sys.executable, "own_server.py", str(port)], port)
    command = granian("penstock.asgi:app", port, "--loop", kind.removeprefix("granian-"))
    return Launch(command, port, **{f"PENSTOCK_{name.upper()}": value for name, value in settings.items()})


def ask(server: Launch, *, max_tokens: int, model: str = "echo", api_key: str = "none") -> Iterator[bytes]:
    """The lines of a streamed completion, after the first event."""
    body = {"model": model, "prompt": "a", "max_tokens": max_tokens, "stream": True}
    headers = {"content-type": "application/json", "authorization": f"Bearer {api_key}"}
    request = urllib.request.Request(f"{server.url}/v1/completions", json.dumps(body).encode(), headers)
    answer = urllib.request.urlopen(request, timeout=30)
    assert answer.readline().startswith(b"data: {")
    return iter(answer)


def events(lines: Iterator[bytes]) -> list[bytes]:
    return [line.rstrip().removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ctrl_c", [False, True], ids=["term", "ctrl-c"])
def test_a_stream_ends_whole_while_new_work_gets_503(kind: str, ctrl_c: bool) -> None:
    with launch(kind, **INTERVAL) as server:
        server.wait_for("/ready")
        stream = ask(server, max_tokens=30)
        server.signal(signal.SIGINT if ctrl_c else signal.SIGTERM, group=ctrl_c)
        server.wait_for("/ready", status=503, timeout_s=1)
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask(server, max_tokens=1)
        assert refused.value.code == 503
        assert json.loads(refused.value.read())["error"]["code"] == "draining"
        rest = events(stream)
        assert rest[-1] == b"[DONE]"
        assert json.loads(rest[-2])["choices"][0]["finish_reason"] == "length"
        assert server.exit_code() == 0
        assert "Traceback" not in server.log
        assert kind != "own-server" or "own shutdown" in server.log


@pytest.mark.parametrize("kind", ["serve", "granian-uvloop", "own-server"])
def test_a_stream_that_outlasts_the_drain_ends_with_an_error_frame(kind: str) -> None:
    settings = {**INTERVAL, "drain_timeout_s": "0.5"}
    with own_server("short-drain") if kind == "own-server" else launch(kind, **settings) as server:
        server.wait_for("/ready")
        stream = ask(server, max_tokens=2000)
        server.signal(signal.SIGTERM)
        rest = events(stream)
        assert rest[-1] == b"[DONE]"
        assert json.loads(rest[-2])["error"]["code"] == "draining"
        assert server.exit_code() == 0


def test_keys_guard_the_server_and_are_shown_nowhere() -> None:
    with launch("serve", **INTERVAL, api_key="sk-hush") as server:
        server.wait_for("/ready")
        assert server.status("/v1/models") == 401
        with pytest.raises(openai.AuthenticationError):
            OpenAI(base_url=f"{server.url}/v1", api_key="sk-wrong").models.list()
        assert OpenAI(base_url=f"{server.url}/v1", api_key="sk-hush").models.list().data[0].id == "echo"
        shown = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().decode().split("\0")
        assert {"penstock", "serve", "echo"} <= set(shown)
        assert "hush" not in server.log + "".join(shown)


def test_keys_stay_in_no_environment_and_no_open_file() -> None:
    port = free_port()
    command = [sys.executable, "-m", "penstock", "serve", "--engine", "echo", "--port", str(port)]
    with Launch(command, port, PENSTOCK_API_KEY="sk-hush") as server:
        server.wait_for("/ready")
        assert server.status("/v1/models") == 401
        for process in (server.process.pid, server.worker_pid()):
            assert b"hush" not in Path(f"/proc/{process}/environ").read_bytes()
            names = [os.readlink(file) for file in Path(f"/proc/{process}/fd").iterdir()]
            assert not [name for name in names if "penstock-settings" in name]


def test_two_servers_started_together_do_not_share_a_port() -> None:
    port = free_port()
    command = [sys.executable, "-m", "penstock", "serve", "--engine", "echo", "--port", str(port)]
    with Launch(command, port) as one, Launch(command, port) as other:
        one.wait_until(lambda: None not in (one.process.poll(), other.process.poll()) or one.status("/ready") == 200)
        loser, winner = (one, other) if one.process.poll() is not None else (other, one)
        assert loser.exit_code() == 2
        assert loser.log == f"penstock serve: Cannot bind 127.0.0.1:{port}: Address already in use.\n"
        assert winner.status("/ready") == 200
        with own_server(port=port) as own:
            assert own.exit_code() == 2
            assert own.log == f"penstock: Cannot bind localhost:{port}: Address already in use.\n"


@pytest.mark.parametrize("kind", ["workers", "reload"])
def test_what_an_own_server_cannot_do_is_one_sentence(kind: str) -> None:
    with own_server(kind) as server:
        assert server.exit_code() == 2
        assert len(server.log.splitlines()) == 1
        assert {"workers": "start it with --workers 1", "reload": "a name that can be imported"}[kind] in server.log


def test_an_own_server_with_a_name_is_reloaded_when_its_source_changes(tmp_path: Path) -> None:
    source = """if True:
        import sys
        from own_server import make_server
        server = make_server()
        server.server_version = "1"
        if __name__ == "__main__":
            server.run(port=int(sys.argv[1]), reload=True)
        """
    script, port = tmp_path / "named_server.py", free_port()
    script.write_text(source)
    with Launch([sys.executable, str(script), str(port)], port) as server:
        server.wait_for("/ready")
        assert server.body("/version") == b'{"version":"1"}'
        script.write_text(source.replace('"1"', '"2"'))
        server.wait_until(lambda: server.body("/version") == b'{"version":"2"}')
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert "Traceback" not in server.log


def test_a_killed_worker_is_told_by_its_signal() -> None:
    with launch("serve", engine="echo") as server:
        server.wait_for("/ready")
        os.kill(server.worker_pid(), signal.SIGKILL)
        assert server.exit_code() == 1
        assert server.log.count("was ended by SIGKILL") == 1
        assert "memory" in server.log


def test_a_killed_worker_is_started_again_within_the_bound() -> None:
    with launch("serve", engine="echo", restart="1") as server:
        server.wait_for("/ready")
        first = server.worker_pid()
        os.kill(first, signal.SIGKILL)
        server.wait_until(lambda: server.status("/ready") == 200)
        assert server.worker_pid() != first
        os.kill(server.worker_pid(), signal.SIGKILL)
        assert server.exit_code() == 1
        assert "giving up" in server.log


def test_binding_for_others_without_a_key_warns() -> None:
    with launch("serve", engine="echo", host="0.0.0.0") as server:
        server.wait_for("/ready")
        assert "without an API key" in server.log


def test_granian_refuses_with_the_sentence_of_penstock_serve(tmp_path: Path) -> None:
    with launch("granian-uvloop", model=str(tmp_path)) as under_granian:
        assert under_granian.exit_code() == 1
        with Launch([sys.executable, "-m", "penstock", "serve", str(tmp_path)], free_port()) as serve:
            assert serve.exit_code() == 2
            sentence = serve.log.strip().removeprefix("penstock serve: ")
        assert sentence in under_granian.log
        assert "Traceback" not in under_granian.log


def test_a_second_worker_ends_the_server_with_a_sentence() -> None:
    port = free_port()
    command = granian("penstock.asgi:app", port, "--workers", "2")
    with Launch(command, port, PENSTOCK_ENGINE="echo") as server:
        assert server.exit_code() == 1
        assert "start it with --workers 1" in server.log
        assert "Traceback" not in server.log


def test_a_signal_while_programs_compile_stops_the_server_at_once(tmp_path: Path) -> None:
    with launch("serve", compile_cache=str(tmp_path)) as server:
        deadline = time.monotonic() + 60
        while b"compiled" not in server.body("/ready"):
            assert time.monotonic() < deadline, server.log
            time.sleep(0.1)
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert time.monotonic() - start < 5
        assert "Traceback" not in server.log


def test_a_model_that_does_not_fit_stops_the_server_after_ready_told_why() -> None:
    with launch("serve", kv_cache_memory="40K", max_model_len="256") as server:
        server.wait_for("/ready", status=503)
        told = b""
        while server.process.poll() is None:
            told += server.body("/ready")
        assert server.exit_code() == 1
        assert f"Cannot serve {demo.MODEL_NAME}" in server.log
        assert b"--kv-cache-memory" in told
        assert "Traceback" not in server.log


def test_a_shutdown_that_fails_is_logged_and_ends_with_code_1() -> None:
    with own_server("shutdown") as server:
        server.wait_for("/ready")
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 1
        assert "OSError: the database is gone" in server.log


def test_a_signal_while_the_tokenizer_is_read_ends_the_server_at_once(tmp_path: Path) -> None:
    """A pipe that nobody writes to is a disk that never answers."""
    for file in demo.model_path().iterdir():
        if file.name != "tokenizer.json":
            (tmp_path / file.name).symlink_to(file)
    os.mkfifo(tmp_path / "tokenizer.json")
    with launch("granian-uvloop", engine="echo", model=str(tmp_path)) as server:
        writer = open_writer(tmp_path / "tokenizer.json", server)
        server.signal(signal.SIGTERM)
        assert server.exit_code(5) == 0
        os.close(writer)


def open_writer(pipe: Path, server: Launch) -> int:
    """The writing end of `pipe`, once somebody reads it."""
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        assert time.monotonic() < deadline, server.log
        time.sleep(0.05)
