"""Light baselines: what a transformer has to beat to be worth its cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from sentlora.errors import DataError
from sentlora.evaluation.report import EvaluationReport
from sentlora.labels import LabelMap

_FEW_TEXTS = 100


class _WordGrams(TfidfVectorizer):
    """A TfidfVectorizer that keeps rare words while there are too few texts to call a word rare."""

    def fit(self, raw_documents: Iterable[str], y: Any = None) -> _WordGrams:
        self.fit_transform(raw_documents, y)
        return self

    def fit_transform(self, raw_documents: Iterable[str], y: Any = None) -> Any:
        texts = list(raw_documents)
        asked: int = self.get_params()["min_df"]
        self.min_df = 1 if len(texts) < _FEW_TEXTS else asked
        try:
            return super().fit_transform(texts, y)
        finally:
            self.min_df = asked  # fitting must not change a parameter, or a clone would differ


def majority_classifier() -> DummyClassifier:
    """Build the classifier that always answers the most frequent class.

    Returns:
        An unfitted scikit-learn classifier; its probabilities are the shares of the classes in the training data.

    Examples:
        >>> majority_classifier().fit(["a", "b", "c"], [1, 1, 0]).predict(["d"]).tolist()
        [1]
    """
    return DummyClassifier(strategy="prior")


def tfidf_classifier(
    seed: int = 0, *, c: float = 4.0, min_df: int = 2, preprocess: Callable[[str], str] | None = None
) -> Pipeline:
    """Build the classic strong baseline: TF-IDF of words and word pairs, then logistic regression.

    Source of the combination: Wang and Manning (2012), "Baselines and Bigrams: Simple, Good Sentiment and Topic
    Classification", ACL 2012, P12-2018.

    Args:
        seed: Random state of the logistic regression.
        c: Inverse strength of the L2 penalty. TF-IDF rows have length 1, for which scikit-learn's 1.0 is too strong.
        min_df: A word or pair must occur in this many training texts. With fewer than 100 texts all are kept.
        preprocess: Prepares each text, such as :func:`sentlora.data.classic.classic`; by default everything is
            written small, and nothing else is done.

    Returns:
        An unfitted scikit-learn pipeline: ``fit(texts, ids)``, ``predict_proba(texts)``.

    Examples:
        >>> model = tfidf_classifier().fit(["good film", "bad film", "good", "bad"], [1, 0, 1, 0])
        >>> model.predict(["a good one"]).tolist()
        [1]
    """
    # One-letter words count ("I", and "t" of "don't"), hence the pattern.
    words = _WordGrams(
        ngram_range=(1, 2),
        sublinear_tf=True,
        min_df=min_df,
        token_pattern=r"(?u)\b\w+\b",  # noqa: S106  a pattern of words, no password
        preprocessor=preprocess,
    )
    return make_pipeline(words, LogisticRegression(C=c, max_iter=1000, random_state=seed))


def evaluate_baseline(
    classifier: Any,
    train_texts: Sequence[str],
    train_ids: ArrayLike,
    test_texts: Sequence[str],
    test_ids: ArrayLike,
    labels: LabelMap,
    *,
    source: str = "test",
) -> EvaluationReport:
    """Fit a baseline and report on texts it has not seen.

    Args:
        classifier: Any scikit-learn classifier over texts with ``predict_proba``; it is fitted in place.
        train_texts: Training texts, length n.
        train_ids: Their class ids, shape (n,).
        test_texts: Test texts, length m.
        test_ids: Their class ids, shape (m,).
        labels: The classes. A class that the training data lacks gets the probability 0.
        source: What the test texts are, for the report.

    Raises:
        DataError: If texts and ids differ in length, there are none, or an id is out of range.

    Examples:
        >>> labels = LabelMap(("negative", "positive"))
        >>> evaluate_baseline(majority_classifier(), ["a", "b"], [1, 1], ["c", "d"], [0, 1], labels).accuracy
        0.5
    """
    train, test = np.asarray(train_ids), np.asarray(test_ids)
    for split, texts, ids in (("train", train_texts, train), ("test", test_texts, test)):
        if len(texts) != len(ids) or not len(ids):
            raise DataError(f"Expected as many {split} ids as texts, at least one; found {len(ids)} and {len(texts)}.")
        if ids.dtype.kind not in "iub" or ids.min() < 0 or ids.max() >= len(labels):
            raise DataError(f"Expected {split} ids from 0 to {len(labels) - 1}. Use LabelMap.encode. Labels: {labels}.")
    classifier.fit(train_texts, train)
    scores = np.zeros((len(test), len(labels)))
    # predict_proba has a column for each class seen in training, which may be fewer than there are.
    scores[:, classifier.classes_.astype(np.int64)] = classifier.predict_proba(test_texts)
    return EvaluationReport.from_scores(test, scores, labels, source=source)
