"""`import penstock` is light, and every public name is there when asked for."""

import subprocess
import sys

import pytest

import penstock


@pytest.mark.parametrize("name", penstock.__all__)
def test_a_name_is_there(name: str) -> None:
    assert getattr(penstock, name).__name__ == name
    assert name in dir(penstock)


def test_no_other_is() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        penstock.Nothing  # noqa: B018


def test_importing_loads_nothing() -> None:
    code = "import sys, penstock; print(sorted({'jax', 'pydantic', 'granian', 'asyncio'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_server_needs_no_jax() -> None:
    code = "import sys, penstock; penstock.PenstockServer; print('jax' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
