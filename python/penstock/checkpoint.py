"""A model folder or a GGUF file, checked: what it holds and whether this engine can serve it, from headers alone.

No jax and no weights are read here, so the launcher can refuse a model in milliseconds, with one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from penstock.errors import ModelError
from penstock.generation import SamplingDefaults
from penstock.generation_config import read_json_object, sampling_defaults, stop_ids
from penstock.gguf_file import BLOCK_DTYPES, GgufTensor, is_gguf, read_gguf
from penstock.layers.leaf import LeafSpec, Stored
from penstock.models.gguf_family import ROPE_FACTORS, gguf_family
from penstock.models.hf_config import HfConfig
from penstock.models.registry import Family, find_family, stored_as
from penstock.models.spec import DecoderSpec
from penstock.models.tree import layer_leaves, top_leaves
from penstock.pooling import PoolingConfig
from penstock.pooling_config import read_pooling
from penstock.safetensors_header import TensorInfo, read_header
from penstock.unread_tensors import check_unread

__all__ = ["Checkpoint", "LeafSource", "TensorInfo", "inspect_checkpoint", "model_name"]

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
DTYPES = ("bfloat16", "float16", "float32")
#: safetensors' and ggml's names of the dtypes that tensors may have.
STORED_DTYPES = {"plain": ("F32", "BF16", "F16"), "mxfp4": ("U8",)}
#: Tensors of a GGUF file that are part of its config.
_GGUF_CONFIG_TENSORS = (ROPE_FACTORS, "rope_factors_long.weight", "rope_factors_short.weight")
#: Keys of a GGUF file with sampling defaults, by their names in generation_config.json.
_GGUF_SAMPLING = {name: f"general.sampling.{name}" for name in ("top_p", "top_k", "min_p")} | {
    "temperature": "general.sampling.temp"
}


Tensors = Mapping[str, TensorInfo | GgufTensor]


@dataclass(frozen=True, slots=True)
class _ModelFiles:
    """What a folder or a GGUF file holds.

    Attributes:
        config, generation: of the two JSON files, or what they would say.
        read_tensors: every stored tensor by name.
        in_config: names of tensors that are part of the config.
    """

    config: dict[str, Any]
    generation: dict[str, Any]
    family: Family
    read_tensors: Callable[[], Tensors]
    in_config: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeafSource:
    """Where one leaf of the weight tree comes from.

    Attributes:
        layer: the layer's number; None for a leaf outside the layers.
        stored: one tensor for each part of the leaf, in order, or one for all of them.
    """

    leaf: LeafSpec
    layer: int | None
    stored: Stored

    @property
    def each_stored(self) -> Iterator[Stored]:
        """What is read for one expert after another, where each has tensors of its own; else all at once."""
        if not self.leaf.has_experts or self.stored.has_all_experts:
            yield self.stored
            return
        for expert in range(self.leaf.shape[0]):
            yield self.stored.of_expert(expert)


@dataclass(frozen=True)
class Checkpoint:
    """A model that can be served.

    Attributes:
        path: of its folder or its GGUF file.
        config: config.json as parsed, or what it would say.
        stop_ids: end-of-text ids, of generation_config.json and config.json together, ascending.
        max_position_embeddings: the longest sequence the model was made for.
        tensors: every stored tensor by name.
        sources: for each leaf of the weight tree its tensors.
        has_head: it can say what comes next; else it makes embeddings alone.
        pooling: how embeddings are made.
    """

    path: Path
    config: dict[str, Any]
    spec: DecoderSpec
    stop_ids: tuple[int, ...]
    sampling_defaults: SamplingDefaults
    max_position_embeddings: int
    vocab_size: int
    architecture: str
    tensors: Tensors
    sources: tuple[LeafSource, ...]
    has_head: bool
    pooling: PoolingConfig


def inspect_checkpoint(path: Path) -> Checkpoint:
    """Checks a Hugging Face model folder or a GGUF file.

    Raises:
        ModelError: one sentence with what was looked for and what was found.
    """
    files = _read_gguf(path) if is_gguf(path) else _read_folder(path)
    config, family = files.config, files.family
    _check_numbers(config, family)
    _check_causal(config)
    reader = family.reader(config)
    spec = family.spec(reader)
    has_head = not family.is_headless(config)
    if not has_head:
        spec = replace(spec, is_tied=True, has_head_bias=False)
    tensors = files.read_tensors()
    sources = tuple(_leaf_sources(family.as_stored(tensors), reader, spec, tensors))
    for source in sources:
        _check_source(path, source, tensors)
    read = (name for source in sources for stored in source.each_stored for name in stored.names)
    check_unread(tensors, [*read, *files.in_config], config, num_layers=spec.num_layers, is_tied=spec.is_tied)
    return Checkpoint(
        path=path,
        config=config,
        spec=spec,
        stop_ids=stop_ids(spec.vocab_size, config, files.generation),
        sampling_defaults=sampling_defaults(files.generation),
        max_position_embeddings=reader.integer("max_position_embeddings", default=spec.num_learned_positions or 2048),
        vocab_size=spec.vocab_size,
        architecture=family.architecture,
        tensors=tensors,
        sources=sources,
        has_head=has_head,
        pooling=read_pooling(path, hidden_size=spec.hidden_size),
    )


def model_name(path: Path) -> str:
    """What a model is called where nobody says: as its folder, or as its GGUF file without the ending."""
    path = path.resolve()
    return path.stem if is_gguf(path) else path.name


def _read_folder(path: Path) -> _ModelFiles:
    config = _read_config(path)
    file = path / "generation_config.json"
    generation = read_json_object(file) if file.is_file() else {}
    return _ModelFiles(config, generation, find_family(config), lambda: _read_tensors(path))


def _read_gguf(path: Path) -> _ModelFiles:
    model = read_gguf(path)
    config, family = gguf_family(model)
    generation = {name: model.metadata.get(key) for name, key in _GGUF_SAMPLING.items()}
    generation["eos_token_id"] = model.stop_ids
    return _ModelFiles(config, generation, family, lambda: model.tensors, _GGUF_CONFIG_TENSORS)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        found = "a folder" if path.is_dir() else "a file" if path.exists() else "nothing"
    except OSError as error:  # as of a name that no file can have
        found = f"nothing: {error.strerror}"
    if found != "a folder":
        raise ModelError(f"looked for a model folder at {path}, found {found}{_hint(path, found)}")
    if not (path / "config.json").is_file():
        raise ModelError(f"looked for config.json in {path}, found {_listing(path)}")
    return read_json_object(path / "config.json")


def _hint(path: Path, found: str) -> str:
    """How to get a model that was named by its id on the hub: nothing is fetched here."""
    if found != "nothing" or not _HUB_ID.fullmatch(str(path)):
        return ""
    return (
        f"; if that is a model's id on the Hugging Face Hub, fetch it first: hf download {path} --local-dir {path.name}"
    )


def _check_numbers(config: Mapping[str, Any], family: Family) -> None:
    """Refuses what is stored in a way that is neither plain floating point nor one that the family's weights have."""
    quantization = config.get("quantization_config")
    if quantization and not (isinstance(quantization, dict) and quantization.get("quant_method") in family.encodings):
        method = quantization.get("quant_method", "unnamed") if isinstance(quantization, dict) else "unnamed"
        raise ModelError(f"config.json: quantization_config ({method}) is not supported, expected plain weights")
    dtype = config.get("dtype") or config.get("torch_dtype") or "float32"
    if dtype not in DTYPES:
        raise ModelError(f"config.json: dtype {dtype!r} is not supported, expected one of {list(DTYPES)}")


def _check_causal(config: Mapping[str, Any]) -> None:
    """Refuses a decoder that was turned into an encoder, as some embedding models are: its tokens see those after
    them."""
    if config.get("is_causal") is False or config.get("use_bidirectional_attention"):
        raise ModelError("config.json: attention to later tokens (is_causal: false) is not supported")


def _read_tensors(path: Path) -> dict[str, TensorInfo]:
    """The single file goes first where both are there, as in transformers."""
    if (path / SINGLE_FILE).is_file():
        return read_header(path / SINGLE_FILE)
    if (path / INDEX_FILE).is_file():
        return _read_shards(path)
    raise ModelError(f"looked for {SINGLE_FILE} or {INDEX_FILE} in {path}, found {_listing(path)}")


def _read_shards(path: Path) -> dict[str, TensorInfo]:
    weight_map = read_json_object(path / INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise ModelError(f"{path / INDEX_FILE} has no weight_map from tensor names to files")
    headers = {}
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name:
            raise ModelError(f"{path / INDEX_FILE} names {name!r}: expected a file in the same folder")
        if not (path / name).is_file():
            raise ModelError(f"looked for the shard {name} in {path}, found {_listing(path)}")
        headers[name] = read_header(path / name)
    lost = next((tensor for tensor, name in weight_map.items() if tensor not in headers[name]), None)
    if lost is not None:
        raise ModelError(f"looked for tensor {lost} in {path / weight_map[lost]}, found it missing")
    return {tensor: headers[name][tensor] for tensor, name in weight_map.items()}


def _leaf_sources(family: Family, config: HfConfig, spec: DecoderSpec, tensors: Tensors) -> Iterator[LeafSource]:
    for leaf in top_leaves(spec):
        yield LeafSource(leaf, None, stored_as(family.top_tensors[leaf.name]))
    names = family.layer_tensors(config)
    for layer in range(spec.num_layers):
        for leaf in layer_leaves(spec, layer):
            yield LeafSource(leaf, layer, stored_as(names[leaf.name]).of_layer(layer, tensors))


def _check_source(path: Path, source: LeafSource, tensors: Tensors) -> None:
    """Refuses a leaf whose stored tensors are not each of the shape that the config asks for."""
    wanted = source.leaf.stored_shapes(source.stored)
    dtypes = STORED_DTYPES[source.stored.encoding] + (BLOCK_DTYPES if is_gguf(path) else ())
    for stored in source.each_stored:
        for name, want in zip(stored.names, wanted, strict=True):
            info = tensors.get(name)
            if info is None:
                raise ModelError(f"looked for tensor {name} in {path}, found {len(tensors)} others")
            if info.shape != want:
                found = list(info.shape)
                raise ModelError(f"tensor {name} of {path}: config.json asks for {list(want)}, found {found}")
            if info.dtype not in dtypes:
                expected = " or ".join(filter(None, (", ".join(dtypes[:-1]), dtypes[-1])))
                raise ModelError(f"tensor {name} of {path}: dtype {info.dtype} is not supported, expected {expected}")


def _listing(path: Path) -> str:
    names = sorted(entry.name + _kind(entry) for entry in path.iterdir())
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "") if names else "it empty"


def _kind(entry: Path) -> str:
    """What a listing must add to a name that looks like what was looked for."""
    if entry.is_symlink() and not entry.exists():
        return " (a broken link)"
    return "/" if entry.is_dir() else ""
