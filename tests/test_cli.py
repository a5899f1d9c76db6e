"""The command line as an operator meets it: one sentence, the right exit code, never a traceback."""

import os
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from penstock.cli import main
from penstock.config import Settings


def penstock(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    command = [sys.executable, "-m", "penstock", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=clean | environ, timeout=60, check=False)


def assert_refused(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr


def test_every_setting_is_a_flag_with_its_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["serve", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert name == "model" or f"--{name.replace('_', '-')} " in shown
        assert field.description in shown
    assert "(default: 10M)" in shown


def test_the_version_is_the_packages() -> None:
    done = penstock("--version")
    assert (done.returncode, done.stdout) == (0, f"penstock {version('penstock')}\n")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--no-such-flag"], ["unrecognized arguments: --no-such-flag"]),
        (["--port", "0"], ["--port 0 should be greater than or equal to 1."]),
        (["--engine", "vllm"], ["--engine vllm should be 'jax' or 'echo'."]),
        (["/no/such/model"], ["/no/such/model"]),
        (["--host", "no-such-host.invalid", "--engine", "echo"], ["--host no-such-host.invalid", "not known"]),
        (["--config", "/no/such.toml"], ["/no/such.toml", "No such file"]),
    ],
    ids=lambda value: " ".join(value)[:24],
)
def test_a_refusal_is_one_sentence_and_exit_code_2(arguments: list[str], parts: list[str]) -> None:
    assert_refused(penstock("serve", *arguments), "penstock serve:", *parts)


def test_a_wrong_variable_is_refused_by_its_name() -> None:
    assert_refused(penstock("serve", PENSTOCK_PORT="tcp://10.0.0.1:80"), "PENSTOCK_PORT tcp://10.0.0.1:80 should be")


def test_a_port_in_use_is_refused_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(penstock("serve", "--engine", "echo", "--port", port), f"Cannot bind 127.0.0.1:{port}", "in use")


def test_a_model_folder_is_refused_by_what_was_looked_for(tmp_path: Path) -> None:
    assert_refused(penstock("serve", str(tmp_path)), str(tmp_path), "config.json")


def test_a_longer_context_than_the_models_is_refused() -> None:
    assert_refused(penstock("serve", "--max-model-len", "10000000"), "--max-model-len 10000000 should be at most")


def test_no_command_shows_the_help() -> None:
    done = penstock()
    assert done.returncode == 2
    assert "usage: penstock" in done.stderr
