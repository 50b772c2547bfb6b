"""What a model said of the validation rows, kept for the epoch whose weights are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from transformers import EvalPrediction, TrainerCallback

Scores = tuple[np.ndarray, np.ndarray]


class ValidationScores(TrainerCallback):
    """A ``compute_metrics`` that remembers logits and label ids by step: of the best evaluation and the newest."""

    def __init__(self, compute_metrics: Callable[[EvalPrediction], dict[str, float]]) -> None:
        """Wrap what computes the metrics."""
        self._compute_metrics = compute_metrics
        self._newest: Scores | None = None
        self._by_step: dict[int, Scores] = {}

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """Compute the metrics of one evaluation."""
        logits = np.asarray(prediction.predictions, dtype=np.float64)
        self._newest = logits, np.asarray(prediction.label_ids, dtype=np.int64)
        return self._compute_metrics(prediction)

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note at which step the newest evaluation was; which of the earlier ones is the best is known by now."""
        self._by_step = {step: scores for step, scores in self._by_step.items() if step == state.best_global_step}
        if self._newest is not None:
            self._by_step[state.global_step] = self._newest

    def at(self, step: int | None) -> Scores | None:
        """Return logits, shape (n, n_labels), and label ids of the evaluation after ``step`` steps; None if unknown."""
        return None if step is None else self._by_step.get(step)
