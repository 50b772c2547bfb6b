"""The rows that every row of a comparison is measured on: drawn once, written down, and never drawn again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from sentlora.console import say
from sentlora.data.cache import read_prepared, write_prepared
from sentlora.data.columns import SentimentData
from sentlora.data.holdout import say_shared, subsample, with_test, with_validation
from sentlora.data.prepared import Making
from sentlora.errors import ConfigError, DataError

_FOLDER = "data"
_DRAFT = ".data-"
_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class FrozenRows:
    """Checked rows for training, for choosing an epoch and for reporting.

    Attributes:
        splits: ``train``, ``validation`` and ``test``, each with ``text`` and ``label``; what the labels mean, and the
            prompt, travel with them.
        source: Where they came from, in a few words.
    """

    splits: DatasetDict
    source: str

    @property
    def sizes(self) -> dict[str, int]:
        """Rows by split."""
        return {name: self.splits[name].num_rows for name in _SPLITS}

    @property
    def fingerprint(self) -> str:
        """A hash of every text and label, of what the labels mean, and of the prompt."""
        return _fingerprint(self.splits)


def freeze(data: SentimentData, n_train: int | None, n_test: int | None, *, verbose: bool = True) -> FrozenRows:
    """Draw the rows of a comparison; the same data give the same rows.

    The rows to report on are the split that the recipe names, else ``test``, else ``validation``; where there is
    none of them, a stratified fifth of the training rows is held out. Validation rows come out of ``train`` alone.

    Args:
        data: Checked data with a split ``train``.
        n_train: Size of a stratified sample of the training rows; a tenth of them validates, unless the data bring
            a validation split.
        n_test: Size of a stratified sample of the rows to report on.
        verbose: Print notices.

    Raises:
        DataError: If there is nothing to train on, nothing can be held out, or a sample is too small.
    """
    train = data.split("train")
    splits, reported = data.splits, data.eval_split
    if reported not in splits:
        reported = "validation"
    if reported not in splits:
        splits, reported = with_test(DatasetDict(train=train)), "test"
        if not len(splits["test"]):
            raise DataError(
                f"No row of {data.source} could be held out to report on: every text occurs more than once, or there "
                "are too few rows. Add rows, or pass splits 'train' and 'test'."
            )
        held_out = f"{len(splits['test']):,} of {len(train):,} rows held out to report on (stratified, seed 0)"
        say(f"Note: {data.source} has no split 'test' or 'validation'; {held_out}.", verbose=verbose)
    parts = {"train": splits["train"], "test": splits[reported]}
    if reported != "validation" and "validation" in splits:
        parts["validation"] = splits["validation"]
    for name, n in (("train", n_train), ("test", n_test)):
        if n is not None:
            parts[name] = subsample(parts[name], n, verbose=verbose)
    frozen = with_validation(DatasetDict(parts), names=data.labels.names, verbose=verbose)
    say_shared(frozen, verbose=verbose)
    made = Making(data.source, "test", data.prompt, data.labels)
    features = Features({"text": Value("string"), "label": ClassLabel(names=list(data.labels.names))})
    kept = DatasetDict()
    for name, rows in frozen.items():
        # The names go with the ids, as the rows of a recipe have them.
        kept[name] = Dataset.from_dict({"text": rows["text"][:], "label": rows["label"][:]}, features=features)
        made.put_on(kept[name])
    return FrozenRows(kept, data.source)


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds something else than a comparison.

    Raises:
        ConfigError: If it does, or it is a file.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file; a comparison needs a folder. Choose another name.")
    found = {path.name for path in folder.iterdir() if not path.name.startswith(_DRAFT)}
    if found and not all((folder / _FOLDER / name).is_file() for name in ("dataset_dict.json", "sentlora.json")):
        raise ConfigError(
            f"{folder} exists and holds no comparison, but {sorted(found)[0]!r}; it was left untouched. "
            "Choose another folder."
        )


def keep(rows: FrozenRows, folder: Path, *, verbose: bool = True) -> Path:
    """Write the rows into the folder of a comparison, unless they are there.

    Args:
        rows: The rows.
        folder: The folder; made where it is missing.
        verbose: Print notices.

    Returns:
        Where the rows lie.

    Raises:
        ConfigError: If the folder holds other rows, or cannot be written to.
    """
    place = folder / _FOLDER
    kept = read_prepared(place, verbose=verbose)
    if kept is None:
        write_prepared(place, rows.splits, rows.source, verbose=verbose)
        if not place.is_dir():
            raise ConfigError(f"Cannot write to {folder}. Choose another folder.")
    elif _fingerprint(kept[0]) != rows.fingerprint:
        raise ConfigError(
            f"{folder} holds a comparison on other rows ({_counted(kept[0])}, of {kept[1]}); now there are "
            f"{_counted(rows.splits)}, of {rows.source}. Figures on different rows cannot stand in one table: choose "
            "another folder, or delete this one."
        )
    return place


def _counted(splits: Mapping[str, Any]) -> str:
    return ", ".join(f"{len(splits[name]):,} {name}" for name in _SPLITS)


def _fingerprint(splits: Mapping[str, Any]) -> str:
    made = Making.of(splits)
    meaning = (
        [] if made is None or made.labels is None else [made.labels.to_dict(), made.prompt and made.prompt.template]
    )
    digest = hashlib.sha256(json.dumps(meaning, sort_keys=True).encode())
    for name in _SPLITS:
        for text, label in zip(splits[name]["text"], splits[name]["label"], strict=True):
            # JSON, so that no two lists of texts can look like one.
            digest.update(json.dumps([name, text, label]).encode())
    return digest.hexdigest()[:16]
