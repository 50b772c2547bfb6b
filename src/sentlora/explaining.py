"""The part of the classifier that explains: which words of a text spoke for a label, and which against it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy as np

from sentlora.console import progress_bar
from sentlora.errors import ConfigError
from sentlora.evaluation.explained_words import Token
from sentlora.evaluation.explanation import Explanation
from sentlora.inference.attribution import Attribution, attribute, check_steps, label_id, require_captum
from sentlora.inference.decision import decide, softmax
from sentlora.inference.fitted import FittedClassifier
from sentlora.labels import LabelMap
from sentlora.model.label_words import LabelWordsObjective

_BAR_FROM = 10


class Explaining(FittedClassifier):
    """The part of a classifier that explains single predictions."""

    @overload
    def explain(
        self, texts: str | Mapping[str, Any], label: Any = None, *, steps: int | None = None
    ) -> Explanation: ...

    @overload
    def explain(self, texts: Any, label: Any = None, *, steps: int | None = None) -> list[Explanation]: ...

    def explain(self, texts: Any, label: Any = None, *, steps: int | None = None) -> Explanation | list[Explanation]:
        """Say what each word of a text adds to the probability of a label.

        By integrated gradients (Sundararajan et al. 2017, arXiv:1703.01365) from padding in place of the text to the
        text itself, through the very scores that ``predict_proba`` is made of. What is shared out among the words is
        the log-odds of the label, log(p / (1 - p)): of two labels, the other one's explanation has the opposite signs.

        Args:
            texts: One text, or one dict of fields where the prompt has fields; or several, as in :meth:`predict`.
            label: The label to explain. Default: the one that ``predict`` answers, and where the model wrote no label,
                the most probable.
            steps: Points on the way from the baseline at which gradients are taken, from 1 to 2,000; each costs a
                forward and a backward pass. Default: 32, and where the attributions then miss the difference that they
                should sum up to by more than 5 %, once more with 128.

        Returns:
            The explanation of one text or dict; else a list of them, in the order of the texts. Print it, or show it in
            a notebook; ``words``, ``to_frame()``, ``to_json()``, ``to_html()`` and ``plot()`` hold the same.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            MissingExtraError: If captum is not installed.
            LabelError: If there is no such label.
            DataError: If a text is missing or no string; names the row.
            ConfigError: If ``steps`` is no such number, the model is held in 8 bits, or it is an ONNX graph.
        """
        self.check_fitted()
        if self._exported == "onnx":
            raise ConfigError(
                "explain() needs gradients, and an ONNX graph gives none. Load the adapter folder that it was exported "
                "from, which has the same labels and scores."
            )
        require_captum()
        check_steps(steps)
        wanted = None if label is None else label_id(self.labels_, label)
        found = self._explained(self._texts(texts), wanted, steps)
        return found[0] if isinstance(texts, str | Mapping) else found

    def _explained(self, texts: list[str], wanted: int | None, steps: int | None) -> list[Explanation]:
        if not texts:
            return []
        probabilities = softmax(self._score(texts), self.temperature_)
        written = self._predictor().answers(texts) if self.generates() else None
        predicted = decide(probabilities, self.labels_.positive_id, self.threshold_) if written is None else written
        asked = np.where(predicted < 0, probabilities.argmax(axis=1), predicted)
        explanations = []
        with progress_bar(len(texts), "explaining texts", visible=self.verbose and len(texts) >= _BAR_FROM) as bar:
            for row, text in enumerate(texts):
                label = int(asked[row]) if wanted is None else wanted
                found = attribute(self._model, self._objective, text, label, temperature=self.temperature_, steps=steps)
                explanations.append(
                    self._explanation(text, label, float(probabilities[row, label]), int(predicted[row]), found)
                )
                bar.advance(1)
        return explanations

    def _explanation(
        self, text: str, label: int, probability: float, predicted: int, found: Attribution
    ) -> Explanation:
        labels = self.labels_
        asked = self.prompt_ if isinstance(self._objective, LabelWordsObjective) else None
        return Explanation(
            text=text,
            label=labels.values[label],
            probability=probability,
            predicted=None if predicted < 0 else labels.values[predicted],
            tokens=_tokens(text, found, self._objective.tokenizer),
            target=_target(labels, label),
            score=found.score,
            baseline_score=found.baseline_score,
            steps=found.steps,
            n_cut=found.tokens.n_cut,
            cut=found.tokens.cut,
            prompt=None if asked is None else asked.template,
        )


def _tokens(text: str, found: Attribution, tokenizer: Any) -> tuple[Token, ...]:
    names = tokenizer.convert_ids_to_tokens(found.tokens.input_ids)
    return tuple(
        Token(text[place[0] : place[1]], *place, float(value), name)
        for place, value, name in zip(found.tokens.places, found.values, names, strict=True)
        if place is not None
    )


def _target(labels: LabelMap, label: int) -> str:
    others = [name for i, name in enumerate(labels.names) if i != label]
    return f"log-odds of {labels.names[label]} against {' and '.join(others) if len(others) < 3 else 'all others'}"
