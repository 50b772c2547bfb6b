"""An ONNX graph in place of a torch model, behind the same predictor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.modeling_outputs import SequenceClassifierOutput

from sentlora.data.prompts import Prompt
from sentlora.errors import AdapterFolderError, ConfigError
from sentlora.inference.onnx_graph import DATA_FILE, GRAPH_FILE, INPUTS, OUTPUT, require_onnx
from sentlora.labels import LabelMap
from sentlora.model.classification import ClassificationObjective
from sentlora.model.label_words import LabelWordsObjective
from sentlora.model.objective import Objective
from sentlora.settings import Settings


class OnnxModel(torch.nn.Module):
    """A graph that ``write_graph`` wrote, run by ONNX Runtime on the CPU, with as many threads as torch."""

    def __init__(self, folder: str | Path, config: Any) -> None:
        """Open the graph.

        Args:
            folder: The folder of ``model.onnx``.
            config: The transformers config of the model that the graph was made of.

        Raises:
            AdapterFolderError: If the graph is damaged, another one, or keeps weights outside of the folder.
            MissingExtraError: If onnx or onnxruntime is not installed.
        """
        super().__init__()
        require_onnx()
        self.config = config
        weights = _checked_weights(Path(folder))
        self._session = _session(Path(folder))
        # What tells the predictor where it runs; and for those who count parameters as many as the graph has, which
        # take no memory, as they are on no device.
        self.place = torch.nn.Parameter(torch.empty(0), requires_grad=False)
        self.weights = torch.nn.Parameter(torch.empty(weights, device="meta"), requires_grad=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SequenceClassifierOutput:
        """Score a padded batch; ``logits`` has the shape (batch, labels)."""
        feed = {"input_ids": input_ids.numpy(), "attention_mask": attention_mask.numpy()}
        (logits,) = self._session.run([OUTPUT], feed)
        return SequenceClassifierOutput(logits=torch.from_numpy(logits))


class OnnxLabelWords(LabelWordsObjective):
    """Label words whose likelihoods the graph itself computes."""

    def scores(self, model: Any, batch: dict[str, Any]) -> torch.Tensor:
        """Return the log-likelihood of each label's word, float32, shape (batch, labels)."""
        scores: torch.Tensor = model(**{name: batch[name] for name in INPUTS}).logits
        return scores

    def answers(self, model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Refuse: the graph scores words and writes none.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "A model in ONNX scores the label words and writes no text of its own. Take its scores, with "
            "decode='score', or load the adapter folder that it was exported from."
        )


def onnx_objective(
    tokenizer: Any, labels: LabelMap, settings: Settings, prompt: Prompt | None, config: Any
) -> Objective:
    """Choose the objective of a graph: the one that it was traced with.

    Args:
        tokenizer: A fast tokenizer.
        labels: The classes.
        settings: Lengths and truncation.
        prompt: What is asked about a text.
        config: The transformers config of the model.
    """
    lengths: dict[str, Any] = {"max_length": settings.max_length, "truncation": settings.truncation}
    if prompt is None or not config.is_encoder_decoder:
        return ClassificationObjective(tokenizer, **lengths)
    return OnnxLabelWords(tokenizer, labels, prompt, config, **lengths)


def _session(folder: Path) -> Any:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(folder / GRAPH_FILE, options, providers=["CPUExecutionProvider"])
    except (faults.Fail, faults.InvalidArgument, faults.InvalidGraph, faults.NotImplemented) as error:
        raise AdapterFolderError(
            f"ONNX Runtime cannot read {folder / GRAPH_FILE}: {str(error).strip().splitlines()[0]} Copy the folder "
            "again, or update onnxruntime."
        ) from error
    names = ({node.name for node in session.get_inputs()}, {node.name for node in session.get_outputs()})
    if names != (set(INPUTS), {OUTPUT}):
        raise AdapterFolderError(
            f"{folder / GRAPH_FILE} should take {' and '.join(INPUTS)} and give {OUTPUT}; found "
            f"{sorted(names[0])} and {sorted(names[1])}. It is no graph of sentlora; export it again."
        )
    return session


def _checked_weights(folder: Path) -> int:
    """Return how many weights a graph has, after a look at where they lie."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(folder / GRAPH_FILE, load_external_data=False)
    except DecodeError as error:
        raise AdapterFolderError(f"{folder / GRAPH_FILE} is no ONNX file: {error}. Copy the folder again.") from error
    nodes = [node for function in model.functions for node in function.node]
    count = 0
    for tensor in [*_tensors_of(model.graph), *_tensors_in(nodes)]:
        count += math.prod(tensor.dims) if tensor.dims else 0
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _check_location(folder, {entry.key: entry.value for entry in tensor.external_data}.get("location", ""))
        if tensor.data_type == onnx.TensorProto.FLOAT:
            _check_finite(folder, tensor)
    return count


def _check_finite(folder: Path, tensor: Any) -> None:
    """Refuse weights that are no numbers; a single infinity may be meant, as where a mask is added."""
    from onnx import numpy_helper

    weights = numpy_helper.to_array(tensor, base_dir=str(folder))
    if weights.size > 1 and not np.isfinite(weights).all():
        raise AdapterFolderError(
            f"{folder / GRAPH_FILE} holds NaN or infinity in the tensor {tensor.name!r}, so every score would be NaN. "
            "Export it again, or copy the folder again."
        )


def _check_location(folder: Path, location: str) -> None:
    data = folder / DATA_FILE
    if location != DATA_FILE or data.resolve().parent != folder.resolve():
        raise AdapterFolderError(
            f"{folder / GRAPH_FILE} keeps weights in {location!r}. Only {DATA_FILE} in the same folder is read, so "
            "that no other file of this machine is. It is no graph of sentlora; export it again."
        )
    if not data.is_file():
        raise AdapterFolderError(f"{folder} lacks the file {DATA_FILE}. Copy the whole folder again.")


def _tensors_of(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    yield from _parts_of(graph.sparse_initializer)
    yield from _tensors_in(graph.node)


def _tensors_in(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            # A field that is not set is an empty tensor or graph.
            yield from (attribute.t, *attribute.tensors)
            yield from _parts_of([attribute.sparse_tensor, *attribute.sparse_tensors])
            for graph in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                yield from _tensors_of(graph)


def _parts_of(sparse: Iterable[Any]) -> Iterator[Any]:
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)
