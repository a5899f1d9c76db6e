"""The model that ships in the package, so that `penstock serve` answers without a download."""

from pathlib import Path

#: What clients send as `model` to reach it.
MODEL_NAME = "penstock-demo"


def model_path() -> Path:
    """The bundled model's folder. The package is always unpacked on disk: granian and jax need files too."""
    return Path(__file__).parent / "model"
