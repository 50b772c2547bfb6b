"""One row per epoch: losses and metrics, printed while training and kept for the log."""

from __future__ import annotations

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
        if not state.is_world_process_zero:
            return
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
