"""Plots of a sweep; matplotlib (extra ``plot``) is imported on the first call.

As in ``plots``, every function takes the Axes to draw on and returns them; without Axes a fresh figure is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sentlora.errors import DataError
from sentlora.evaluation.plot_style import require_matplotlib
from sentlora.training.trials import DIVERGED, FINISHED, PRUNED, Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008); shapes differ as well.
_BLUE, _ORANGE, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#767676"


def plot_sweep_history(trials: Sequence[Trial], ax: Axes | None = None) -> Axes:
    """Draw the validation macro F1 of each trial, the best so far, and the classifier's own settings.

    Args:
        trials: The trials of a sweep.
        ax: Where to draw. Default: the Axes of a new figure.

    Returns:
        The Axes.

    Raises:
        DataError: If no trial has a value.
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting a sweep")
    from matplotlib.ticker import MaxNLocator

    valued = [trial for trial in trials if trial.value is not None and trial.state in (FINISHED, PRUNED)]
    if not valued:
        raise DataError("Expected at least one trial with a value; found none.")
    ax = ax if ax is not None else _new_axes(7.0, 4.2)
    last = max(trial.number for trial in trials)
    finished = [trial for trial in valued if trial.state == FINISHED and trial.in_space]
    if finished:
        best = np.maximum.accumulate([float(trial.value or 0) for trial in finished])
        numbers = [trial.number for trial in finished]
        ax.step([*numbers, last], [*best, best[-1]], where="post", color=_BLUE, linewidth=1.8, label="best so far")
    for state, marker, colour, words in (
        (FINISHED, "o", _BLUE, "finished"),
        (PRUNED, "x", _GREY, "pruned, at its last epoch"),
    ):
        points = [(trial.number, trial.value) for trial in valued if trial.state == state and not trial.is_default]
        if points:
            ax.plot(*zip(*points, strict=True), marker, color=colour, markersize=6, label=words)
    for trial in valued:
        if trial.is_default and trial.state == FINISHED:
            ax.axhline(float(trial.value or 0), color=_ORANGE, linestyle="--", linewidth=1.2)
            label = "the classifier's own settings"
            ax.plot([trial.number], [float(trial.value or 0)], "D", color=_ORANGE, markersize=7, label=label)
    diverged = [trial.number for trial in trials if trial.state == DIVERGED]
    if diverged:
        where = ax.get_xaxis_transform()
        ax.plot(diverged, [0.0] * len(diverged), "v", color=_GREEN, transform=where, clip_on=False, label="diverged")
    ax.set(xlabel="trial", ylabel="macro F1 on validation", title="Sweep", xlim=(-0.7, last + 0.7))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.16), ncols=2, frameon=False, fontsize="small")
    return ax


def plot_importance(importance: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """Draw how much of the differences between trials each setting explains.

    Args:
        importance: By setting, the largest first. May be empty.
        ax: Where to draw. Default: the Axes of a new figure.

    Returns:
        The Axes.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    require_matplotlib("Plotting the importance of settings")
    ax = ax if ax is not None else _new_axes(6.0, max(2.0, 1.2 + 0.45 * len(importance)))
    ax.set(title="Which setting mattered", xlabel="share of the differences between trials", xlim=(0, 1))
    if not importance:
        ax.text(0.5, 0.5, "too few finished trials to tell", ha="center", va="center", transform=ax.transAxes)
        ax.set_yticks([])
        return ax
    places = range(len(importance))
    ax.barh(places, list(importance.values()), height=0.6, color=_BLUE)
    ax.set_yticks(places, list(importance))
    ax.set_ylim(len(importance) - 0.5, -0.5)  # the largest on top
    for place, share in zip(places, importance.values(), strict=True):
        inside = share > 0.85
        ax.annotate(
            f"{share:.0%}",
            (share, place),
            xytext=(-5 if inside else 5, 0),
            textcoords="offset points",
            va="center",
            ha="right" if inside else "left",
            color="white" if inside else "black",
            fontsize="small",
        )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_sweep(trials: Sequence[Trial], importance: Mapping[str, float]) -> Figure:
    """Draw the trials and the importance of the settings side by side.

    Args:
        trials: The trials of a sweep.
        importance: By setting, the largest first.

    Returns:
        A figure that belongs to no pyplot state.
    """
    require_matplotlib("Plotting a sweep")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.5, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": (1.5, 1)})
    plot_sweep_history(trials, left)
    plot_importance(importance, right)
    return figure


def _new_axes(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()
