"""A torch model and its objective -> one ONNX graph from token ids to one score per label."""

from __future__ import annotations

import copy
import importlib.util
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch

from sentlora.errors import ConfigError, MissingExtraError
from sentlora.model.architectures import fresh_modules_of
from sentlora.model.objective import Objective

GRAPH_FILE = "model.onnx"
DATA_FILE = "model.onnx.data"
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "logits"
# The highest that the exporter of torch writes for all architectures here, and every runtime of the last years reads.
_OPSET = 17
# A file of protobuf ends at 2 GiB; beyond, the weights lie in a file of their own.
_LARGE = 1_900_000_000
_EXAMPLE = ("a", "a b c d e f g")


def require_onnx() -> None:
    """Raise a MissingExtraError where onnx or onnxruntime is not installed."""
    for package in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(package, "onnx", "A model in ONNX")


class _Scores(torch.nn.Module):
    """What is traced: the objective's own scores, so that there is one way to compute them."""

    def __init__(self, model: Any, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.objective.scores(self.model, {"input_ids": input_ids, "attention_mask": attention_mask})


def write_graph(model: Any, objective: Objective, folder: Path, quantize: str | None = None) -> None:
    """Write ``model.onnx``: ``input_ids`` and ``attention_mask`` of any batch and length in, ``logits`` out.

    The tracing exporter of torch is taken. The newer one, by ``torch.export``, fails on T5 with torch 2.13, and takes
    half a minute where this one takes a second.

    In int8 the weights of all matrix products are held in 8 bits by output channel, and what they are multiplied with
    is rounded as it comes. Embeddings and the head stay as they are. One bit is left unused (``reduce_range``): CPUs
    without VNNI add pairs of products in 16 bits, which eight bits would overflow without an error.

    Args:
        model: A plain transformers model in full precision, which is left as it is.
        objective: Scores.
        folder: Where the graph goes; weights of 2 GB and more go into ``model.onnx.data`` beside it.
        quantize: ``int8``, or None.

    Raises:
        ConfigError: If torch cannot write this architecture as a graph.
        MissingExtraError: If onnx or onnxruntime is not installed.
    """
    require_onnx()
    with tempfile.TemporaryDirectory() as place:
        traced = Path(place) / "traced" / GRAPH_FILE
        traced.parent.mkdir()
        _trace(model, objective, traced)
        if quantize is not None:
            traced = _in_int8(traced, Path(place), {*fresh_modules_of(model), "pooler", "lm_head"})
        _put(traced, folder)


def _trace(model: Any, objective: Objective, place: Path) -> None:
    if next(model.parameters()).device.type != "cpu":
        model = copy.deepcopy(model).to("cpu")
    batch = objective.collate(objective.encode(_EXAMPLE))
    rows, row = {0: "batch", 1: "length"}, {0: "batch"}
    with warnings.catch_warnings(), torch.inference_mode(mode=False), torch.no_grad():
        warnings.simplefilter("ignore")  # of branches that tracing cannot see; the graph is compared with the model
        try:
            torch.onnx.export(
                _Scores(model, objective).eval(),
                tuple(batch[name] for name in INPUTS),
                str(place),
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_axes={**dict.fromkeys(INPUTS, rows), OUTPUT: row},
                opset_version=_OPSET,
                dynamo=False,
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(
                f"torch cannot write the architecture {model.config.model_type!r} as an ONNX graph: "
                f"{str(error).strip().splitlines()[0]} Export it with format='transformers'."
            ) from error


def _in_int8(traced: Path, place: Path, whole: set[str]) -> Path:
    """Quantise a graph, but for the modules named in ``whole``."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    large = _size(traced) > _LARGE
    shaped, quantized = place / "shaped.onnx", place / "int8" / GRAPH_FILE
    quantized.parent.mkdir()
    # Otherwise onnxruntime advises it by a call of logging.warning, which sets up the caller's logging.
    quant_pre_process(
        str(traced), str(shaped), skip_symbolic_shape=True, skip_optimization=True, save_as_external_data=large
    )
    nodes = onnx.load(shaped, load_external_data=False).graph.node
    kept = [node.name for node in nodes if not whole.isdisjoint(node.name.split("/"))]
    quantize_dynamic(
        shaped,
        quantized,
        op_types_to_quantize=["MatMul"],
        # onnxruntime makes products of every Gemm first, and gives them these names.
        nodes_to_exclude=[*kept, *(f"{name}_MatMul" for name in kept)],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=large,
    )
    return quantized


def _put(graph: Path, folder: Path) -> None:
    if _size(graph) <= _LARGE:
        shutil.copyfile(graph, folder / GRAPH_FILE)
        return
    import onnx

    # The exporter makes one file of each weight.
    onnx.save_model(
        onnx.load(graph),
        folder / GRAPH_FILE,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=DATA_FILE,
    )


def _size(graph: Path) -> int:
    return sum(file.stat().st_size for file in graph.parent.iterdir() if file.is_file())
