"""Seeded, stratified draws from a dataset: a validation split, a test split, a subsample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict

from sentlora.console import say
from sentlora.data.leaks import ASIDE, is_among, keys_of
from sentlora.data.text import normalise
from sentlora.errors import DataError

DEFAULT_SEED = 0


def with_validation(
    splits: DatasetDict,
    fraction: float = 0.1,
    max_rows: int = 2000,
    seed: int = DEFAULT_SEED,
    *,
    eval_split: str = "test",
    names: Sequence[str] = (),
    verbose: bool = True,
) -> DatasetDict:
    """Make sure that there is a split to choose the best epoch on, and that it is not the one to report on.

    Where there is no ``validation`` split, a stratified part of ``train`` becomes one. Only rows whose
    normalised text occurs once in ``train`` are drawn, so that no copy of a validation text is trained on;
    a class in which every text has copies is drawn from all the same, and one line says so.
    ``test`` is never read.

    Args:
        splits: Has a split ``train`` with the columns ``text`` and ``label`` (ids).
        fraction: Part of the training rows to hold out.
        max_rows: Most rows to hold out. At least one row per class always is.
        seed: Of the draw.
        eval_split: The split that results are reported on. When it is ``validation`` itself (SST-2), that
            split is renamed to ``test`` and another validation split is drawn from ``train``.
        names: What the ids mean, for the messages.
        verbose: Say how many rows were held out.

    Returns:
        The splits with ``validation``; the same object when it was there already.

    Raises:
        DataError: If there is no ``train``, or a class has fewer than two rows in it.

    Examples:
        >>> rows = {"text": ["good", "fine", "bad", "poor"], "label": [1, 1, 0, 0]}
        >>> splits = with_validation(DatasetDict(train=Dataset.from_dict(rows)), verbose=False)
        >>> splits.num_rows
        {'train': 2, 'validation': 2}
    """
    reserved = eval_split == "validation" and "validation" in splits
    if "validation" in splits and not reserved:
        return splits
    if "train" not in splits:
        raise DataError(f"Expected a split 'train' to hold validation rows out of; found the splits {list(splits)}.")
    train = splits["train"]
    labels = np.asarray(train["label"], dtype=np.int64)
    for label, rows in zip(*np.unique(labels, return_counts=True), strict=True):
        if rows < 2:
            raise DataError(
                f"The class {_class_name(train, int(label), names)} has only {rows} row in 'train'; at least 2 are "
                "needed, one to train on and one for the validation split. Correct the label if it is mistyped; else "
                "add rows, or pass validation= rows of your own."
            )
    single = occurs_once(train["text"])
    copies_only = [int(label) for label in np.unique(labels) if not single[labels == label].any()]
    for label in copies_only:
        say(
            f"Note: every text of the class {_class_name(train, label, names)} occurs more than once in 'train'; "
            "some validation texts are trained on too.",
            verbose=verbose,
        )
    wanted = max(len(np.unique(labels)), min(max_rows, round(fraction * len(labels))))
    held_out = draw(labels, wanted, seed, eligible=single | np.isin(labels, copies_only), leave_one=True)
    kept = DatasetDict(train=_without(train, held_out), validation=train.select(np.sort(held_out)))
    for name, split in splits.items():
        if name == "validation":
            kept["test"] = split
        elif name != "train" and not (reserved and name == "test"):
            kept[name] = split
    say(
        f"Validation: {len(held_out):,} of {len(train):,} training rows held out (stratified, seed {seed}).",
        verbose=verbose,
    )
    return kept


def with_test(
    splits: DatasetDict,
    name: str = "test",
    fraction: float = 0.2,
    *,
    texts: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
) -> DatasetDict:
    """Hold a split out of ``train`` to report results on.

    Only rows whose normalised text occurs once are drawn, so no text of it is left in ``train``. The seed is
    fixed: a row held out today is never a training row tomorrow.

    Args:
        splits: Has a split ``train`` with the columns ``text`` and ``label`` (ids).
        name: Of the new split.
        fraction: Part of the training rows to hold out.
        texts: Other texts of the training rows, to tell by which rows are copies.
        labels: Other ids of the training rows, to draw in proportion to.

    Returns:
        ``train`` without the rows, the other splits, and the new one.

    Examples:
        >>> rows = {"text": ["good", "fine", "bad", "poor"], "label": [1, 1, 0, 0]}
        >>> with_test(DatasetDict(train=Dataset.from_dict(rows)), fraction=0.5).num_rows
        {'train': 2, 'test': 2}
    """
    train = splits["train"]
    ids = np.asarray(train["label"] if labels is None else labels, dtype=np.int64)
    single = occurs_once(train["text"] if texts is None else texts)
    rows = draw(ids, round(fraction * len(ids)), DEFAULT_SEED, eligible=single, leave_one=True)
    return DatasetDict({**splits, "train": _without(train, rows), name: train.select(np.sort(rows))})


def subsample(dataset: Dataset, n: int, seed: int = DEFAULT_SEED, *, verbose: bool = True) -> Dataset:
    """Draw a stratified sample in random order.

    A larger ``n`` with the same seed draws the same rows and more of them (up to rounding between classes).

    Args:
        dataset: Has a column ``label`` of ids.
        n: Number of rows; all rows are used, with a notice, when there are fewer.
        seed: Of the draw.
        verbose: Print the notice.

    Raises:
        DataError: If ``n`` leaves no row for some class.

    Examples:
        >>> rows = Dataset.from_dict({"text": ["good", "fine", "bad", "poor"], "label": [1, 1, 0, 0]})
        >>> sorted(subsample(rows, 2)["label"])
        [0, 1]
    """
    labels = np.asarray(dataset["label"], dtype=np.int64)
    n_labels = len(np.unique(labels))
    if n < n_labels:
        raise DataError(
            f"Expected a sample of at least {n_labels} rows, one per class; found n = {n}. Ask for more rows."
        )
    if n >= len(labels):
        if n > len(labels):
            say(f"Note: {n:,} rows were asked for and there are {len(labels):,}; all are used.", verbose=verbose)
        return dataset
    return dataset.select(draw(labels, n, seed))


def say_shared(splits: DatasetDict, *, verbose: bool = True) -> None:
    """Say in one line how many texts of the other splits are in ``train`` too; say nothing when there are none.

    Args:
        splits: Have a column ``text``.
        verbose: Print nothing when false.
    """
    if not verbose or "train" not in splits or len(splits) < 2:
        return
    known = keys_of(splits["train"]["text"])
    shared = {
        name: int(is_among(keys_of(part["text"]), known).sum()) for name, part in splits.items() if name != "train"
    }
    told = [f"{n:,} {'text' if n == 1 else 'texts'} of {name!r}" for name, n in shared.items() if n]
    if told:
        are = "is" if sum(shared.values()) == 1 else "are"
        say(f"Note: {' and '.join(told)} {are} in 'train' too {ASIDE}; kept as is.")


def occurs_once(texts: Any) -> np.ndarray:
    """Tell for every text whether its normalised form occurs only here.

    Args:
        texts: The texts.

    Returns:
        Booleans, shape (n_texts,).

    Examples:
        >>> occurs_once(["Good!", "good", "bad"]).tolist()
        [False, False, True]
    """
    # Not by keys_of, which looks through HTML as well: what is held out today must be held out tomorrow.
    keys = [normalise(text) for text in texts]
    times = Counter(keys)
    return np.array([times[key] == 1 for key in keys], dtype=bool)


def draw(
    labels: np.ndarray, n: int, seed: int, *, eligible: np.ndarray | None = None, leave_one: bool = False
) -> np.ndarray:
    """Draw row numbers in the proportions of the classes.

    scikit-learn's ``train_test_split`` may give a rare class no row at all and cannot keep rows from being
    drawn; here every class gets at least one.

    Args:
        labels: Ids, shape (n_rows,).
        n: Number of rows to draw; fewer are drawn where too few are eligible.
        seed: Of the draw.
        eligible: Rows that may be drawn, shape (n_rows,); all by default.
        leave_one: Leave at least one row of every class undrawn.

    Returns:
        Row numbers in random order, all different.

    Examples:
        >>> drawn = draw(np.array([0] * 8 + [1] * 2), n=5, seed=0)
        >>> np.bincount(np.array([0] * 8 + [1] * 2)[drawn]).tolist()
        [4, 1]
    """
    rng = np.random.default_rng(seed)
    classes, counts = np.unique(labels, return_counts=True)
    eligible = np.ones(len(labels), dtype=bool) if eligible is None else eligible
    pools = [rng.permutation(np.flatnonzero((labels == label) & eligible)) for label in classes]
    most = np.array([min(len(pool), count - leave_one) for pool, count in zip(pools, counts, strict=True)])
    quota = _shares(counts, most, n)
    rows = np.concatenate([pool[:rows] for pool, rows in zip(pools, quota, strict=True)])
    return rng.permutation(rows).astype(np.int64)


def _shares(counts: np.ndarray, most: np.ndarray, n: int) -> np.ndarray:
    """Split ``n`` over the classes in proportion: one each at least, ``most`` at most."""
    ideal = counts * (n / counts.sum())
    quota = np.minimum(np.maximum(np.floor(ideal).astype(int), 1), most)
    while quota.sum() != n:
        step = 1 if quota.sum() < n else -1
        movable = np.flatnonzero(quota < most if step > 0 else quota > 1)
        if not len(movable):
            break
        quota[movable[np.argmax(step * (ideal - quota)[movable])]] += step
    return np.asarray(quota)


def _without(dataset: Dataset, rows: np.ndarray) -> Dataset:
    return dataset.select(np.setdiff1d(np.arange(len(dataset)), rows))


def _class_name(dataset: Dataset, label: int, names: Sequence[str] = ()) -> str:
    if names:
        return repr(names[label])
    feature = dataset.features["label"]
    return repr(feature.int2str(label)) if isinstance(feature, ClassLabel) else f"with id {label}"
