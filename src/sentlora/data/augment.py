"""More rows to train on, made of those that are there: changed copies, and rare classes brought up to the largest.

Only training rows are ever given to this. What is held out is only asked whether a copy would equal one of its texts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from datasets import Dataset

from sentlora.augmentation import PARAPHRASE, Augmentation
from sentlora.console import say
from sentlora.data.leaks import NOTHING, is_among, keys_of
from sentlora.data.paraphrasing import Paraphraser, check_paraphraser, name_of, paraphrased
from sentlora.data.prepared import Making
from sentlora.data.prompts import Prompt
from sentlora.data.word_changes import synonyms, word_dropout, word_swap
from sentlora.data.wordnet import require_wordnet
from sentlora.errors import ConfigError, DataError

_CHANGES = {"word_dropout": word_dropout, "word_swap": word_swap, "synonyms": synonyms}
# A copy that repeats a text is drawn anew so many times; after that the text is too short for another.
_TRIES = 8
_SEPARATORS = " \t\n,;:.!?|/\\&+)]\u2022\u00b7\u2013\u2014-"
_PRIVATE_USE = range(0xE000, 0xF900)


def augment(
    dataset: Dataset,
    how: str | Mapping[str, Any] | Augmentation | None = None,
    *,
    paraphrase: Paraphraser | None = None,
    held_out: Iterable[str] = (),
    prompt: str | Prompt | None = None,
    seed: int = 0,
    verbose: bool = True,
) -> Dataset:
    """Add changed copies of rows to a training split. The same call gives the same rows.

    Each copy has one change, as in EDA (Wei and Zou 2019, arXiv:1901.11196). Words that turn a sentiment round, such
    as negations, stay where they are. A copy that repeats a text of the split, or of ``held_out``, is drawn anew or
    left out. Texts are the same that differ in case, spaces and punctuation only.

    Args:
        dataset: The rows to train on, with the columns ``text`` and ``label``; never rows that are held out.
        how: ``word_dropout``, ``word_swap`` and ``synonyms``, each the share of the words that change (0.1);
            ``copies`` of each row, over which the changes take turns (1); ``balance``, rows for the rarer classes
            until all have as many as the largest; ``keep``, further words that no change touches. As a mapping, or as
            a text such as ``"word_dropout=0.1,copies=2,balance"``.
        paraphrase: A further change: takes a list of texts and returns as many in other words.
        held_out: Texts that no copy may equal: those of the validation and the test split.
        prompt: What made the texts of fields. The words in front of the fields are left as they are. Rows of a recipe
            carry theirs along.
        seed: Of the changes.
        verbose: Say in one line how many rows were added, and by what.

    Returns:
        The rows as they were, in their order, and behind them the new ones.

    Raises:
        DataError: If there are no such columns, a text is no string, or ``paraphrase`` returns something else.
        ConfigError: If ``how`` cannot work, or there is no WordNet for ``synonyms``.
        MissingExtraError: If nltk is not installed, for ``synonyms``.

    Examples:
        >>> rows = Dataset.from_dict({"text": ["not a good film", "a joy to see", "so dull"], "label": [0, 1, 0]})
        >>> more = augment(rows, "word_swap,balance", verbose=False)
        >>> more["text"][3:], more["label"][3:]
        (['not good a film', 'a joy see to', 'dull so', 'joy a to see', 'a to joy see'], [0, 1, 0, 1, 1])
    """
    plan = planned(how, paraphrase)
    check_ready(plan, paraphrase)
    texts, labels = _columns(dataset)
    if not plan.is_on:
        return dataset
    if prompt is None and (made := Making.of({"train": dataset})) is not None:
        prompt = made.prompt
    fixed = _fixed_words(Prompt(prompt) if isinstance(prompt, str) else prompt)
    copies = _Copies(plan, texts, paraphrase, fixed, list(held_out), np.random.default_rng(seed), verbose=verbose)
    copies.of_every_row()
    if plan.balance:
        copies.to_balance(labels)
    say(copies.summary(), verbose=verbose)
    columns = {name: dataset[name][:] for name in dataset.column_names}
    grown = {name: [*cells, *(cells[row] for row in copies.rows)] for name, cells in columns.items()}
    grown["text"] = [*texts, *copies.texts]
    return Dataset.from_dict(grown, features=dataset.features, info=dataset.info.copy(), split=dataset.split)


def planned(how: str | Mapping[str, Any] | Augmentation | None, paraphrase: Paraphraser | None) -> Augmentation:
    """Read what was asked for, with the name of the function that paraphrases.

    Raises:
        ConfigError: If a value cannot work, or ``paraphrase`` is no function.
    """
    plan = Augmentation.of(how)
    if paraphrase is None:
        return plan
    check_paraphraser(paraphrase)
    return replace(plan, paraphrase=name_of(paraphrase))


def check_ready(plan: Augmentation, paraphrase: Paraphraser | None = None) -> None:
    """Refuse what would add nothing, or lacks something, before any row is read.

    Args:
        plan: What is asked for.
        paraphrase: The function behind its ``paraphrase``.

    Raises:
        ConfigError: If it does; says what is missing.
        MissingExtraError: If nltk is not installed, for ``synonyms``.
    """
    if plan.paraphrase is not None and paraphrase is None:
        raise ConfigError(
            f"augment names the paraphraser {plan.paraphrase!r}, and a function cannot be saved: pass it as "
            "paraphrase=, or take 'paraphrase' out of augment."
        )
    if not plan.changes and (plan.copies != 1 or plan.keep):
        what = "keep" if plan.keep else f"copies={plan.copies}"
        raise ConfigError(
            f"augment has {what} and no change: copies are made by word_dropout, word_swap, synonyms or paraphrase=. "
            "Name one of them, or leave it out."
        )
    if plan.changes and not plan.is_on:
        raise ConfigError("augment has copies=0 and no balance, so it adds no row. Set copies to 1, or leave it out.")
    if plan.synonyms > 0:
        require_wordnet()


@dataclass
class _Copies:
    """The rows that are added, and what they must not repeat."""

    plan: Augmentation
    originals: Sequence[str]
    paraphrase: Paraphraser | None
    fixed: re.Pattern[str] | None
    held_out: Sequence[str]
    rng: np.random.Generator
    verbose: bool = True
    rows: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    _by: Counter[str] = field(default_factory=Counter)
    _left_out: int = 0
    _plain: int = 0
    _keep: Collection[str] = ()

    def __post_init__(self) -> None:
        self._own_keys, self._held_keys = keys_of(self.originals), keys_of(self.held_out)
        self._taken = {int(NOTHING), *self._own_keys.tolist(), *self._held_keys.tolist()}
        self._keep = frozenset(word.lower() for word in self.plan.keep)

    def of_every_row(self) -> None:
        """Make the copies that every row gets."""
        changes = self.plan.changes
        for copy in range(self.plan.copies if changes else 0):
            jobs = [(row, changes[(row + copy) % len(changes)]) for row in range(len(self.originals))]
            made = self._made(jobs)
            self._left_out += len(jobs) - len(made)
            for row, change, text in made:
                self._add(row, text, by=change)

    def to_balance(self, labels: Sequence[Any]) -> None:
        """Bring every class up to the largest, by changed copies, and by plain ones where no change makes another."""
        names, ids = np.unique(np.asarray(labels), return_inverse=True)
        sizes = np.bincount([*ids, *ids[self.rows]], minlength=len(names))
        for label, size in enumerate(sizes):
            needed = int(sizes.max() - size)
            pool = self.rng.permutation(np.flatnonzero(ids == label)) if needed else np.array([], dtype=int)
            needed -= self._changed_copies(pool, needed)
            self._plain_copies(pool, needed)

    def summary(self) -> str:
        """Say in one line how many rows were added, and by what."""
        n = len(self.originals)
        if not self.rows:
            why = "no text could be changed into a new one" if self._left_out else "the classes are of one size"
            return f"Augmented: nothing was added to {n:,} rows, as {why}."
        by = ", ".join(f"{name} {count:,}" for name, count in self._by.items())
        plain = f", {self._plain:,} of them unchanged" if self._plain and self.plan.changes else ""
        left = f"; {_counted(self._left_out, 'copy', 'copies')} left out, as nothing new came of that"
        left = left if self._left_out else ""
        return f"Augmented: {_counted(len(self.rows), 'row', 'rows')} added to {n:,} ({by}{plain}){left}."

    def _changed_copies(self, pool: Any, needed: int) -> int:
        changes, done, at, failed = self.plan.changes, 0, 0, 0
        while changes and done < needed and failed < len(pool):
            # One change further in each round, so that a row is not changed in the same way every time.
            turns = range(at, at + min(needed - done, len(pool)))
            jobs = [(int(pool[i % len(pool)]), changes[(i + i // len(pool)) % len(changes)]) for i in turns]
            made = self._made(jobs)
            for row, _, text in made:
                self._add(row, text, by="balance")
            at += len(jobs)
            done += len(made)
            failed = 0 if made else failed + len(jobs)
        return done

    def _plain_copies(self, pool: Any, needed: int) -> None:
        if needed <= 0:
            return
        # A training row that is held out as well is leak enough once.
        pool = pool[~is_among(self._own_keys[pool], self._held_keys)]
        for i in range(needed if len(pool) else 0):
            row = int(pool[i % len(pool)])
            self._add(row, self.originals[row], by="balance")
            self._plain += 1

    def _add(self, row: int, text: str, *, by: str) -> None:
        self.rows.append(row)
        self.texts.append(text)
        self._by[by] += 1

    def _made(self, jobs: Sequence[tuple[int, str]]) -> list[tuple[int, str, str]]:
        """Return row, change and new text of the jobs that a new text came of."""
        asked = [row for row, change in jobs if change == PARAPHRASE]
        said = iter(self._in_other_words([self.originals[row] for row in asked]))
        made = []
        for row, change in jobs:
            if change == PARAPHRASE:
                text: str | None = next(said)
                text = text if text is not None and self._is_new(text) else None
            else:
                text = self._changed(self.originals[row], change)
            if text is not None:
                made.append((row, change, text))
        return made

    def _changed(self, text: str, change: str) -> str | None:
        rate = getattr(self.plan, change)
        for _ in range(_TRIES):
            changed, marks = _shielded(text, self.fixed)
            changed = _CHANGES[change](changed, rate, self.rng, keep=self._keep)
            changed = _unshielded(changed, marks)
            if changed == text:
                return None  # it has no word that may change
            if self._is_new(changed):
                return changed
        return None

    def _in_other_words(self, texts: Sequence[str]) -> list[str]:
        """Paraphrase what stands between the words of the fields, so that these stay."""
        if self.paraphrase is None or not texts:
            return []
        parts = [_parts(text, self.fixed) for text in texts]
        free = [part.strip() for pieces in parts for part, is_free in pieces if is_free]
        said = iter(paraphrased(free, self.paraphrase, verbose=self.verbose))
        return ["".join(_in_place(part, next(said)) if is_free else part for part, is_free in row) for row in parts]

    def _is_new(self, text: str) -> bool:
        key = int(keys_of([text])[0])
        if key in self._taken:
            return False
        self._taken.add(key)
        return True


def _columns(dataset: Any) -> tuple[list[str], list[Any]]:
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"Expected the training rows as a datasets.Dataset; found {type(dataset).__name__}. Make one with "
            "Dataset.from_pandas(frame) or Dataset.from_dict({'text': texts, 'label': labels}), of the training rows "
            "alone."
        )
    if missing := [name for name in ("text", "label") if name not in dataset.column_names]:
        raise DataError(
            f"Expected the columns 'text' and 'label'; there is no {missing[0]!r} among {dataset.column_names}. Name "
            "them so with dataset.rename_column(...)."
        )
    texts = dataset["text"][:]
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"Expected texts in the column 'text'; found {text!r} in row {row} (rows count from 0). Drop the row, "
                "or write a text there."
            )
    return texts, dataset["label"][:]


def _counted(n: int, one: str, several: str) -> str:
    return f"{n:,} {one if n == 1 else several}"


def _fixed_words(prompt: Prompt | None) -> re.Pattern[str] | None:
    """Find the words in front of the fields, as they stand in texts; the first of a text may lack its separator."""
    words: set[str] = set()
    for label, _ in prompt.parts if prompt is not None else ():
        words |= {label.strip(), label.strip(_SEPARATORS[:3]).lstrip(_SEPARATORS)}
    found = sorted((word for word in words if word), key=len, reverse=True)
    return re.compile("|".join(map(_as_pattern, found))) if found else None


def _as_pattern(words: str) -> str:
    before = r"(?<!\w)" if words[0].isalnum() else ""
    after = r"(?!\w)" if words[-1].isalnum() else ""
    return before + re.escape(words) + after


def _shielded(text: str, fixed: re.Pattern[str] | None) -> tuple[str, tuple[str, list[str]]]:
    """Put a mark that is no word in the place of fixed words: nothing moves across it, and nothing takes it away."""
    if fixed is None:
        return text, ("", [])
    mark = next(chr(code) for code in _PRIVATE_USE if chr(code) not in text)
    return fixed.sub(mark, text), (mark, fixed.findall(text))


def _unshielded(text: str, marks: tuple[str, list[str]]) -> str:
    mark, words = marks
    for fixed in words:
        text = text.replace(mark, fixed, 1)
    return text


def _parts(text: str, fixed: re.Pattern[str] | None) -> list[tuple[str, bool]]:
    """Part a text into fixed words and what stands between them, with whether it may change."""
    parts, at = [], 0
    for found in fixed.finditer(text) if fixed is not None else ():
        parts += [(text[at : found.start()], True), (found.group(), False)]
        at = found.end()
    return [(part, free and not part.isspace()) for part, free in [*parts, (text[at:], True)] if part]


def _in_place(part: str, said: str) -> str:
    """Give other words the white space around them that the first ones had."""
    lead = part[: len(part) - len(part.lstrip())]
    return lead + said.strip() + part[len(part.rstrip()) :]
