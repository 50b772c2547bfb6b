"""Comparison: what was measured, as text, markdown, JSON, a DataFrame and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from sentlora.comparison.entries import Entry, entries, kept_epochs, shared_settings
from sentlora.comparison.layout import as_cells
from sentlora.comparison.plan import BASELINES
from sentlora.comparison.preparation import named
from sentlora.comparison.store import SCHEMA, Row
from sentlora.console import say
from sentlora.errors import ConfigError, MissingExtraError
from sentlora.evaluation.layout import markdown_table, text_table
from sentlora.evaluation.plot_style import save_picture
from sentlora.writing.files import write_whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_SETTINGS = ("variant", "r", "alpha", "targets", "scheduler", "learning_rate", "epochs")
_FIGURES = (
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "f1_macro",
    "roc_auc",
    "n_test",
    "trainable",
    "adapter_bytes",
    "train_seconds",
    "peak_bytes",
    "gpu_bytes",
    "best_epoch",
)


@dataclass(frozen=True, repr=False)
class Comparison:
    """What :func:`sentlora.compare` measured.

    Attributes:
        rows: One for each run, in the order in which they were measured; ``row.figures``, or ``row.error``.
        source: What they were measured on.
        sizes: Rows to train on, to validate and to report on.
        base_model: The base model of the trained rows.
        versions: Of the libraries.
    """

    rows: tuple[Row, ...]
    source: str
    sizes: Mapping[str, int]
    base_model: str
    versions: Mapping[str, str]

    @property
    def entries(self) -> list[Entry]:
        """The lines of the table: the seeds of each run taken together."""
        return entries(self.rows)

    @property
    def failed(self) -> list[Row]:
        """The rows that could not be measured."""
        return [row for row in self.rows if row.figures is None]

    @property
    def notes(self) -> list[str]:
        """What has to be known to read the table, line by line; what failed comes last."""
        test = f"{self.sizes['test']:,}"
        kept = kept_epochs(self.rows)
        idle = f"; {self.sizes['validation']:,} more are held out to validate, which a baseline does not do"
        lines = [
            f"{self.source}: {self.sizes['train']:,} rows to train on, {self._validation(kept)}{test} to report on"
            f"{'' if kept else idle}."
        ]
        if shared := shared_settings(self.rows):
            lines.append(f"Base model {self.base_model}; in common: {shared}.")
        seeds = max((len(entry.rows) for entry in self.entries), default=1)
        if seeds > 1:
            lines.append(f"± is the sample standard deviation over n = {seeds} seeds; a baseline needs none.")
        of = "mean accuracy" if seeds > 1 else "accuracy"
        lines.append(f"The 95 % interval is Wilson's: what another {test} rows would leave plausible for the {of}.")
        file = "; file: the saved weights, of full fine-tuning the whole model" if kept else ""
        lines.append(f"fit: training alone; peak: memory of the row's own process, libraries included{file}.")
        lines.append(self._where())
        return lines + self._failures()

    def _validation(self, kept: set[str]) -> str:
        rows = f"{self.sizes['validation']:,}"
        if not kept:
            return ""
        if kept == {"last"}:
            return f"{rows} to watch the training by (the last epoch is kept), "
        return f"{rows} to choose the epoch by{' where the best is kept' if len(kept) > 1 else ''}, "

    def _where(self) -> str:
        machines = [row.figures["machine"] for row in self.rows if row.figures is not None]
        # A baseline has nothing to tell of threads, and runs beside the GPU.
        trained = [machine for machine in machines if machine["threads"] is not None] or machines
        told = {f"{m['device']}, {m['cores']} cores" + _threads(m["threads"]) for m in trained}
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return f"Measured on {' and '.join(sorted(told)) or 'nothing'}; {versions}."

    def _failures(self) -> list[str]:
        lines = []
        for entry in self.entries:
            for row in entry.rows:
                if row.error is not None:
                    seed = "" if row.run.seed is None else f", seed {row.run.seed}"
                    lines.append(f"Failed: {entry.name}{seed}: {row.error}")
        return lines

    def __repr__(self) -> str:
        return f"Comparison(source={self.source!r}, rows={len(self.rows)}, failed={len(self.failed)})"

    def __str__(self) -> str:
        return "\n".join([text_table(*as_cells(self.entries)), "", *self.notes])

    def to_markdown(self) -> str:
        """Write the table as markdown, with its notes below."""
        notes = "\n".join(f"- {line}" for line in self.notes)
        return f"{markdown_table(*as_cells(self.entries))}\n\n{notes}\n"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_frame(self) -> pd.DataFrame:
        """Return one line for each row, unrounded: what it is, its main settings, and its figures."""
        names = {id(row): entry.name for entry in self.entries for row in entry.rows}
        lines = []
        for row in self.rows:
            steps = row.run.preprocess
            line = {"name": names[id(row)], "mode": row.run.mode, "seed": row.run.seed}
            line["preprocess"] = None if steps is None else named(steps)
            line |= {name: row.run.settings.get(name) for name in _SHOWN_SETTINGS}
            line |= {name: (row.figures or {}).get(name) for name in _FIGURES}
            lines.append({**line, "error": row.error})
        return pd.DataFrame(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: every row, and the means of the table."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "sizes": dict(self.sizes),
            "base_model": self.base_model,
            "versions": dict(self.versions),
            "table": [
                {"name": entry.name, "mode": entry.run.mode, "seeds": len(entry.rows)}
                | ({} if entry.run.preprocess is None else {"preprocess": named(entry.run.preprocess)})
                | {name: {"mean": entry.mean(name), "sd": entry.sd(name)} for name in _FIGURES}
                for entry in self.entries
            ],
            "rows": [row.to_dict() for row in self.rows],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Comparison:
        """Read what :meth:`to_dict` returned, such as the contents of ``comparison.json``.

        Raises:
            ConfigError: If it is something else, or of another version of this library.
        """
        try:
            if data["schema"] != SCHEMA:
                raise ConfigError(f"Expected a comparison of schema {SCHEMA}; found schema {data['schema']!r}.")
            rows = tuple(Row.from_dict(row) for row in data["rows"])
            return cls(rows, data["source"], data["sizes"], data["base_model"], data["versions"])
        except KeyError as error:
            raise ConfigError(f"Expected what Comparison.to_dict returned; it lacks {error.args[0]!r}.") from error

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return :meth:`to_dict` as JSON, and write it where a path is given.

        Args:
            path: The file to write, UTF-8; its folder must exist. Default: none.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        if path is not None:
            write_whole_file(path, text + "\n")
        return text

    def plot(self, metric: str = "accuracy") -> Figure:
        """Draw a score of every line of the table, with trainable parameters, time and memory beside it.

        Args:
            metric: ``accuracy`` with its 95 % interval, ``f1_macro`` or ``roc_auc``; with several seeds also each seed.

        Returns:
            A matplotlib figure: ``comparison.plot().savefig("comparison.png")``.

        Raises:
            ConfigError: If the metric is another one.
            MissingExtraError: If matplotlib is not installed.
        """
        from sentlora.evaluation.comparison_plot import METRICS, plot_comparison

        if metric not in METRICS:
            raise ConfigError(f"metric must be one of {', '.join(map(repr, METRICS))}; found {metric!r}.")
        lines = [
            {
                "name": entry.name,
                "baseline": entry.run.mode in BASELINES,
                "scores": entry.values(metric),
                "interval": entry.interval() if metric == "accuracy" else None,
                "trainable": entry.mean("trainable"),
                "seconds": entry.mean("train_seconds"),
                "megabytes": None if (peak := entry.mean("peak_bytes")) is None else peak / 1e6,
            }
            for entry in self.entries
        ]
        return cast("Figure", plot_comparison(lines, metric)[0].figure)

    def save(self, folder: str | PathLike[str], *, verbose: bool = True) -> Path:
        """Write ``table.md``, ``comparison.json`` and, where matplotlib is installed, ``comparison.png``.

        Args:
            folder: Where to; it is made where it is missing.
            verbose: Say when there is no picture.

        Returns:
            The absolute path of the folder.
        """
        place = Path(folder).expanduser().resolve()
        place.mkdir(parents=True, exist_ok=True)
        write_whole_file(place / "table.md", self.to_markdown())
        self.to_json(place / "comparison.json")
        try:
            save_picture(self.plot(), place / "comparison.png")
        except MissingExtraError as error:
            say(f"Note: there is no comparison.png. {error}", verbose=verbose)
        return place


def _threads(number: int | None) -> str:
    return "" if number is None else f", {number} {'thread' if number == 1 else 'threads'}"
