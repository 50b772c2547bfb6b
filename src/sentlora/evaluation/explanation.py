"""Explanation: what each word of a text adds to the score of a label, as text, HTML, JSON, a table and a picture."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sentlora.evaluation import explanation_html, explanation_text
from sentlora.evaluation.explained_words import Token, Word, words_of
from sentlora.evaluation.report import check_report_path
from sentlora.inference.completeness import completeness_error, is_rough
from sentlora.labels import LabelValue
from sentlora.writing.files import write_whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Explanation:
    """What each word of a text adds to the log-odds of a label; ``SentimentLoRA.explain`` makes one.

    By integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) from a baseline with padding in place of the
    text. A word above 0 speaks for the label, one below 0 against it; in the limit of many steps all of them sum up
    to ``score - baseline_score``. It is an account of this model, and says nothing of causes in the world.

    Attributes:
        text: The text that the model read; of a row of fields, what the prompt makes of it.
        label: The label that is explained, as in ``classes_``.
        probability: Its probability, as ``predict_proba`` gives it.
        predicted: What ``predict`` answers; None where the model wrote no label.
        tokens: The tokens of the text that were read.
        target: What the attributions add up to, in words.
        score: The log-odds of the label.
        baseline_score: The same with padding in place of the text.
        steps: Points of the path at which gradients were taken.
        n_cut: How many tokens of the text were cut off before the model read it. They are not explained.
        cut: The characters that these stand for, first and behind the last; None where nothing was cut.
        prompt: What a text-to-text model was asked; all but the text is held fixed. None for an encoder.

    Examples:
        >>> token = Token("good", 0, 4, 2.0, "good")
        >>> found = Explanation("good", "positive", 0.875, "positive", (token,), "log-odds", 1.95, 0.0, 32)
        >>> found
        Explanation(label='positive', probability=0.8750, words=1)
        >>> found.words[0].text, round(found.completeness_error, 2)
        ('good', 0.05)
    """

    text: str
    label: LabelValue
    probability: float
    predicted: LabelValue | None
    tokens: tuple[Token, ...]
    target: str
    score: float
    baseline_score: float
    steps: int
    n_cut: int = 0
    cut: tuple[int, int] | None = None
    prompt: str | None = None

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words of the text that were read, each with what its tokens add together."""
        return words_of(self.text, self.tokens)

    @property
    def baseline_probability(self) -> float:
        """The probability of the label with padding in place of the text."""
        return _probability(self.baseline_score)

    @property
    def difference(self) -> float:
        """What the attributions should sum up to: the log-odds of the text over those of the baseline."""
        return self.score - self.baseline_score

    @property
    def completeness_error(self) -> float:
        """How far the sum of the attributions is from that, in log-odds."""
        return completeness_error((token.attribution for token in self.tokens), self.difference)

    @property
    def completeness_share(self) -> float | None:
        """The same as a share of the difference; None where there is no difference."""
        return None if self.difference == 0 else self.completeness_error / abs(self.difference)

    @property
    def is_rough(self) -> bool:
        """Whether the error is more than a twentieth of the difference, and more than a hundredth in log-odds."""
        return is_rough(self.completeness_error, self.difference)

    def strongest(self, n: int = 5, *, against: bool = False) -> list[Word]:
        """Return the words that speak loudest for the label, or against it, the loudest first.

        Args:
            n: How many at most.
            against: Those below 0 in place of those above.
        """
        sign = -1 if against else 1
        found = [word for word in self.words if sign * word.attribution > 0]
        return sorted(found, key=lambda word: -abs(word.attribution))[:n]

    def __repr__(self) -> str:
        return f"Explanation(label={self.label!r}, probability={self.probability:.4f}, words={len(self.words)})"

    def __str__(self) -> str:
        return explanation_text.as_text(self)

    def _repr_html_(self) -> str:
        return explanation_html.fragment(self)

    def to_html(self, path: str | PathLike[str] | None = None) -> str:
        """Write the explanation as one HTML page that needs nothing else, for light and for dark paper.

        The text is in it: mind who may read it.

        Args:
            path: The file to write, UTF-8, ending in ``.html``; its folder must exist. Default: none.

        Raises:
            ConfigError: If it cannot be written there.
        """
        if path is not None:
            check_report_path(Path(path), (".html", ".htm"))
        page = explanation_html.page(self)
        if path is not None:
            write_whole_file(path, page)
        return page

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain JSON values.

        Returns:
            The attributes, with ``words`` and ``tokens`` as lists of mappings, and ``baseline_probability``,
            ``difference``, ``completeness_error`` and ``completeness_share``.
        """
        return {
            "text": self.text,
            "label": self.label,
            "probability": self.probability,
            "predicted": self.predicted,
            "target": self.target,
            "score": self.score,
            "baseline_score": self.baseline_score,
            "baseline_probability": self.baseline_probability,
            "difference": self.difference,
            "completeness_error": self.completeness_error,
            "completeness_share": self.completeness_share,
            "steps": self.steps,
            "words": [asdict(word) for word in self.words],
            "tokens": [asdict(token) for token in self.tokens],
            "n_cut": self.n_cut,
            "cut": None if self.cut is None else list(self.cut),
            "prompt": self.prompt,
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

    def to_frame(self, *, tokens: bool = False) -> pd.DataFrame:
        """Return one row for each word, in the order of the text: ``text``, ``start``, ``end``, ``attribution``.

        Args:
            tokens: One row for each token instead, with the column ``token`` for how the tokenizer writes it.
        """
        columns = ["text", "start", "end", "attribution", *(["token"] if tokens else [])]
        return pd.DataFrame([asdict(one) for one in (self.tokens if tokens else self.words)], columns=columns)

    def plot(self, ax: Axes | None = None, *, n: int = 12, dark: bool = False) -> Axes:
        """Draw the strongest words as bars, in the order of the text.

        Args:
            ax: Where to draw. Default: the Axes of a new figure.
            n: How many words at most.
            dark: Draw for dark paper.

        Raises:
            MissingExtraError: If matplotlib is not installed.
        """
        # matplotlib is an extra, and the module knows what to say when it is missing.
        from sentlora.evaluation.explanation_plot import plot_explanation

        return plot_explanation(self, ax, n=n, dark=dark)


def _probability(score: float) -> float:
    return 1 / (1 + math.exp(-score)) if score >= 0 else math.exp(score) / (1 + math.exp(score))
