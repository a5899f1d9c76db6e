"""Makes the golden checkpoints of tests/data/golden with transformers: random weights, and what it computes for them.

Not run by the test suite, and its packages are no dependencies of Penstock's. In an environment of its own:

    python -m venv golden_env
    golden_env/bin/pip install torch==2.13.0 transformers==5.23.0
    golden_env/bin/python tests/parity/make_golden.py [NAME ...]

A model is a row of `MODELS` in made_models.py; without a name all are made. Each folder gets config.json (as
transformers 5 saves it), config.hub.json (the spelling of transformers 4), model.safetensors (bfloat16 numbers that
float32 arithmetic reads exactly, to keep the files small) and golden.json: for two prompts the best logits at their end
and the greedy continuation, in float32, with eager attention. A seed is tried after the other until every step of the
continuation is decided clearly.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from made_models import MODELS, fields_of

FOLDER = Path(__file__).parents[1] / "data" / "golden"
LENGTHS = (19, 90)
NUM_TOKENS = 16
#: The best logit is above the second by this share of the logits' root mean square, at every step.
MARGIN = 0.01


def main() -> None:
    torch.manual_seed(0)
    for name in sys.argv[1:] or MODELS:
        for seed in range(100):
            model = make_model(*fields_of(name), seed)
            prompts = [record(model, length) for length in LENGTHS]
            if min(prompt.pop("margin") for prompt in prompts) >= MARGIN:
                break
        else:
            raise SystemExit(f"{name}: no seed of 100 decides every step clearly")
        save(model, FOLDER / name, prompts)
        print(name, seed, sum(file.stat().st_size for file in (FOLDER / name).iterdir()))


def make_model(kind: str, fields: dict[str, Any], seed: int) -> Any:
    """Random weights that make every part of the model matter, each number one of bfloat16's. `kind`: of config."""
    config = getattr(transformers, kind)(**fields)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    randomise(model, seed)
    return model


def randomise(model: Any, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in dict(model.named_parameters()).values():
            is_embedding = parameter.ndim == 2 and parameter.shape[0] == model.config.vocab_size
            spread = 1.0 if is_embedding else 0.2 if parameter.ndim < 2 else 1.3 * parameter.shape[-1] ** -0.5
            centre = parameter.mean().round() if parameter.ndim < 2 else 0.0
            values = torch.randn(parameter.shape, generator=generator) * spread + centre
            parameter.copy_(values.bfloat16().float())
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_((torch.randn(buffer.shape, generator=generator) * 0.2).bfloat16().float())


def record(model: Any, length: int, *, num_tokens: int = NUM_TOKENS) -> dict[str, Any]:
    """A prompt of random ids, and what the model makes of it."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(3, model.config.vocab_size, (length,), generator=generator).tolist()
    last, new, margin = None, [], float("inf")
    for _ in range(num_tokens):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids + new]), use_cache=False).logits[0, -1]
        last = logits if last is None else last
        best = torch.topk(logits, 2)
        margin = min(margin, float((best.values[0] - best.values[1]) / logits.square().mean().sqrt()))
        new.append(int(best.indices[0]))
    assert last is not None
    top = torch.topk(last, 20)
    return {
        "name": f"p{length}",
        "length": length,
        "kind": "random",
        "ids": ids,
        "last_logits": {
            "top_ids": top.indices.tolist(),
            "top_values": [float(f"{value:.7g}") for value in top.values.tolist()],
            "l2": float(f"{last.norm():.7g}"),
            "sum": float(f"{last.double().sum():.7g}"),
        },
        "greedy": {"ids": new},
        "margin": margin,
    }


def save(model: Any, folder: Path, prompts: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.bfloat16().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = "bfloat16"
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True))
    (folder / "config.hub.json").write_text(json.dumps(hub_spelling(config), indent=1, sort_keys=True))
    made_with = {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__}
    (folder / "golden.json").write_text(json.dumps({"made_with": made_with, "prompts": prompts}))
    (folder / "generation_config.json").unlink(missing_ok=True)


def hub_spelling(config: dict[str, Any]) -> dict[str, Any]:
    """As transformers 4 wrote it: `rope_theta`, `rope_scaling`, `torch_dtype`, and no list of layers' kinds."""
    old = dict(config)
    old["torch_dtype"] = old.pop("dtype")
    if old["model_type"] in ("exaone4", "olmo3"):  # a pattern, or the default, says it
        old.pop("layer_types")
    rope = dict(old.pop("rope_parameters", None) or {})
    rope = rope.get("full_attention", rope)
    theta, share = rope.pop("rope_theta", None), rope.pop("partial_rotary_factor", None)
    names = {"gpt_neox": ("rotary_emb_base", "rotary_pct")}.get(
        old["model_type"], ("rope_theta", "partial_rotary_factor")
    )
    old |= {name: value for name, value in zip(names, (theta, share), strict=True) if value is not None}
    old["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    return old


if __name__ == "__main__":
    main()
