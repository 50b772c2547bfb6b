"""What a sweep found: its trials as a table, the best settings, which setting mattered, and the report."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sentlora.evaluation import report_card
from sentlora.evaluation.report import EvaluationReport
from sentlora.evaluation.sweep_plots import plot_importance, plot_sweep_history
from sentlora.notebook import card, soft, table, titled
from sentlora.training.study_file import quiet_optuna, require_optuna
from sentlora.training.trials import FINISHED, Trial, duration, require_best, shown, words_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = 5


@dataclass(frozen=True)
class SweepResult:
    """What ``SentimentLoRA.sweep`` returns.

    Attributes:
        best_params: The best settings, ready for ``set_params``.
        records: Every trial.
        validation_rows: How many rows the trials were selected by.
        report: The report on the test split; None where there is none, or nothing was refitted.

    Examples:
        >>> first = Trial(0, {"r": 8}, FINISHED, value=0.80, seconds=60.0, best_epoch=2, is_default=True)
        >>> second = Trial(1, {"r": 16}, FINISHED, value=0.82, seconds=66.0, best_epoch=3)
        >>> result = SweepResult({"r": 16}, (first, second), validation_rows=200)
        >>> result.best_value, result.default_value
        (0.82, 0.8)
        >>> result.trials.columns.tolist()
        ['trial', 'value', 'state', 'seconds', 'best_epoch', 'default', 'r']
    """

    best_params: Mapping[str, Any]
    records: tuple[Trial, ...]
    validation_rows: int
    report: EvaluationReport | None = None

    @property
    def best_trial(self) -> Trial:
        """The trial with the highest validation macro F1."""
        return require_best(self.records)

    @property
    def best_value(self) -> float:
        """Its validation macro F1."""
        return float(self.best_trial.value or 0)

    @property
    def default_value(self) -> float | None:
        """The validation macro F1 of the classifier's own settings; None if their loss diverged."""
        default = self._default()
        return None if default is None else default.value

    @property
    def trials(self) -> pd.DataFrame:
        """One row per trial: number, value, state, seconds, best epoch, whether it is the default, and the settings."""
        names = list(dict.fromkeys(name for trial in self.records for name in trial.params))
        rows = [
            {
                "trial": trial.number,
                "value": math.nan if trial.value is None else trial.value,
                "state": trial.state,
                "seconds": math.nan if trial.seconds is None else trial.seconds,
                "best_epoch": math.nan if trial.best_epoch is None else trial.best_epoch,
                "default": trial.is_default,
                **{name: trial.params.get(name) for name in names},
            }
            for trial in self.records
        ]
        table = pd.DataFrame(rows)
        for name in names:
            values = [row[name] for row in rows]
            if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
                table[name] = pd.Series(values, dtype=object)  # pandas would turn None into NaN
        return table

    @cached_property
    def importance(self) -> dict[str, float]:
        """How much of the differences between finished trials each setting explains, largest first; sums to 1.

        By fANOVA (Hutter, Hoos and Leyton-Brown 2014), as Optuna computes it. On a few trials it is a hint and not a
        measurement. Empty where fewer than four trials finished, or all have one value.

        Raises:
            MissingExtraError: If Optuna is not installed.
        """
        require_optuna("The importance of settings")
        import optuna

        finished = [trial for trial in self.records if trial.state == FINISHED and trial.in_space and trial.drawn]
        if len(finished) < 4 or np.ptp([float(trial.value or 0) for trial in finished]) == 0:
            return {}
        with quiet_optuna():
            study = optuna.create_study(direction="maximize")
            for trial in finished:
                study.add_trial(
                    optuna.trial.create_trial(
                        value=trial.value, params=dict(trial.drawn), distributions=dict(trial.distributions)
                    )
                )
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
            return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))

    def plot_history(self, ax: Axes | None = None) -> Axes:
        """Draw the value of each trial and the best so far; see ``plot_sweep_history``."""
        return plot_sweep_history(self.records, ax)

    def plot_importance(self, ax: Axes | None = None) -> Axes:
        """Draw how much each setting mattered; see ``evaluation.sweep_plots.plot_importance``."""
        return plot_importance(self.importance, ax)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        trials = self.trials.astype(object)
        rows = trials.where(trials.notna(), None).to_dict(orient="records")
        return {
            "best_params": _plain(self.best_params),
            "best_value": self.best_value,
            "default_value": self.default_value,
            "validation_rows": self.validation_rows,
            "importance": self.importance,
            "trials": _plain(rows),
            "report": None if self.report is None else self.report.to_dict(),
        }

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def _title(self) -> str:
        counts = Counter(trial.state for trial in self.records)
        states = ", ".join(f"{number} {state}" for state, number in counts.items())
        took = sum(trial.seconds or 0 for trial in self.records)
        return f"Sweep of {len(self.records)} trials ({states}) in {duration(took)} of training"

    def __str__(self) -> str:
        lines = [self._title(), "", *_table(_cells(self._ranked()[:_SHOWN], self._default()))]
        lines += ["", f"The best settings: {words_of(self.best_params)}", *self._cautions()]
        if self.importance:
            weights = ", ".join(f"{name} {weight:.0%}" for name, weight in self.importance.items())
            lines.append(f"What mattered: {weights}")
        if self.report is not None:
            lines += ["", "On held-out rows, read once, with the best settings:", str(self.report)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        header, *rows = _cells(self._ranked()[:_SHOWN], self._default())
        weights = [(name, f"{weight:.0%}") for name, weight in self.importance.items()]
        parts = [
            table(header, rows, left=0),
            titled("The best settings", soft(words_of(self.best_params))),
            *map(soft, self._cautions()),
            titled("What mattered", table((), weights)) if weights else "",
        ]
        if self.report is not None:
            parts.append(
                titled("On held-out rows, read once, with the best settings", report_card.fragment(self.report))
            )
        return card("sweep", self._title(), *parts)

    def _ranked(self) -> list[Trial]:
        finished = [trial for trial in self.records if trial.state == FINISHED]
        return sorted(finished, key=lambda trial: (-float(trial.value or 0), trial.number))

    def _default(self) -> Trial | None:
        # One that was cut off was begun again.
        return next((trial for trial in self.records if trial.is_default and trial.ended), None)

    def _cautions(self) -> list[str]:
        # As of a share of right answers, with one right and one wrong answer more: at 1.0 there is doubt as well.
        n = self.validation_rows + 2
        share = (self.best_value * self.validation_rows + 1) / n
        error = math.sqrt(share * (1 - share) / n)
        default = self.default_value
        gain = "" if default is None else f"{self.best_value - default:+.4f} against the classifier's own settings; "
        return [
            f"Validation macro F1 {self.best_value:.4f}, {gain}on {self.validation_rows:,} rows, where its standard "
            f"error is about {error:.3f}.",
            self._chosen_from(),
        ]

    def _chosen_from(self) -> str:
        """Say how many trials could have been the best; the classifier's own settings may lie outside of the space."""
        ranked = self._ranked()
        could = sum(trial.in_space for trial in ranked)
        besides = " of the search space" if could < len(ranked) else ""
        if could == 1:
            return f"It is the only finished trial{besides}, so nothing was chosen by it."
        return f"It is the highest of {could}{besides} on one split, and so too high by a little."


def _cells(trials: list[Trial], default: Trial | None) -> list[list[str]]:
    rows = list(trials)
    if default is not None and default not in rows:
        rows.append(default)
    names = list(dict.fromkeys(name for trial in rows for name in trial.params))
    head = ["trial", "macro F1", "epoch", "time", *names]
    return [head] + [
        [
            f"{trial.number}{' (default)' if trial.is_default else ''}",
            "-" if trial.value is None else f"{trial.value:.4f}",
            "-" if trial.best_epoch is None else f"{trial.best_epoch:g}",
            "-" if trial.seconds is None else duration(trial.seconds),
            *(shown(trial.params[name]) if name in trial.params else "-" for name in names),
        ]
        for trial in rows
    ]


def _table(cells: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda other: other.item() if hasattr(other, "item") else str(other)))
