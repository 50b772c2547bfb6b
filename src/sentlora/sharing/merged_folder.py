"""A merged model as a plain transformers folder, written whole or not at all."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentlora.config import SentimentConfig
from sentlora.console import say
from sentlora.inference.export import ExportReport, merged_copy
from sentlora.model.backbone import upstream_bars_hidden
from sentlora.model.encoding import save_tokenizer
from sentlora.model.objective import Objective
from sentlora.sharing.folder import MODEL_FILES, TOKENIZER_FILES, FolderKind, check_place, hashes_of, write_whole

EXPORT_FILE = "sentlora_export.json"
EXPORT = FolderKind(
    words="exported model",
    record=EXPORT_FILE,
    unlisted=frozenset({EXPORT_FILE}),
    likely=frozenset({*MODEL_FILES, *TOKENIZER_FILES, "generation_config.json"}),
)


def export_merged(
    path: str | Path,
    model: Any,
    objective: Objective,
    config: SentimentConfig,
    *,
    texts: Sequence[str] | None = None,
    verbose: bool = True,
) -> ExportReport:
    """Write a merged model with its tokenizer and label names, for plain transformers.

    Args:
        path: The folder; an exported model that is there is replaced.
        model: A PeftModel, which is left as it is, or a model of which every weight was trained.
        objective: Encodes and scores.
        config: What has to be known to use the adapter; what transformers has no place for goes into
            ``sentlora_export.json``.
        texts: What to compare the merged model on; None draws texts of random words.
        verbose: Print notices.

    Returns:
        How far the merged model is from ``model``.

    Raises:
        AdapterFolderError: If something else is in the way, or the place cannot be written to.
        BackboneError: If the base model of a quantised one cannot be loaded.
    """
    check_place(path, EXPORT)  # before a base model is loaded for nothing
    merged, report = merged_copy(model, objective, config, texts)
    tokenizer = _tokenizer_for(objective, config)

    def fill(folder: Path) -> None:
        with upstream_bars_hidden():
            merged.save_pretrained(folder, max_shard_size="1TB")
        save_tokenizer(tokenizer, folder)
        record = _record(config, report) | {"files": hashes_of(folder, besides=())}
        (folder / EXPORT_FILE).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    final = write_whole(path, fill, EXPORT)
    say(f"{final}: {report}", verbose=verbose)
    for note in _notes(config):
        say(f"Note: {note}", verbose=verbose)
    return report


def _tokenizer_for(objective: Objective, config: SentimentConfig) -> Any:
    """Return the tokenizer, set so that ``truncation=True`` cuts texts as the classifier does."""
    tokenizer = copy.deepcopy(objective.tokenizer)
    tokenizer.model_max_length = config.max_length
    tokenizer.truncation_side = "left" if config.truncation == "tail" else "right"
    tokenizer.init_kwargs["truncation_side"] = tokenizer.truncation_side  # the attribute alone is not saved
    return tokenizer


def _record(config: SentimentConfig, report: ExportReport) -> dict[str, Any]:
    kept = ("base_model", "base_revision", "max_length", "truncation", "objective", "prompt", "temperature")
    return {
        **{name: getattr(config, name) for name in (*kept, "threshold")},
        "labels": config.labels.to_dict(),
        "comparison": dataclasses.asdict(report),
    }


def _notes(config: SentimentConfig) -> list[str]:
    """Return what the classifier does and plain transformers does not."""
    notes = []
    if config.temperature != 1.0:
        notes.append(
            f"the temperature {config.temperature:g} is left out: plain transformers takes the softmax of the logits."
        )
    if config.threshold is not None:
        notes.append(
            f"the threshold {config.threshold:g} is left out: plain transformers chooses the most probable label."
        )
    if config.truncation == "head-tail":
        notes.append(f"transformers cuts off the end of a text over {config.max_length} tokens, not its middle.")
    if config.objective != "classification":
        notes.append(f"the model expects each text inside the prompt that {EXPORT_FILE} holds.")
    return notes
