"""What a folder may hold: looked at before anything in it is opened by a library that trusts it.

A folder may come from anybody. Its hashes tell that a file is the one that was saved, and nothing about who saved it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from sentlora.errors import AdapterFolderError
from sentlora.strict_json import MEGABYTE, parse_json, read_text

# What a file may have in bytes; any other name, in particular that of weights, as much as it likes.
_MOST = {
    "tokenizer.json": 256 * MEGABYTE,
    "vocab.json": 64 * MEGABYTE,
    "vocab.txt": 64 * MEGABYTE,
    "merges.txt": 64 * MEGABYTE,
    "tokenizer_config.json": 16 * MEGABYTE,
    "added_tokens.json": 16 * MEGABYTE,
    "special_tokens_map.json": 16 * MEGABYTE,
    "training_log.jsonl": 64 * MEGABYTE,
}
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".joblib", ".ckpt", ".h5", ".msgpack")
# A group that is repeated without end can take a regular expression longer than anybody waits.
_ENDLESS = re.compile(r"\)(\*|\+|\{\d*,\})")
_MOST_LAYERS = 1000


def read_object(place: Path) -> dict[str, Any]:
    """Read a JSON object that sentlora, peft or transformers wrote.

    Raises:
        AdapterFolderError: If it is too large, no JSON, or no object.
    """
    try:
        found = parse_json(read_text(place, most=_MOST.get(place.name, MEGABYTE)))
    except ValueError as error:  # also that of what is no UTF-8
        raise AdapterFolderError(f"{place} is not valid JSON: {error}. Copy it again.") from error
    if not isinstance(found, dict):
        raise AdapterFolderError(f"{place} should hold a JSON object; found {type(found).__name__}. Copy it again.")
    return found


def check_places(folder: Path) -> None:
    """Refuse links that lead out of a folder, and files that are larger than they can be.

    A copy in the local cache of the Hub consists of links to the ``blobs`` beside it, and is fine.

    Raises:
        AdapterFolderError: Names the file.
    """
    inside = folder.resolve()
    blobs = inside.parent.parent / "blobs" if inside.parent.name == "snapshots" else inside
    for path in sorted(inside.rglob("*")):
        if path.is_symlink():
            target = path.resolve()
            if not target.is_relative_to(inside) and target.parent != blobs:
                raise AdapterFolderError(
                    f"{path} is a link to {str(path.readlink())!r}, which leads out of the folder; only files in the "
                    "folder are read. If the folder is your own, put the file itself there."
                )
        most = _MOST.get(path.name, MEGABYTE if path.suffix == ".json" else None)
        if most is not None and path.is_file() and (size := path.stat().st_size) > most:
            raise AdapterFolderError(
                f"{path} has {size:,} bytes, and no file of this name that sentlora wrote has more than {most:,}. It "
                "is not read."
            )


def check_names(place: Path, names: Iterable[str]) -> None:
    """Refuse names of files that lead out of a folder.

    Args:
        place: The file that holds the names, for the error.
        names: The names.

    Raises:
        AdapterFolderError: Names the first.
    """
    for name in names:
        if Path(name).name != name or "\\" in name or ":" in name:
            raise AdapterFolderError(f"{place} names the file {name!r}, which is outside the folder.")


def pickle_words(names: Iterable[str]) -> str:
    """Return what to say where weights are looked for in vain, and there are pickles."""
    pickles = sorted(name for name in names if name.endswith(_PICKLES))
    if not pickles:
        return ""
    return f" {pickles[0]} may hold weights, too, but can run code when it is opened: only safetensors files are."


def shapes_of(place: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a safetensors file by name; of its content only the header is read.

    Raises:
        AdapterFolderError: If the file is damaged.
    """
    try:
        with safe_open(place, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise AdapterFolderError(f"{place} is damaged: {error}. Copy the folder again.") from error


def check_finite(weights: Mapping[str, torch.Tensor], place: Path) -> None:
    """Refuse weights that are no numbers: they would make every score one.

    Raises:
        AdapterFolderError: Names the first tensor that holds NaN or infinity, or no floating-point numbers.
    """
    for name, tensor in weights.items():
        if not tensor.is_floating_point():
            raise AdapterFolderError(
                f"{place} holds the tensor {name!r} as {tensor.dtype}; expected floating-point numbers. Copy the "
                "folder again."
            )
        if not bool(torch.isfinite(tensor).all()):
            raise AdapterFolderError(
                f"{place} holds NaN or infinity in the tensor {name!r}, so every score would be NaN. Train the adapter "
                "again, or copy the folder again."
            )


def check_adapter_config(place: Path, weights: Path) -> None:
    """Refuse a configuration for `peft` that would do more than put the weights of a folder into a model.

    Args:
        place: ``adapter_config.json``.
        weights: The file with the adapter's weights, which bounds how large it can be.

    Raises:
        AdapterFolderError: If it imports a module, repeats layers or a pattern without end, or makes matrices larger
            than those in the file.
    """
    config, shapes = read_object(place), shapes_of(weights)
    if config.get("megatron_config") is not None:
        raise AdapterFolderError(f"{place} asks peft to import the module {config.get('megatron_core')!r}. It is not.")
    repeated = config.get("layer_replication") or []
    if (
        not isinstance(repeated, list)
        or len(repeated) > len(shapes)
        or any(_span(part) > len(shapes) for part in repeated)
    ):
        raise AdapterFolderError(
            f"{place} asks peft to repeat more layers of the base model than {weights.name} has matrices for. Copy the "
            "folder again."
        )
    largest = max((side for shape in shapes.values() for side in shape), default=1)
    for rank in (config.get("r"), *_values(config.get("rank_pattern"))):
        if isinstance(rank, int | float) and rank > largest:
            raise AdapterFolderError(
                f"{place} speaks of the rank {rank:,}, and no matrix in {weights.name} is larger than {largest:,}. "
                "Copy the folder again."
            )
    patterns = [config.get(name) for name in ("target_modules", "exclude_modules", "feedforward_modules")]
    patterns += [*_keys(config.get("rank_pattern")), *_keys(config.get("alpha_pattern"))]
    for pattern in patterns:
        if isinstance(pattern, str) and _ENDLESS.search(pattern):
            raise AdapterFolderError(
                f"{place} names modules by the pattern {pattern[:80]!r}, which repeats a group without end and may "
                "take longer than anybody waits. It is not tried."
            )


def check_model_config(place: Path, weights: Path) -> None:
    """Refuse the configuration of a whole model that is larger than its weights, before memory is asked for.

    Args:
        place: ``config.json``.
        weights: The file with all weights of the model.

    Raises:
        AdapterFolderError: If a size in it is above the number of all weights, or it has more layers than can be.
    """
    config, shapes = read_object(place), shapes_of(weights)
    most = sum(_count(shape) for shape in shapes.values())
    for name, value in config.items():
        if isinstance(value, bool) or not isinstance(value, int):
            continue
        limit = _MOST_LAYERS if "layers" in name else most
        if value > limit:
            raise AdapterFolderError(
                f"{place} says {name}={value:,}, more than {limit:,}, which a model with the {most:,} weights of "
                f"{weights.name} can have. Copy the folder again."
            )


def check_shapes(model: Any, weights: Path) -> None:
    """Refuse weights of another shape than those of the model that the folder describes.

    Args:
        model: The model, on the meta device.
        weights: The file with all its weights.

    Raises:
        AdapterFolderError: Names the first tensor of another shape; or the model has far more weights than the file.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found = shapes_of(weights)
    for name in sorted(set(expected) & set(found)):
        if expected[name] != found[name]:
            raise AdapterFolderError(
                f"{weights} does not fit its config.json and the labels in its sentlora.json: for {name!r} expected "
                f"shape {expected[name]}, found {found[name]}. Copy the folder again."
            )
    there, wanted = sum(map(_count, found.values())), sum(p.numel() for p in model.parameters())
    if wanted > 2 * there:
        raise AdapterFolderError(
            f"{weights} holds {there:,} weights, and its config.json describes a model of {wanted:,}. Copy the folder "
            "again."
        )


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count


def _span(part: Any) -> float:
    pair = isinstance(part, list) and len(part) == 2 and all(isinstance(end, int) for end in part)
    return abs(part[1] - part[0]) if pair else float("inf")


def _values(mapping: Any) -> list[Any]:
    return list(mapping.values()) if isinstance(mapping, dict) else []


def _keys(mapping: Any) -> list[str]:
    return list(mapping) if isinstance(mapping, dict) else []
