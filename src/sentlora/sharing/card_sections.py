"""Sections of a model card: what was measured, on which data, what it is for, under which licence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sentlora.config import SentimentConfig
from sentlora.sharing.measured import VALIDATION

_LIMITS = """\
For labelling texts of the kind that it was trained on with the classes above. Before you rely on it:

- Figures hold for rows like those that were measured. On other topics, sources, languages or years they may be lower:
  measure on rows of your own first.
- {truncated}
- It has what the base model took from its pretraining, prejudices included, and what the labels took from those who
  gave them. Irony and mixed feelings are hard for any such classifier.
- A probability is no measure of how strong a feeling is. It is not made for decisions about single people.\
"""
_CUT = {"head": "its beginning counts", "tail": "its end counts", "head-tail": "its beginning and its end count"}


def measured_section(config: SentimentConfig, metrics: Mapping[str, Any]) -> str:
    """Write what was measured, with 95 % intervals and the number of rows; nothing where nothing was.

    Args:
        config: What ``sentlora.json`` holds.
        metrics: The contents of ``metrics.json``; older ones have the figures alone.
    """
    rows = [
        (source, name, f"{value:.4f}", _interval(figures, name), _count(figures))
        for source, figures in metrics.items()
        for name, value in figures.items()
        if isinstance(value, float)
    ]
    if not rows:
        return ""
    parts = [table(("on", "metric", "value", "95 % interval", "rows"), rows)]
    if any(figures.get("intervals") for figures in metrics.values()):
        parts.append(
            "The intervals are those of the bootstrap: how far a figure would move on other rows of the same kind. "
            "They know nothing of another training run."
        )
    if VALIDATION in metrics and config.settings.get("keep") == "best":
        parts.append(f"On `{VALIDATION}` the epoch was chosen, so these figures are a little too good.")
    positive = next((f["positive_label"] for f in metrics.values() if f.get("positive_label") is not None), None)
    if positive is not None:
        parts.append(f"Precision, recall, F1, TPR and FPR speak of `{positive}`.")
    parts += [_confusion(config, source, f) for source, f in metrics.items() if _is_matrix(config, f)]
    return "\n## Measured\n\n" + "\n\n".join(parts) + "\n"


def data_section(config: SentimentConfig) -> str:
    """Write rows, classes and lengths of the training data; nothing where they are not known."""
    splits = config.data.get("splits", {})
    if not splits:
        return ""
    rows = []
    for name, split in splits.items():
        total = max(split["rows"], 1)
        classes = ", ".join(f"{label} {n:,} ({100 * n / total:.1f} %)" for label, n in split["classes"].items())
        lengths = split["characters"]
        rows.append((name, f"{split['rows']:,}", classes, *(f"{lengths[key]:,.0f}" for key in ("mean", "50%", "max"))))
    header = ("split", "rows", "classes", "characters: mean", "median", "longest")
    return f"\n## Data\n\n{table(header, rows)}\n\nNo text of them is in this folder.\n"


def limits(config: SentimentConfig) -> str:
    """Write what the classifier is for, and where it fails."""
    counts = _CUT.get(config.truncation, "a part of it counts")
    return _LIMITS.format(truncated=f"A text of more than {config.max_length} tokens is cut: {counts}.")


def licence_section(config: SentimentConfig) -> str:
    """Write the licence, or that there is none."""
    own = f"`{config.license}`." if config.license else "None was given."
    return f"{own} The base model and the texts that it was trained on have licences of their own."


def versions_line(config: SentimentConfig) -> str:
    """Write what the folder was made with; nothing where that is not known."""
    unused = ("peft",) if config.settings.get("adapter") == "full" else ()
    made_with = ", ".join(f"{name} {version}" for name, version in config.versions.items() if name not in unused)
    return f"\nMade with {made_with}.\n" if made_with else ""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""Write a table of markdown.

    Examples:
        >>> print(table(("a", "b"), [("1|2", "3")]))
        | a | b |
        | --- | --- |
        | 1\|2 | 3 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _interval(figures: Mapping[str, Any], name: str) -> str:
    ends = figures.get("intervals", {}).get(name)
    return "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _count(figures: Mapping[str, Any]) -> str:
    return f"{figures['n']:,}" if isinstance(figures.get("n"), int) else ""


def _is_matrix(config: SentimentConfig, figures: Mapping[str, Any]) -> bool:
    matrix = figures.get("confusion_matrix")
    return isinstance(matrix, list) and len(matrix) == len(config.labels)


def _confusion(config: SentimentConfig, source: str, figures: Mapping[str, Any]) -> str:
    names = config.labels.names
    matrix = figures["confusion_matrix"]
    rows = [(f"**{name}**", *(f"{count:,}" for count in row)) for name, row in zip(names, matrix, strict=True)]
    answered = sum(sum(row) for row in matrix)
    lost = figures.get("n", answered) - answered
    note = f"\n\n{lost:,} answers were no label." if lost else ""
    return f"Rows of `{source}`, true classes down, predicted ones across:\n\n{table(('', *names), rows)}{note}"
