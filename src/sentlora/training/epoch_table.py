"""One row per epoch: losses and metrics, printed while training and kept for the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tqdm.auto import tqdm
from transformers import TrainerCallback

from sentlora.console import say

# Name in the Trainer's log -> name in our row and its heading.
_COLUMNS = (
    ("epoch", "epoch", "epoch"),
    ("loss", "train_loss", "train loss"),
    ("eval_loss", "validation_loss", "val. loss"),
    ("eval_accuracy", "accuracy", "accuracy"),
    ("eval_precision", "precision", "precision"),
    ("eval_recall", "recall", "recall"),
    ("eval_f1", "f1", "F1"),
    ("eval_tpr", "tpr", "TPR"),
    ("eval_fpr", "fpr", "FPR"),
)
# Below this the difference is of the size that another draw of validation rows makes.
_MUCH_HIGHER = 1.5
_EXTRA = (("eval_f1_macro", "f1_macro"), ("eval_roc_auc", "roc_auc"))


class EpochTable(TrainerCallback):
    """Collects one row per evaluation and prints it under a heading.

    Attributes:
        rows: One dictionary per evaluation: epoch, train_loss, validation_loss, accuracy,
            precision, recall, f1, tpr, fpr, f1_macro, roc_auc (where defined).
    """

    def __init__(self, *, verbose: bool = True) -> None:
        """Start an empty table; ``verbose=False`` collects without printing."""
        self.rows: list[dict[str, float]] = []
        self._steps: list[int] = []
        self._headed = False
        self.verbose = verbose
        self._train_loss: float | None = None

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Remember the training loss, which upstream logs before it evaluates."""
        self._train_loss = (logs or {}).get("loss", self._train_loss)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Add the row of this evaluation."""
        self._add({**(metrics or {}), "epoch": state.epoch}, state.global_step)
        if self.verbose:
            self._print(self.rows[-1])

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Take over the rows of the run that this one goes on from, if any."""
        for logs in state.log_history:
            self._train_loss = logs.get("loss", self._train_loss)
            if "eval_loss" in logs:
                self._add(logs, logs["step"])

    def _add(self, figures: dict[str, Any], step: int) -> None:
        figures = {**figures, "loss": self._train_loss}
        names = [(source, name) for source, name, _ in _COLUMNS] + list(_EXTRA)
        self.rows.append({name: float(figures[source]) for source, name in names if figures.get(source) is not None})
        self._steps.append(step)

    def row_at(self, step: int | None) -> dict[str, float] | None:
        """Return the row of the evaluation after ``step`` steps; the last row for None."""
        if step is None:
            return self.rows[-1] if self.rows else None
        return self.rows[self._steps.index(step)] if step in self._steps else None

    def _print(self, row: dict[str, float]) -> None:
        # tqdm's lock and clearing keep the row from being written into the middle of the bar.
        with tqdm.external_write_mode():
            if not self._headed:
                self._headed = True
                say("  ".join(f"{heading:>10}" for _, _, heading in _COLUMNS))
            say(format_row(row))


def format_row(row: dict[str, float]) -> str:
    """Return one row as a line under the headings."""
    cells = [f"{row['epoch']:>10.4g}"]
    cells += [f"{row.get(name, float('nan')):>10.4f}" for _, name, _ in _COLUMNS[1:]]
    return "  ".join(cells)


def remark_on_overfitting(rows: Sequence[Mapping[str, float]], kept: Mapping[str, float] | None) -> str | None:
    """Say that the epoch that was kept is surer of its answers than it may be; None where there is nothing to say.

    While the accuracy still holds, the validation loss rises, as mistakes are made with ever more confidence (Guo et
    al. 2017, arXiv:1706.04599).

    Args:
        rows: One row for each epoch.
        kept: The row of the epoch that was kept, or None.

    Examples:
        >>> rows = [{"epoch": 1.0, "validation_loss": 0.5}, {"epoch": 2.0, "validation_loss": 0.9}]
        >>> print(remark_on_overfitting(rows, rows[1]))
        the validation loss was lowest in epoch 1 (0.5000) and is 0.9000 in epoch 2, which is kept: its probabilities \
are too sure. Calibrate, or train fewer epochs.
    """
    losses = [row for row in rows if "validation_loss" in row]
    if kept is None or "validation_loss" not in kept or not losses:
        return None
    lowest = min(losses, key=lambda row: row["validation_loss"])
    if kept["validation_loss"] <= _MUCH_HIGHER * lowest["validation_loss"]:
        return None
    return (
        f"the validation loss was lowest in epoch {lowest['epoch']:.4g} ({lowest['validation_loss']:.4f}) and is "
        f"{kept['validation_loss']:.4f} in epoch {kept['epoch']:.4g}, which is kept: its probabilities are too sure. "
        "Calibrate, or train fewer epochs."
    )
