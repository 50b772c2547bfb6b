"""Rows that differ by their seed alone, taken together, and named by what tells them from the others."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentlora.comparison.plan import BASELINES, Run
from sentlora.comparison.preparation import named
from sentlora.comparison.store import Row
from sentlora.evaluation.metrics import wilson_interval

_MODES = {
    "majority": "majority class",
    "tfidf": "TF-IDF + logistic regression",
    "head": "head only",
    "full": "full fine-tuning",
}
_VARIANTS = {
    "lora": "LoRA",
    "rslora": "rsLoRA",
    "dora": "DoRA",
    "pissa": "PiSSA",
    "olora": "OLoRA",
    "lora+": "LoRA+",
    "ia3": "IA3",
}


@dataclass(frozen=True)
class Entry:
    """One line of the table: the rows of all seeds.

    Attributes:
        name: What it is, by what tells it from the other lines.
        rows: One row for each seed.
    """

    name: str
    rows: tuple[Row, ...]

    @property
    def run(self) -> Run:
        """What was run, with the first of the seeds."""
        return self.rows[0].run

    def values(self, figure: str) -> list[float]:
        """Return one figure of every seed that has it."""
        measured = [row.figures[figure] for row in self.rows if row.figures is not None]
        return [float(value) for value in measured if value is not None]

    def mean(self, figure: str) -> float | None:
        """Return the mean over the seeds; None where there is no such figure."""
        values = self.values(figure)
        return statistics.fmean(values) if values else None

    def sd(self, figure: str) -> float | None:
        """Return the sample standard deviation over the seeds; None of fewer than two."""
        values = self.values(figure)
        return statistics.stdev(values) if len(values) > 1 else None

    def interval(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the (mean) accuracy, as far as it comes from the rows it was measured on."""
        accuracy, n = self.mean("accuracy"), self.mean("n_test")
        return None if accuracy is None or n is None else wilson_interval(round(accuracy * n), round(n))


def entries(rows: Sequence[Row]) -> list[Entry]:
    """Take the seeds of each run together, in the order in which the runs come.

    Args:
        rows: Rows of one comparison.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps(_without_seed(row.run), sort_keys=True), []).append(row)
    names = _names([group[0].run for group in groups.values()])
    return [Entry(name, tuple(group)) for name, group in zip(names, groups.values(), strict=True)]


def shared_settings(rows: Sequence[Row]) -> str:
    """Say in one line what the trained rows have in common; empty where nothing is trained.

    Args:
        rows: Rows of one comparison.
    """
    runs = [row.run for row in rows if row.run.mode not in BASELINES]
    lora = [run for run in runs if run.mode == "lora" and run.settings["variant"] != "ia3"]
    told = []
    for names, among in ((("r", "alpha", "targets", "layers"), lora), (("scheduler",), runs)):
        told += [_told(name, among[0]) for name in names if among and len(_varied(name, among)) == 1]
    if runs:
        told.append(_by_mode("epochs", runs))
        told += [_told(name, runs[0]) for name in ("keep", "batch_size", "max_length", "truncation", "quantization")]
        added = runs[0].settings.get("augment") or {}
        told += [f"augment ({', '.join(f'{name}={value}' for name, value in added.items())})"] if added else []
        told.append(_by_mode("learning_rate", runs))
    return ", ".join(part for part in told if part)


def kept_epochs(rows: Sequence[Row]) -> set[str]:
    """Return which epochs the trained rows keep the weights of: ``best``, ``last``, or both in one comparison.

    Args:
        rows: Rows of one comparison; none of them trained gives an empty set.
    """
    return {row.run.settings["keep"] or "best" for row in rows if row.run.mode not in BASELINES}


def _by_mode(name: str, runs: Sequence[Run]) -> str:
    """Say a setting that each mode has its own of, once where they agree."""
    modes: dict[str, list[str]] = {}
    for run in runs:
        named = modes.setdefault(f"{run.settings[name]:g}", [])
        named += [] if _rated(run) in named else [_rated(run)]
    words = [value if len(modes) == 1 else f"{value} ({', '.join(named)})" for value, named in modes.items()]
    return f"{name.replace('_', ' ')} {', '.join(words)}"


def _rated(run: Run) -> str:
    return "ia3" if run.settings["variant"] == "ia3" else run.mode


def _told(name: str, run: Run) -> str:
    value = run.settings[name]
    return "" if value is None else f"{name.replace('_', ' ')} {_shown(value)}"


def _names(runs: Sequence[Run]) -> list[str]:
    trained = [run for run in runs if run.mode not in BASELINES]
    lora = [run for run in trained if run.mode == "lora" and run.settings["variant"] != "ia3"]
    several = {name: len(_varied(name, lora)) > 1 for name in ("alpha", "targets")}
    several["targets"] |= len(_varied("targets", [run for run in trained if run.mode == "lora"])) > 1
    several["scheduler"] = len(_varied("scheduler", trained)) > 1
    return [_name(run, several) for run in runs]


def _name(run: Run, several: Mapping[str, bool]) -> str:
    if run.mode in BASELINES:
        return _MODES[run.mode] if run.preprocess is None else f"TF-IDF, {named(run.preprocess)}"
    settings, parts = run.settings, []
    if run.mode == "lora":
        ranked = settings["variant"] != "ia3"
        parts += [f"r={settings['r']}"] if ranked else []
        parts += [f"alpha={_shown(settings['alpha'])}"] if ranked and several["alpha"] else []
        parts += [_shown(settings["targets"])] if several["targets"] else []
    parts += [settings["scheduler"]] if several["scheduler"] else []
    word = _MODES.get(run.mode) or _VARIANTS[settings["variant"]]
    comma = "" if run.mode == "lora" else ","
    return f"{word}{comma} {', '.join(parts)}" if parts else word


def _varied(name: str, runs: Sequence[Run]) -> set[str]:
    return {json.dumps(run.settings[name]) for run in runs}


def _without_seed(run: Run) -> dict[str, Any]:
    settings = {name: value for name, value in run.settings.items() if name != "seed"}
    return {**run.to_dict(), "seed": None, "settings": settings}


def _shown(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value).replace(",", "+")
