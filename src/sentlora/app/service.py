"""The classifier behind the screen: one model, and callers that take turns."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sentlora.app.limits import Limits
from sentlora.app.uploads import FIELDS, guess_column, read_upload
from sentlora.data.checks import read_texts
from sentlora.data.headers import find_text_column
from sentlora.errors import DataError
from sentlora.evaluation.explanation import Explanation
from sentlora.inference.decision import check_abstention
from sentlora.inference.tables import predictions
from sentlora.sentiment_lora import SentimentLoRA

# After so many rows of a file whoever waits with a single text is served.
ROWS_PER_TURN = 128


@dataclass(frozen=True)
class Answer:
    """What the classifier says of one text.

    Attributes:
        label: The name of the label; None where it is unsure, or wrote no label.
        most_likely: The name of the label that it would have been, or the most probable one.
        confidence: The probability of ``most_likely``.
        probabilities: Of each label, by name.
        threshold: The probability from which the positive label of two is predicted; None where the largest wins.
        abstain_below: The confidence below which no label is given, or None.
    """

    label: str | None
    most_likely: str
    confidence: float
    probabilities: dict[str, float]
    threshold: float | None
    abstain_below: float | None


class Service:
    """A classifier as it is now, for many callers at once.

    The model is one, and neither its tokenizer nor the hooks of an explanation may be used by two threads at a time.
    So callers take turns, and a file gives its turn back after some rows.
    """

    def __init__(self, clf: SentimentLoRA, limits: Limits) -> None:
        """Take a look at the classifier.

        Args:
            clf: A trained classifier. What is set or trained later does not change this service.
            limits: What is taken from callers.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
        """
        clf.check_fitted()
        self.clf = copy.copy(clf)
        self.clf.verbose = False
        self.limits = limits
        self._turn, self._next = threading.Lock(), threading.Lock()

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a text is made of; empty where it is typed as it is."""
        prompt = self.clf.prompt_
        return () if prompt is None or prompt.is_plain else prompt.fields

    @contextmanager
    def turn(self) -> Iterator[SentimentLoRA]:
        """Hold the model. Who waits is next, even where the one before comes back at once."""
        with self._next:
            self._turn.acquire()
        try:
            yield self.clf
        finally:
            self._turn.release()

    def answer(self, given: str | Mapping[str, Any], abstain_below: float | None = None) -> Answer:
        """Label one text.

        Args:
            given: The text, or its fields.
            abstain_below: Give no label where the confidence is below this; None or 0 always gives one.

        Raises:
            DataError: If the text is empty or too long.
            ConfigError: If ``abstain_below`` is no probability.
        """
        below = _below(abstain_below)
        rows = pd.DataFrame({"text": [self._text(given)]})
        with self.turn() as clf:
            row = predictions(clf, rows, "text", below).iloc[0]
        names = clf.labels_.names
        shares = {name: float(row[f"p_{name}"]) for name in names}
        label = None if pd.isna(row["prediction"]) else names[list(clf.labels_.values).index(row["prediction"])]
        sure = None if pd.isna(row["confidence"]) else float(row["confidence"])
        # Below the threshold the likelier label is not the one that would have been given.
        likely = label or next((name for name in names if shares[name] == sure), max(shares, key=lambda n: shares[n]))
        return Answer(label, likely, shares[likely], shares, None if clf.generates() else clf.threshold_, below)

    def explain(self, given: str | Mapping[str, Any], label: str | None = None) -> Explanation:
        """Say which words of a text speak for a label, and which against it.

        Args:
            given: The text, or its fields.
            label: The label; by default the one that is predicted.

        Raises:
            DataError: If the text is empty or too long.
            LabelError: If there is no such label.
            MissingExtraError: If captum is not installed.
        """
        text = self._text(given)
        with self.turn() as clf:
            return clf.explain([text], label or None)[0]

    def _text(self, given: str | Mapping[str, Any]) -> str:
        if not isinstance(given, str | Mapping):
            raise DataError(f"Expected a text, or a mapping of fields; found {type(given).__name__}.")
        parts = [given] if isinstance(given, str) else [value for value in given.values() if isinstance(value, str)]
        self.limits.check_text(sum(map(len, parts)))
        if isinstance(given, Mapping) and not self.fields:
            raise DataError("Expected a text; found fields. This classifier reads plain texts.")
        # In a list, as a text on its own is taken for a file's name where there is such a file.
        (text,) = read_texts([given], prompt=self.clf.prompt_, verbose=False)
        if not text.strip():
            raise DataError("There is no text yet. Type one, or choose an example.")
        return text

    def columns(self, path: Path) -> tuple[pd.DataFrame, list[str], str | None]:
        """Read an uploaded file, and find what could be scored.

        Returns:
            The rows, the columns that hold texts, and the likeliest of them.

        Raises:
            DataError: If the file is too large or cannot be read.
        """
        frame = read_upload(path, self.limits)
        return frame, *guess_column(frame, self.clf.prompt_, self.clf.columns_)

    def score(
        self,
        path: Path,
        column: str | None = None,
        abstain_below: float | None = None,
        tick: Callable[[int, int], None] = lambda done, total: None,
    ) -> pd.DataFrame:
        """Score an uploaded file.

        Args:
            path: The file.
            column: The column of the texts, or :data:`~sentlora.app.uploads.FIELDS`; None guesses.
            abstain_below: As in :meth:`answer`.
            tick: Called with the number of rows that are done, and of all.

        Returns:
            The rows with ``prediction``, ``confidence`` and the probability of each label.

        Raises:
            DataError: If the file is too large, cannot be read, or holds no such column.
            ConfigError: If ``abstain_below`` is no probability.
        """
        below = _below(abstain_below)
        rows = read_upload(path, self.limits)
        column = column or guess_column(rows, self.clf.prompt_, self.clf.columns_)[1]
        if column is None:
            raise DataError(f"No column of {path.name!r} stands out as texts. Choose one of {list(rows.columns)}.")
        text_column = None if column == FIELDS and self.fields else find_text_column(rows, column)
        # All rows are checked before the first is scored, and a fault names its place in the file.
        read_texts(rows if text_column is None else rows[text_column], prompt=self.clf.prompt_, verbose=False)
        if rows.empty:
            raise DataError(f"The file {path.name!r} has column names and no rows.")
        parts = []
        tick(0, len(rows))
        for start in range(0, len(rows), ROWS_PER_TURN):
            with self.turn() as clf:
                parts.append(predictions(clf, rows[start : start + ROWS_PER_TURN], text_column, below))
            tick(min(start + ROWS_PER_TURN, len(rows)), len(rows))
        return pd.concat(parts, ignore_index=True)


def _below(given: float | None) -> float | None:
    if not given:
        return None
    check_abstention(given)
    return given
