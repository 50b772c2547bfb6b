"""What is looked at before training: leaks, which are refused, and what deserves a notice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from datasets import Dataset

from sentlora.console import say
from sentlora.data.columns import SentimentData
from sentlora.data.leaks import Keys, Leak, find_leak, keys_of, refuse
from sentlora.data.profile import Rows, profile_rows, remarks
from sentlora.errors import DataError

HeldOut = tuple[str, Dataset]

# Published data sets have some rows in two splits (SST-2 two, IMDb 123 of 25,000); figures on them are compared as
# they are. More than that was not in the recipe, but came about when its rows were cut up.
_FEW_ROWS, _SMALL_SHARE = 2, 0.01


def inspect_rows(
    data: SentimentData,
    held_out: Iterable[HeldOut],
    *,
    allow_leaks: bool = False,
    weighted: bool = False,
    verbose: bool = True,
) -> None:
    """Refuse leaks, and say in a line each what deserves a second look in the training rows.

    Args:
        data: Checked data with a split ``train``.
        held_out: What is chosen by or reported on, with the names of the splits.
        allow_leaks: Train all the same, and say so.
        weighted: The classes are weighted in training, so their sizes need no remark.
        verbose: Print notices.

    Raises:
        DataError: If a held-out text is among the training rows, and neither allowed nor the recipe's own; or if all
            training rows have one label.
    """
    train = data.split("train")
    _check_classes(train["label"][:], data.labels.names, verbose=verbose)
    texts = train["text"][:]
    keys = keys_of(texts)
    refuse_leaks(data, held_out, allow_leaks=allow_leaks, verbose=verbose, keys=keys)
    if verbose:
        rows = Rows("train", texts, train["label"][:], keys)
        for line in remarks(profile_rows(rows, data.labels.names), weighted=weighted):
            say(f"Note: {line}")


def _check_classes(ids: Sequence[int], names: Sequence[str], *, verbose: bool) -> None:
    """Refuse rows of one class, as classes that are only named cannot be learned; say which of several have none."""
    there = set(ids)
    if len(there) == 1:
        raise DataError(
            f"All {len(ids):,} training rows have the label {names[next(iter(there))]!r}; there is nothing to tell it "
            "from. Add rows of another class."
        )
    if none := [name for i, name in enumerate(names) if i not in there]:
        are = "The class {} has" if len(none) == 1 else "The classes {} have"
        shown = are.format(", ".join(map(repr, none)))
        say(f"Note: {shown} no row in 'train', so it will not be learned.", verbose=verbose)


def refuse_leaks(
    data: SentimentData,
    held_out: Iterable[HeldOut],
    *,
    allow_leaks: bool = False,
    verbose: bool = True,
    keys: Keys | None = None,
) -> None:
    """Refuse training rows that are held out as well.

    The few that a recipe's own splits share are announced instead, and so are those that ``allow_leaks`` lets pass.

    Args:
        data: Checked data with a split ``train``.
        held_out: What is chosen by or reported on, with the names of the splits.
        allow_leaks: Train all the same.
        verbose: Print the announcement.
        keys: Of the training rows, where they are at hand.

    Raises:
        DataError: Says how many, and quotes the first.
    """
    keys = keys_of(data.split("train")["text"][:]) if keys is None else keys
    for name, rows in held_out:
        leak = find_leak(keys, name, rows["text"][:])
        if leak is None:
            continue
        if not (allow_leaks or _is_own(data, leak, rows)):
            raise refuse(leak)
        say(f"Note: {leak}; kept as is.", verbose=verbose)


def _is_own(data: SentimentData, leak: Leak, rows: Dataset) -> bool:
    if data.recipe is not None and data.splits.get(leak.split) is rows:
        return True
    return data.made_by is not None and (leak.rows <= _FEW_ROWS or leak.rows <= _SMALL_SHARE * leak.of)
