"""More rows out of those that are there: what is added, what never is, and what of a text no change touches."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from sentlora.augmentation import Augmentation
from sentlora.data.augment import augment, check_ready
from sentlora.data.leaks import is_among, keys_of
from sentlora.data.prepared import Making
from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, DataError

FILMS = [
    "a warm and funny film about an old man and his dog",
    "the plot is not bad and the music is lovely to hear",
    "an hour of talk that goes nowhere at all , slowly",
    "never have i seen such a waste of good actors",
    "one of the best things that i saw in this long year",
    "the camera finds beauty where nobody looks for it",
]
LABELS = [1, 1, 0, 0, 1, 1]


def rows(texts: list[str] = FILMS, labels: list[Any] = LABELS, **more: list[Any]) -> Dataset:
    return Dataset.from_dict({"text": texts, "label": labels, **more})


def shouted(texts: list[str]) -> list[str]:
    return [f"{text} I SAY" for text in texts]


def added(before: Dataset, after: Dataset) -> list[tuple[str, Any]]:
    new = after.select(range(len(before), len(after)))
    return list(zip(new["text"], new["label"], strict=True))


@pytest.mark.parametrize("how", ["word_dropout", "word_swap,copies=2", "word_dropout,word_swap=0.3,copies=3,balance"])
def test_the_same_seed_gives_the_same_rows_and_originals_stay(how: str) -> None:
    before = rows()
    one, other = augment(before, how, seed=4, verbose=False), augment(before, how, seed=4, verbose=False)
    assert one["text"][:] == other["text"][:] != augment(before, how, seed=5, verbose=False)["text"][:]
    assert one["text"][: len(before)] == FILMS
    assert one["label"][: len(before)] == LABELS
    keys = keys_of(one["text"])
    assert len(np.unique(keys)) == len(keys), "no copy repeats a text, or another copy"


def test_each_copy_has_the_label_of_its_row_and_one_change_in_turn(capsys: pytest.CaptureFixture[str]) -> None:
    before = rows()
    after = augment(before, "word_dropout=0.3,word_swap=0.3,copies=2")
    assert len(after) == 3 * len(before)
    for i, (text, label) in enumerate(added(before, after)):
        row, copy = i % len(before), i // len(before)
        assert label == LABELS[row]
        own, new = Counter(FILMS[row].split()), Counter(text.split())
        if (row + copy) % 2:
            assert new == own, "swapped"
        else:
            assert new < own, "dropped"
    assert "Augmented: 12 rows added to 6 (word_dropout 6, word_swap 6)." in capsys.readouterr().err


@pytest.mark.parametrize("named", [False, True])
def test_other_columns_and_types_come_along(named: bool) -> None:
    label = ClassLabel(names=["bad", "good"]) if named else Value("int64")
    features = Features({"id": Value("int32"), "text": Value("string"), "label": label})
    before = Dataset.from_dict({"id": list(range(6)), "text": FILMS, "label": LABELS}, features=features)
    Making("films", "test", Prompt("Film: {text}")).put_on(before)
    after = augment(before, "word_swap,balance", verbose=False)
    assert after.features == features
    assert after["id"][6:12] == list(range(6))
    assert Making.of({"train": after}) == Making.of({"train": before})


def test_nothing_asked_for_is_nothing_done() -> None:
    before = rows()
    assert augment(before) is before
    assert augment(before, {"word_dropout": 0, "balance": False}) is before


# --- held-out texts ---------------------------------------------------------------------------------


def test_no_copy_equals_a_held_out_text_in_any_spelling() -> None:
    before = rows(["good film here"] * 1, [1])
    possible = {"good film", "good here", "film here"}
    seen = {augment(before, "word_dropout", seed=seed, verbose=False)["text"][-1] for seed in range(30)}
    assert seen == possible
    held_out = ["Good, FILM!", "<b>good</b> here."]
    seen = {augment(before, "word_dropout", held_out=held_out, seed=s, verbose=False)["text"][-1] for s in range(30)}
    assert "film here" in seen
    assert seen.isdisjoint({"good film", "good here"})


def test_what_cannot_be_made_new_is_left_out_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    before = rows(["not", "a film", "...", "so very dull"], [0, 1, 1, 0])
    after = augment(before, "word_dropout", held_out=["film", "a", "so very", "very dull"])
    assert added(before, after) == [("so dull", 0)]
    told = capsys.readouterr().err
    assert "Augmented: 1 row added to 4 (word_dropout 1); 3 copies left out, as nothing new came of that." in told
    assert (
        augment(before, "word_swap", held_out=["film a", "very so dull", "so dull very"])["text"][:]
        == before["text"][:]
    )
    assert "Augmented: nothing was added to 4 rows, as no text could be changed" in capsys.readouterr().err


def test_a_text_that_another_row_has_is_no_copy() -> None:
    """It may have another label."""
    before = rows(["good film here", "good film", "Film here"], [1, 0, 0])
    for seed in range(10):
        after = augment(before, "word_dropout=0.01", seed=seed, verbose=False)
        assert ("good here", 1) in added(before, after)
        assert not {"good film", "film here"} & {text.lower() for text, _ in added(before, after)}


# --- classes ----------------------------------------------------------------------------------------


def test_balancing_alone_repeats_rows_of_the_rare_classes(capsys: pytest.CaptureFixture[str]) -> None:
    before = rows([*FILMS, "so so"], [*LABELS, 2])
    after = augment(before, "balance")
    assert Counter(after["label"]) == {0: 4, 1: 4, 2: 4}
    assert set(added(before, after)) == {(FILMS[2], 0), (FILMS[3], 0), ("so so", 2)}
    assert "Augmented: 5 rows added to 7 (balance 5)." in capsys.readouterr().err
    assert augment(after, "balance")["text"][:] == after["text"][:]
    assert "nothing was added to 12 rows, as the classes are of one size." in capsys.readouterr().err


def test_with_a_change_they_are_balanced_by_changed_copies() -> None:
    before = rows(labels=["pos", "pos", "neg", "pos", "pos", "pos"])
    after = augment(before, "balance,word_dropout=0.2,copies=0", verbose=False)
    assert Counter(after["label"]) == {"pos": 5, "neg": 5}
    new = [text for text, _ in added(before, after)]
    assert len({FILMS[2], *new}) == 5
    assert all(Counter(text.split()) < Counter(FILMS[2].split()) for text in new)


def test_copies_and_balance_together_end_in_classes_of_one_size() -> None:
    after = augment(rows(), "balance,word_swap,copies=2", verbose=False)
    assert Counter(after["label"]) == {0: 12, 1: 12}


def test_where_no_change_makes_another_text_rows_are_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    before = rows(["not", "a film", "a good film", "a long film"], [0, 1, 1, 1])
    after = augment(before, "balance,word_swap,copies=0")
    assert added(before, after) == [("not", 0), ("not", 0)]
    assert "2 rows added to 4 (balance 2, 2 of them unchanged)" in capsys.readouterr().err


def test_a_row_that_is_held_out_too_is_not_repeated() -> None:
    before = rows(["Bad!", "so bad", "a film", "a good film", "a long film"], [0, 0, 1, 1, 1])
    after = augment(before, "balance", held_out=["bad"], verbose=False)
    assert added(before, after) == [("so bad", 0)]
    assert len(augment(before, "balance", held_out=["bad", "so bad"], verbose=False)) == 5


# --- prompts ----------------------------------------------------------------------------------------

PROMPT = Prompt("Rate this review of a film.\nTitle: {title}\nGood and bad: {text} | Year {year}")
FIELDS = [
    {"title": "Old dogs", "text": "warm , and funny to the end", "year": 1999},
    {"text": "good and bad: what a mess it was , and long", "title": None, "year": None},
    {"title": "Good year", "text": None, "year": "two thousand"},
]


@pytest.mark.parametrize("how", ["word_dropout=0.6", "word_swap=0.9", {"paraphrase": "x"}], ids=str)
def test_the_words_of_the_fields_stay_where_they_are(how: Any) -> None:
    texts = [PROMPT.body(fields) for fields in FIELDS]
    assert texts[0] == "Title: Old dogs\nGood and bad: warm , and funny to the end | Year 1999"
    paraphrase = shouted if isinstance(how, dict) else None
    for seed in range(20):
        before = rows(texts, [1, 0, 1])
        after = augment(before, how, paraphrase=paraphrase, prompt=PROMPT, seed=seed, verbose=False)
        new = [text for text, _ in added(before, after)]
        assert re.fullmatch(r"Title:.*\nGood and bad:.* \| Year.* ?1999.*", new[0])
        title = new[0].split("\n")[0].removeprefix("Title:").split()
        assert {word for word in title if word not in ("I", "SAY")} <= {"Old", "dogs"}, "no word of another field"
        assert new[1].startswith("Good and bad:")
        assert any(text.startswith("Title:") and " | Year" in text for text in new[2:])


def test_a_paraphraser_sees_what_stands_in_the_fields_and_nothing_else() -> None:
    asked: list[str] = []

    def paraphrase(texts: list[str]) -> list[str]:
        asked.extend(texts)
        return [f" {text.upper()} x\n" for text in texts]

    before = rows([PROMPT.body(FIELDS[0])], [1])
    after = augment(before, "copies=1", paraphrase=paraphrase, prompt=PROMPT.template, verbose=False)
    assert asked == ["Old dogs", "warm , and funny to the end", "1999"]
    assert after["text"][1] == "Title: OLD DOGS x\nGood and bad: WARM , AND FUNNY TO THE END x | Year 1999 x"


def test_rows_of_a_recipe_bring_their_prompt_along() -> None:
    before = rows(["Plot: thin and long Cast: fine and good"], [0])
    Making("shop", "test", Prompt("{plot} Cast: {cast}")).put_on(before)
    for seed in range(10):
        ((new, _),) = added(before, augment(before, "word_dropout=0.9", seed=seed, verbose=False))
        assert " Cast:" in new


def test_a_text_with_private_characters_keeps_them() -> None:
    before = rows(["\ue000 Title: good old film"], [0])
    after = augment(before, "word_swap", prompt="Title: {a} Text: {b}", verbose=False)
    assert after["text"][1] in ("\ue000 Title: old good film", "\ue000 Title: good film old")


# --- paraphrases ------------------------------------------------------------------------------------


def test_a_paraphraser_is_one_more_change(capsys: pytest.CaptureFixture[str]) -> None:
    before = rows()
    after = augment(before, "word_dropout", paraphrase=shouted)
    assert [text.endswith("I SAY") for text, _ in added(before, after)] == [False, True] * 3
    assert "6 rows added to 6 (word_dropout 3, paraphrase 3)" in capsys.readouterr().err


def test_a_paraphrase_that_says_the_same_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    before = rows()
    after = augment(before, paraphrase=lambda texts: [text.title() + "!" for text in texts])
    assert after["text"][:] == FILMS
    assert "nothing was added to 6 rows, as no text could be changed into a new one" in capsys.readouterr().err


# --- what is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (pd.DataFrame({"text": FILMS}), "Expected the training rows as a datasets.Dataset; found DataFrame."),
        (Dataset.from_dict({"review": FILMS, "label": LABELS}), "there is no 'text' among ['review', 'label']."),
        (rows([*FILMS[:5], None]), "Expected texts in the column 'text'; found None in row 5 (rows count from 0)."),
    ],
)
def test_what_are_no_rows_is_refused(dataset: Any, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        augment(dataset, "balance")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("copies=2", "augment has copies=2 and no change: copies are made by word_dropout, word_swap, synonyms or"),
        ("balance,copies=2", "augment has copies=2 and no change"),
        ({"keep": ["nicht"], "balance": True}, "augment has keep and no change"),
        ("word_swap,copies=0", "augment has copies=0 and no balance, so it adds no row."),
        ({"paraphrase": "mine.louder"}, "augment names the paraphraser 'mine.louder', and a function cannot be saved"),
    ],
    ids=str,
)
def test_what_would_add_nothing_is_refused(how: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        check_ready(Augmentation.of(how))
    with pytest.raises(ConfigError, match=re.escape(words)):
        augment(rows(), how)


def test_negations_stay_in_every_copy() -> None:
    before = rows()
    after = augment(before, "word_dropout=0.5,word_swap=0.5,copies=4,balance", verbose=False)
    negations = {FILMS[1]: "not", FILMS[2]: "nowhere", FILMS[3]: "never", FILMS[5]: "nobody"}
    held = Counter(word for text in after["text"] for word in text.split() if word in negations.values())
    assert held["not"] == held["nobody"] == 5
    assert held["nowhere"] + held["never"] == Counter(after["label"])[0]
    assert not is_among(keys_of(after["text"][6:]), keys_of(FILMS)).any()
