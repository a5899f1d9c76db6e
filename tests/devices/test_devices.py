"""A model over several devices, in processes of their own: jax makes several devices of a CPU only when it starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(file.name for file in HERE.glob("*_on_devices.py")))
def test_on_eight_virtual_devices(name: str):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=600", str(HERE / name)]
    done = subprocess.run(
        command, env=os.environ | {"JAX_NUM_CPU_DEVICES": "8"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
