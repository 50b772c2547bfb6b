"""Transfer: how each adapter did on each data set, as text, markdown, JSON, a DataFrame and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sentlora.console import say
from sentlora.errors import ConfigError, MissingExtraError
from sentlora.evaluation.plot_style import save_picture
from sentlora.labels import LabelMap
from sentlora.transferring import layout
from sentlora.transferring.cell import METRICS, Cell, interval_of
from sentlora.writing.files import write_whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCHEMA = 1
_RECORD = "transfer.json"
_FILES = ("table.md", "transfer.png", _RECORD)


@dataclass(frozen=True)
class ShownAdapter:
    """What a table has to say of an adapter.

    Attributes:
        name: What it is called.
        labels: Its classes.
        base_model: Its base model.
        trained_on: Where its training rows came from, in words.
    """

    name: str
    labels: LabelMap
    base_model: str
    trained_on: str


@dataclass(frozen=True)
class ShownData:
    """What a table has to say of a data set.

    Attributes:
        name: What it is called.
        labels: Its classes.
        source: Where its rows came from, in words.
        n: Rows that were taken.
        of: Rows that there are.
    """

    name: str
    labels: LabelMap
    source: str
    n: int
    of: int


@dataclass(frozen=True, repr=False)
class Transfer:
    """What :func:`sentlora.transfer` measured: each adapter on each data set.

    Attributes:
        adapters: The rows of the table.
        data: Its columns.
        cells: One for each adapter on each data set; also ``transfer["adapter", "data"]``.
        seed: Of the samples that were drawn.
        versions: Of the libraries.
    """

    adapters: tuple[ShownAdapter, ...]
    data: tuple[ShownData, ...]
    cells: tuple[Cell, ...]
    seed: int
    versions: Mapping[str, str]

    def __getitem__(self, names: tuple[str, str]) -> Cell:
        for cell in self.cells:
            if (cell.adapter, cell.data) == names:
                return cell
        rows = ", ".join(adapter.name for adapter in self.adapters)
        raise KeyError(
            f"There is no {names!r}; the adapters are {rows}, the data {', '.join(d.name for d in self.data)}."
        )

    def adapter(self, name: str) -> ShownAdapter:
        """Return what is known of an adapter."""
        return next(adapter for adapter in self.adapters if adapter.name == name)

    @property
    def notes(self) -> list[str]:
        """What has to be known to read the tables, line by line: samples, classes, rows left out, leaks."""
        return layout.notes(self)

    def __repr__(self) -> str:
        return f"Transfer(adapters={[a.name for a in self.adapters]}, data={[d.name for d in self.data]})"

    def __str__(self) -> str:
        return layout.as_text(self)

    def to_markdown(self) -> str:
        """Write the tables as markdown, one for each score, with the notes below."""
        return layout.as_markdown(self)

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def to_frame(self) -> pd.DataFrame:
        """Return one line for each adapter on each data set, unrounded.

        Returns:
            The columns ``adapter``, ``data``, ``n``; each score with its ``_low`` and ``_high``; ``left_out`` and
            ``elsewhere`` (rows), ``same_source``, ``leaked`` (rows; missing where not checked); each score with
            ``_without_leaked`` and their ``n_without_leaked``; ``most_frequent_f1_macro``.
        """
        return pd.DataFrame([_line(cell) for cell in self.cells]).astype(
            {"leaked": "Int64", "n_without_leaked": "Int64"}
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values: the adapters, the data sets, and every cell."""
        return {
            "schema": SCHEMA,
            "adapters": [
                {
                    "name": adapter.name,
                    "base_model": adapter.base_model,
                    "trained_on": adapter.trained_on,
                    "labels": adapter.labels.to_dict(),
                }
                for adapter in self.adapters
            ],
            "data": [
                {"name": data.name, "source": data.source, "n": data.n, "of": data.of, "labels": data.labels.to_dict()}
                for data in self.data
            ],
            "cells": [cell.to_dict() for cell in self.cells],
            "seed": self.seed,
            "versions": dict(self.versions),
            "notes": self.notes,
        }

    def to_json(self, path: str | PathLike[str] | None = None) -> str:
        """Return :meth:`to_dict` as JSON, and write it where a path is given.

        Args:
            path: The file to write, UTF-8; its folder must exist. Default: none.
        """
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        if path is not None:
            write_whole_file(path, text + "\n")
        return text

    def plot(self, ax: Axes | None = None, *, metric: str = "f1_macro", dark: bool = False) -> Axes:
        """Draw the table as coloured squares with the scores in them.

        Args:
            ax: Where to draw. Default: the Axes of a new figure.
            metric: ``f1_macro``, ``accuracy`` or ``roc_auc``.
            dark: Draw for dark paper.

        Returns:
            The Axes: ``transfer.plot().figure.savefig("transfer.png")``.

        Raises:
            ConfigError: If the metric is another one.
            MissingExtraError: If matplotlib is not installed.
        """
        # matplotlib is an extra, and the module knows what to say when it is missing.
        from sentlora.evaluation.transfer_plot import plot_transfer

        if metric not in METRICS:
            raise ConfigError(f"metric must be one of {', '.join(map(repr, METRICS))}; found {metric!r}.")
        rows, columns = [a.name for a in self.adapters], [d.name for d in self.data]
        squares = [[_square(self[row, column], metric) for column in columns] for row in rows]
        return plot_transfer(squares, rows, columns, METRICS[metric], ax, dark=dark)

    def save(self, folder: str | PathLike[str], *, dark: bool = False, verbose: bool = True) -> Path:
        """Write ``table.md``, ``transfer.json`` and, where matplotlib is installed, ``transfer.png``.

        Args:
            folder: Where to; it is made where it is missing.
            dark: Draw for dark paper.
            verbose: Say when there is no picture.

        Returns:
            The absolute path of the folder.

        Raises:
            ConfigError: If the folder is a file, or holds such files of something else.
        """
        place = check_folder(folder)
        place.mkdir(parents=True, exist_ok=True)
        write_whole_file(place / "table.md", self.to_markdown())
        self.to_json(place / _RECORD)
        try:
            save_picture(self.plot(dark=dark).figure, place / "transfer.png")
        except MissingExtraError as error:
            say(f"Note: there is no transfer.png. {error}", verbose=verbose)
        return place


def check_folder(folder: str | PathLike[str]) -> Path:
    """Refuse a folder that a transfer must not be written to, before any work is done.

    Args:
        folder: The folder.

    Returns:
        Its absolute path.

    Raises:
        ConfigError: If it is a file, or holds files of these names that belong to something else.
    """
    place = Path(folder).expanduser().resolve()
    if place.exists() and not place.is_dir():
        raise ConfigError(f"{place} is a file; a transfer needs a folder. Choose another name.")
    found = [name for name in _FILES if (place / name).exists()]
    if found and _RECORD not in found:
        raise ConfigError(
            f"{place} holds a {found[0]} that is of no transfer; it was left untouched. Choose another folder."
        )
    return place


def _line(cell: Cell) -> dict[str, Any]:
    line: dict[str, Any] = {"adapter": cell.adapter, "data": cell.data, "n": cell.n}
    for metric in METRICS:
        low, high = interval_of(cell.report, metric) or (None, None)
        line |= {metric: cell.report[metric], f"{metric}_low": low, f"{metric}_high": high}
    line |= {"left_out": sum(cell.left_out.values()), "elsewhere": cell.elsewhere, "same_source": cell.own}
    line |= {"leaked": cell.leaked, "n_without_leaked": None if cell.clean is None else cell.clean.n}
    for metric in METRICS:
        line[f"{metric}_without_leaked"] = None if cell.clean is None else cell.clean[metric]
    return {**line, "most_frequent_f1_macro": cell.most_frequent}


def _square(cell: Cell, metric: str) -> dict[str, Any]:
    return {
        "score": cell.report[metric],
        "interval": interval_of(cell.report, metric),
        "own": cell.own,
        "leaked": cell.leaked,
        "clean": None if cell.clean is None else cell.clean[metric],
    }
