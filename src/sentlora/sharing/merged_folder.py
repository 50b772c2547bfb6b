"""A merged model as a folder of its own, for transformers or ONNX Runtime, written whole or not at all."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from sentlora.config import SentimentConfig
from sentlora.console import say
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError
from sentlora.inference.export import (
    LABEL_TOLERANCE,
    ExportReport,
    Sample,
    check_difference,
    check_request,
    compared,
    merged_copy,
    random_texts,
    scores_of,
)
from sentlora.inference.onnx_graph import require_onnx, write_graph
from sentlora.inference.onnx_model import OnnxModel, onnx_objective
from sentlora.model.backbone import load_config, upstream_bars_hidden
from sentlora.model.encoding import save_tokenizer
from sentlora.model.objective import Objective
from sentlora.model.quantization import is_quantized
from sentlora.sharing.folder import CONFIG_FILE, EXPORT, EXPORT_FILE, hashes_of, write_whole
from sentlora.sharing.onnx_note import onnx_note
from sentlora.sharing.replacing import check_replacing
from sentlora.sharing.saving import versions, write_card

_FEW_TEXTS = 50


def export_folder(
    path: str | Path,
    model: Any,
    objective: Objective,
    config: SentimentConfig,
    *,
    format: str = "transformers",
    quantize: str | None = None,
    sample: Sample | None = None,
    tolerance: float | str | None = "default",
    overwrite: bool = False,
    verbose: bool = True,
) -> ExportReport:
    """Write a merged model with its tokenizer, its label names and ``sentlora.json``.

    Args:
        path: The folder; an exported model of the same classes and base model that is there is replaced.
        model: A PeftModel, which is left as it is, or a model of which every weight was trained.
        objective: Encodes and scores.
        config: What has to be known to use the adapter.
        format: ``transformers`` or ``onnx``.
        quantize: ``int8`` for ONNX, or None.
        sample: What to compare the two models on; None draws texts of random words.
        tolerance: How far they may be apart, as in :func:`sentlora.inference.export.check_difference`.
        overwrite: Replace an exported model of other classes or of another base model, too.
        verbose: Print notices.

    Returns:
        How far the exported model is from ``model``.

    Raises:
        AdapterFolderError: If something else is in the way, or the place cannot be written to.
        BackboneError: If the base model of a quantised one cannot be loaded.
        ConfigError: If a value cannot be, the model writes its answers, or the difference is above the tolerance;
            then nothing is written.
        MissingExtraError: If onnx or onnxruntime is not installed.
    """
    check_request(format, quantize, tolerance)
    if format == "onnx":
        _check_onnx(config)
    # Before a base model is loaded for nothing.
    replaced = check_replacing(path, config.labels.names, config.base_model, kind=EXPORT, overwrite=overwrite)
    sample = Sample(random_texts(objective.tokenizer), own=False) if sample is None else sample
    merged, before = merged_copy(model, objective, config, sample.texts)
    # Weights in 8 or 4 bits are another model than the merged one, which is what the exported one should be.
    over_bits = is_quantized(model)
    expected = scores_of(merged, objective, sample.texts) if over_bits or format != "onnx" else before
    quantization = config.settings.get("quantization") if over_bits else None
    about: dict[str, Any] = {"quantization": quantization, "format": format, "quantize": quantize}
    tokenizer = _tokenizer_for(objective, config)
    reports: list[ExportReport] = []

    def fill(folder: Path) -> None:
        _write_model(merged, objective, folder, format, quantize)
        save_tokenizer(tokenizer, folder)
        if format == "onnx":
            write_card(folder, onnx_note(config, merged.config.is_encoder_decoder))
        found = _scores_in(folder, objective, config, sample.texts) if format == "onnx" else expected
        check_difference(compared(expected if over_bits else before, found, sample, config, **about), tolerance)
        reports.append(compared(before, found, sample, config, **about))
        _write_records(folder, config, reports[0])

    final = write_whole(path, fill, EXPORT)
    if replaced is not None:
        say(f"Note: {final} replaced an {replaced}.", verbose=verbose)
    say(f"{final}: {reports[0]}", verbose=verbose)
    for note in _notes(config, reports[0], tolerance):
        say(f"Note: {note}", verbose=verbose)
    return reports[0]


def _check_onnx(config: SentimentConfig) -> None:
    require_onnx()
    if config.decode == "generate":
        raise ConfigError(
            "A model in ONNX scores the label words and writes no text of its own; this one is set to "
            "decode='generate'. Evaluate it with set_params(decode='score') first, and export that."
        )


def _write_model(merged: Any, objective: Objective, folder: Path, format: str, quantize: str | None) -> None:
    if format == "onnx":
        write_graph(merged, objective, folder, quantize)
        merged.config.save_pretrained(folder)
        return
    with upstream_bars_hidden():
        merged.save_pretrained(folder, max_shard_size="1TB")


def _scores_in(folder: Path, objective: Objective, config: SentimentConfig, texts: list[str]) -> np.ndarray:
    """Return the logits that the graph in a folder gives, by the very way in which ``load`` takes."""
    model = OnnxModel(folder, load_config(str(folder)))
    settings = config.resolved_settings(where=folder)
    prompt = None if config.prompt is None else Prompt(config.prompt)
    own = onnx_objective(objective.tokenizer, config.labels, settings, prompt, model.config)
    return scores_of(model, own, texts)


def _write_records(folder: Path, config: SentimentConfig, report: ExportReport) -> None:
    hashes = hashes_of(folder, besides=EXPORT.unlisted)
    kept = dataclasses.replace(config, versions=versions(), files=hashes)
    (folder / CONFIG_FILE).write_text(kept.to_json(), encoding="utf-8")
    record = {
        "format": report.format,
        "quantize": report.quantize,
        "comparison": dataclasses.asdict(report),
        "files": hashes,
    }
    (folder / EXPORT_FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _tokenizer_for(objective: Objective, config: SentimentConfig) -> Any:
    """Return the tokenizer, set so that ``truncation=True`` cuts texts as the classifier does."""
    tokenizer = copy.deepcopy(objective.tokenizer)
    tokenizer.model_max_length = config.max_length
    tokenizer.truncation_side = "left" if config.truncation == "tail" else "right"
    tokenizer.init_kwargs["truncation_side"] = tokenizer.truncation_side  # the attribute alone is not saved
    return tokenizer


def _notes(config: SentimentConfig, report: ExportReport, tolerance: float | str | None) -> list[str]:
    """Return what the classifier does and plain transformers or ONNX Runtime does not, and what was not checked."""
    notes = []
    other = "plain ONNX Runtime" if report.format == "onnx" else "plain transformers"
    if config.temperature != 1.0:
        notes.append(f"the temperature {config.temperature:g} is left out: {other} takes the softmax of the logits.")
    if config.threshold is not None:
        notes.append(f"the threshold {config.threshold:g} is left out: {other} chooses the most probable label.")
    if config.truncation == "head-tail" and report.format == "transformers":
        notes.append(f"transformers cuts off the end of a text over {config.max_length} tokens, not its middle.")
    if config.objective != "classification":
        notes.append(f"the model expects each text inside the prompt that {CONFIG_FILE} holds.")
    if notes:
        notes.append("SentimentLoRA.load(folder) does all of this.")
    if report.quantize is not None and (not report.own_texts or report.n_texts < _FEW_TEXTS):
        few = f"{report.n_texts:,} texts" if report.own_texts else "random words"
        limit = ""
        if not report.own_texts and tolerance == "default":
            limit = f", and the limit of {LABEL_TOLERANCE:.0%} changed labels was not applied"
        notes.append(
            f"what {report.quantize} costs was looked at on {few} only{limit}. Pass a hundred or more "
            "labelled texts of your own with texts= (--texts FILE)."
        )
    return notes
