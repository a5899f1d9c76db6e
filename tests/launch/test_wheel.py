"""The wheel as a stranger gets it: alone in an empty environment, asked by the official client from another."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from openai import OpenAI
from processes import Launch, free_port

MAX_BYTES = 15e6

WHEEL = os.environ.get("PENSTOCK_TEST_WHEEL", "")
pytestmark = pytest.mark.skipif(not WHEEL, reason="make test builds the wheel and names it in PENSTOCK_TEST_WHEEL")


@pytest.mark.timeout(600)
def test_an_installed_wheel_answers_the_official_client(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    subprocess.run([tmp_path / "venv/bin/python", "-m", "pip", "install", "-q", WHEEL], check=True)
    port = free_port()
    with Launch([str(tmp_path / "venv/bin/penstock"), "serve", "--port", str(port)], port) as launch:
        launch.wait_for("/ready", timeout_s=120)
        client = OpenAI(base_url=f"{launch.url}/v1", api_key="none")
        model = client.models.list().data[0].id
        ask = [{"role": "user", "content": "Hello"}]
        plain = client.chat.completions.create(model=model, messages=ask, max_tokens=8, temperature=0)
        stream = client.chat.completions.create(model=model, messages=ask, max_tokens=8, temperature=0, stream=True)
        text = "".join(event.choices[0].delta.content or "" for event in stream)
        assert text == plain.choices[0].message.content
        assert plain.usage.completion_tokens == 8 or plain.choices[0].finish_reason == "stop"


def test_the_wheel_is_small_typed_and_for_any_python_from_3_11() -> None:
    path = Path(WHEEL)
    names = zipfile.ZipFile(path).namelist()
    assert "-cp311-abi3-" in path.name
    assert path.stat().st_size < MAX_BYTES
    assert {"penstock/py.typed", "penstock/_core.pyi"} <= set(names)
    assert not [name for name in names if name.startswith("tests/") or name.endswith(".pyc")]
