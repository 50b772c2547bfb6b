"""The part of the classifier that shows how its training went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sentlora.inference.fitted import FittedClassifier

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class TrainingHistory(FittedClassifier):
    """The part of a classifier that shows how its training went."""

    history_: list[dict[str, float]]
    validation_: dict[str, float] | None

    def plot_training(self, axes: Sequence[Axes] | None = None, *, dark: bool = False) -> tuple[Axes, Axes]:
        """Draw losses and scores of each epoch of ``history_``, and mark the one whose weights were kept.

        Args:
            axes: Two Axes, for the losses and for the scores. Default: those of a new figure.
            dark: Draw for dark paper.

        Returns:
            The two Axes: ``clf.plot_training()[0].figure.savefig("training.png")``.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            DataError: If nothing was trained, or there are not two Axes.
            MissingExtraError: If matplotlib is not installed.
        """
        self.check_fitted()
        # matplotlib is an extra, and plots.py knows what to say when it is missing.
        from sentlora.evaluation.plots import plot_training_curves

        kept = None if self.validation_ is None else self.validation_.get("epoch")
        return plot_training_curves(self.history_, axes, kept=kept, dark=dark)
