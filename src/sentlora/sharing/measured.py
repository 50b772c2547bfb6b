"""What was measured, as ``metrics.json`` keeps it: figures by what they were measured on, with what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentlora.errors import AdapterFolderError
from sentlora.evaluation.report import EvaluationReport
from sentlora.sharing.folder import LOG_FILE, METRICS_FILE
from sentlora.strict_json import parse_json

VALIDATION = "validation"


def measured(figures: Mapping[str, Any], report: EvaluationReport | None) -> dict[str, Any]:
    """Put beside the headline figures what they rest on.

    Args:
        figures: The headline figures of one evaluation.
        report: What they were taken from; None after loading, when they are complete already.

    Returns:
        The figures with ``n`` (rows), ``positive_label`` (the class that precision, recall and FPR speak of; None with
        more than two), ``confusion_matrix`` (rows are true classes, columns predicted ones) and ``intervals`` (name ->
        [low, high], 95 %, by the bootstrap).

    Examples:
        >>> from sentlora.labels import LabelMap
        >>> labels = LabelMap(("negative", "positive"))
        >>> report = EvaluationReport.from_scores([0, 1] * 20, [[0.9, 0.1], [0.2, 0.8]] * 20, labels)
        >>> found = measured({"accuracy": report.accuracy}, report)
        >>> found["n"], found["confusion_matrix"], found["intervals"]
        (40, [[20, 0], [0, 20]], {'accuracy': [1.0, 1.0]})
    """
    if report is None:
        return dict(figures)
    intervals = {name: list(ends) for name, ends in report.intervals.items() if name in figures and ends is not None}
    return {
        **figures,
        "n": report.n,
        "positive_label": report["positive_label"],
        "confusion_matrix": report.confusion_matrix.tolist(),
        "intervals": intervals,
    }


def read_metrics(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what was measured, by what it was measured on; nothing if there is no such file."""
    path = folder / METRICS_FILE
    if not path.is_file():
        return {}
    found = _parsed(path, path.read_bytes())
    if not isinstance(found, dict) or not all(isinstance(figures, dict) for figures in found.values()):
        raise AdapterFolderError(
            f"{path} should hold an object of figures for each data set that was measured on. Copy it again, or "
            "delete it."
        )
    return found


def read_log(folder: Path) -> list[dict[str, float]]:
    """Read the rows of the training log; none if there is no log."""
    path = folder / LOG_FILE
    if not path.is_file():
        return []
    rows = [_parsed(path, line) for line in path.read_bytes().splitlines()]
    if odd := [row for row in rows if not isinstance(row, dict)]:
        raise AdapterFolderError(
            f"{path} should hold one object in each line; found {odd[0]!r}. Copy it again, or delete it."
        )
    return rows


def _parsed(path: Path, content: bytes) -> Any:
    try:
        return parse_json(content.decode("utf-8"))
    except ValueError as error:  # the first is also that of what is no UTF-8
        raise AdapterFolderError(f"{path} is not valid JSON: {error}. Copy it again, or delete it.") from error
