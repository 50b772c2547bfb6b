"""fit, sweep and compare with augment=: only training rows are added to, and the record says by what."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict

import sentlora.fitting
from sentlora import SentimentLoRA, compare
from sentlora.comparison import row
from sentlora.comparison.frozen import freeze, keep
from sentlora.comparison.plan import Grid
from sentlora.data.columns import read_data
from sentlora.data.leaks import is_among, keys_of
from sentlora.errors import ConfigError
from sentlora.fitting import rows_to_fit, with_copies
from sentlora.model.label_words import LabelWordsObjective
from sentlora.training.run import TrainingOutcome
from sentlora.workflow import TrainingJob, run_training

FAST: dict[str, Any] = {"epochs": 1, "batch_size": 8, "max_length": 24, "targets": "attention"}


def louder(texts: list[str]) -> list[str]:
    return [f"{text} and fun" for text in texts]


@pytest.fixture
def parts(toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame) -> DatasetDict:
    found = {"train": toy_reviews[:32], "validation": held_out_reviews[:20], "test": held_out_reviews[20:40]}
    return DatasetDict({name: Dataset.from_pandas(part, preserve_index=False) for name, part in found.items()})


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each training is handed; none takes any time."""
    seen: list[dict[str, Any]] = []

    def train(model: Any, objective: Any, data: Any, settings: Any, *args: Any, **options: Any) -> TrainingOutcome:
        tokenizer = objective.tokenizer
        texts = {
            name: [tokenizer.decode(one["input_ids"], skip_special_tokens=True) for one in part.rows]
            for name, part in (("train", data.train), ("validation", data.validation))
        }
        seen.append({**texts, "settings": settings})
        figures = {"epoch": 1.0, "f1_macro": 0.5 + settings.r / 100}
        return TrainingOutcome([figures], figures)

    monkeypatch.setattr(sentlora.fitting, "train", train)
    return seen


# --- fit ----------------------------------------------------------------------------------------------


def test_only_the_training_rows_grow(
    tiny_bert: str, parts: DatasetDict, trained_on: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    clf = SentimentLoRA(tiny_bert, **FAST, augment="word_dropout=0.2,word_swap,copies=2").fit(parts)
    (seen,) = trained_on
    assert seen["train"][:32] == parts["train"]["text"][:]
    assert 80 < len(seen["train"]) <= 96
    assert seen["validation"] == parts["validation"]["text"][:]
    told = capsys.readouterr().err
    assert re.search(r"Augmented: \d\d rows added to 32 \(word_dropout \d\d, word_swap \d\d\)", told)
    assert f"data: {len(seen['train'])} rows to train on, 20 to validate" in told
    held_out = keys_of([*parts["validation"]["text"], *parts["test"]["text"]])
    assert not is_among(held_out, keys_of(seen["train"])).any()
    # What evaluate calls trained on are the copies, too.
    assert is_among(keys_of(seen["train"]), clf._trained_texts).all()


def test_no_copy_is_a_row_that_is_held_out(tiny_bert: str, trained_on: list[Any]) -> None:
    """Dropping one word of three would make every one of these."""
    train = Dataset.from_dict({"text": ["good fun film", "bad dull plot"], "label": [1, 0]})
    taken = {"validation": ["good fun", "bad dull"], "test": ["good film", "bad plot"]}
    splits = DatasetDict(
        train=train, **{name: Dataset.from_dict({"text": texts, "label": [1, 0]}) for name, texts in taken.items()}
    )
    settings = {**FAST, "augment": "word_dropout=0.01", "verbose": False}
    SentimentLoRA(tiny_bert, **settings).fit(splits, held_out=["Fun film."])
    SentimentLoRA(tiny_bert, **settings).fit(splits)
    assert trained_on[0]["train"][2:] == ["dull plot"]
    assert trained_on[1]["train"][2:] == ["fun film", "dull plot"]


def test_the_validation_split_is_drawn_from_the_originals(
    tiny_bert: str, toy_reviews: pd.DataFrame, trained_on: list[Any]
) -> None:
    for augment in (None, "word_swap"):
        SentimentLoRA(tiny_bert, **FAST, augment=augment, verbose=False).fit(toy_reviews[:40])
    plain, augmented = trained_on
    assert augmented["validation"] == plain["validation"]
    assert augmented["train"][: len(plain["train"])] == plain["train"]


def test_epochs_are_settled_by_the_steps(tiny_bert: str, toy_reviews: pd.DataFrame, trained_on: list[Any]) -> None:
    settings = {**FAST, "epochs": None, "batch_size": 4, "verbose": False}
    for augment in (None, "word_swap", "word_swap,copies=3"):
        SentimentLoRA(tiny_bert, **settings, augment=augment).fit(toy_reviews)
    assert [seen["settings"].epochs for seen in trained_on] == [6, 3, 3]


def test_where_nothing_is_trained_nothing_is_paraphrased(tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    def never(texts: list[str]) -> list[str]:
        pytest.fail("was called")

    SentimentLoRA(tiny_bert, epochs=0, paraphrase=never, verbose=False).fit(toy_reviews[:20])
    SentimentLoRA(tiny_bert, adapter="none", paraphrase=never, verbose=False).fit(toy_reviews[:20])


@pytest.mark.parametrize("augment", ["copies=2", {"paraphrase": "mine.louder"}], ids=str)
def test_what_is_missing_is_told_before_the_data_are_read(augment: Any) -> None:
    with pytest.raises(ConfigError, match=r"augment (has copies=2 and no change|names the paraphraser 'mine\.louder')"):
        SentimentLoRA("minilm", augment=augment).fit("no-such-file.csv")


def test_classes_of_one_size_need_no_remark(
    tiny_bert: str, toy_reviews: pd.DataFrame, trained_on: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = toy_reviews[toy_reviews.label == "positive"], toy_reviews[toy_reviews.label == "negative"]
    table = pd.concat([good, bad[:2]])
    validation = pd.concat([good[-3:].assign(text="the end"), bad[-3:].assign(text="the music")])
    SentimentLoRA(tiny_bert, **FAST).fit(table, validation=validation)
    assert "negative" in capsys.readouterr().err.split("Note: ")[1]
    clf = SentimentLoRA(tiny_bert, **FAST, augment="balance").fit(table, validation=validation)
    told = capsys.readouterr().err
    assert "Note:" not in told
    assert "Augmented: 58 rows added to 62 (balance 58)." in told
    assert Counter(seen := trained_on[1]["train"])[seen[-1]] > 20
    assert clf.settings_.augment == "balance"


# --- prompts ------------------------------------------------------------------------------------------


def test_neither_the_instruction_nor_the_names_of_fields_change(
    tiny_t5: str, toy_reviews: pd.DataFrame, trained_on: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[list[str]] = []
    original = LabelWordsObjective.encode

    def watched(self: Any, texts: Any) -> Any:
        encoded.append([f"{self_prompt.before}{text}{self_prompt.after}" for text in texts])
        return original(self, texts)

    table = pd.DataFrame({"a": toy_reviews.text[:24], "b": "film and scene", "label": toy_reviews.label[:24]})
    clf = SentimentLoRA(
        tiny_t5,
        **{**FAST, "max_length": 200},
        prompt="good or bad and fun:\nTitle: {a}\nand plot: {b} end",
        augment="word_dropout=0.5,word_swap=0.5,copies=4",
        verbose=False,
    )
    rows = with_copies(clf, rows_to_fit(clf, table))
    self_prompt = rows.data.prompt
    monkeypatch.setattr(LabelWordsObjective, "encode", watched)
    clf.fit(table)
    grown = encoded[0]
    assert grown[: rows.originals] != grown[-rows.originals :]
    assert len(grown) > 4 * rows.originals
    for text in grown:
        found = re.fullmatch(r"good or bad and fun:\nTitle:(.*)\nand plot:(.*) end", text, re.DOTALL)
        assert found is not None, text
        assert set(found[2].split()) <= {"film", "and", "scene"}
        assert "scene" not in Counter(found[1].split()) or "scene" in " ".join(table.a)
    assert clf.prompt_ == self_prompt


# --- the record ---------------------------------------------------------------------------------------


def test_the_folder_keeps_the_name_of_the_paraphraser_alone(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    clf = SentimentLoRA(tiny_bert, **FAST, augment="balance", paraphrase=louder, verbose=False).fit(toy_reviews[:24])
    folder = clf.save(tmp_path / "adapter")
    name = f"{__name__}.louder"
    record = {"paraphrase": name, "copies": 1, "balance": True}
    assert json.loads((folder / "sentlora.json").read_text())["settings"]["augment"] == record
    again = SentimentLoRA.load(folder, verbose=False)
    assert (again.augment, again.paraphrase) == (record, None)
    np.testing.assert_array_equal(again.logits(["good fun"]), clf.logits(["good fun"]))
    with pytest.raises(ConfigError, match=rf"augment names the paraphraser '{re.escape(name)}', and a function cannot"):
        again.fit(toy_reviews[:24])
    again.set_params(paraphrase=louder, epochs=0).fit(toy_reviews[:24])


# --- resuming -----------------------------------------------------------------------------------------


def test_a_run_that_is_resumed_sees_the_same_rows(tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path) -> None:
    settings = {**FAST, "augment": "word_dropout=0.3,balance", "verbose": False, "scheduler": "constant", "warmup": 0}
    whole = SentimentLoRA(tiny_bert, **{**settings, "epochs": 2}, output_dir=tmp_path / "a").fit(toy_reviews[:24])
    first = SentimentLoRA(tiny_bert, **settings, output_dir=tmp_path / "b").fit(toy_reviews[:24])
    resumed = first.set_params(epochs=2).fit(toy_reviews[:24], resume=True)
    np.testing.assert_allclose(
        resumed.logits(["good fun", "dull end"]), whole.logits(["good fun", "dull end"]), atol=1e-6
    )
    for changes in ({"augment": "word_dropout=0.4"}, {"augment": None}, {"seed": 3}):
        with pytest.raises(ConfigError, match="resume=True would go on with other augmented rows than those that the"):
            SentimentLoRA(tiny_bert, **{**settings, **changes}, output_dir=tmp_path / "b").fit(
                toy_reviews[:24], resume=True
            )


def test_a_paraphraser_that_says_something_else_is_no_resumption(
    tiny_bert: str, toy_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    said = iter(["great", "fun"])
    clf = SentimentLoRA(tiny_bert, **FAST, output_dir=tmp_path, verbose=False)
    word = next(said)
    clf.set_params(paraphrase=lambda texts: [f"{text} {word}" for text in texts]).fit(toy_reviews[:16])
    clf.set_params(epochs=2).fit(toy_reviews[:16], resume=True)
    word = next(said)
    with pytest.raises(ConfigError, match=r"augment=, the seed, the rows or what paraphrase= returns has changed"):
        clf.fit(toy_reviews[:16], resume=True)


def test_a_run_without_augmentation_leaves_no_note(
    tiny_bert: str, toy_reviews: pd.DataFrame, trained_on: list[Any], tmp_path: Path
) -> None:
    for augment, notes in ((None, 0), ("word_swap", 1), (None, 0)):
        SentimentLoRA(tiny_bert, **FAST, augment=augment, output_dir=tmp_path, verbose=False).fit(toy_reviews[:16])
        assert len(list(tmp_path.glob("*.sha256"))) == notes


# --- sweep, compare and train -------------------------------------------------------------------------


def test_trials_train_on_augmented_rows_and_validate_on_others(
    tiny_bert: str, parts: DatasetDict, trained_on: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    clf = SentimentLoRA(tiny_bert, **FAST, augment="word_swap")
    test = Dataset.from_dict({"text": ["a film"], "label": ["positive"]})
    clf.sweep(parts, test=test, space={"r": [2, 4]}, trials=2)
    assert len(trained_on) == 4  # the classifier's own, two trials, and the best once more
    assert all(seen == {**trained_on[0], "settings": seen["settings"]} for seen in trained_on)
    assert len(trained_on[0]["train"]) > 50
    assert trained_on[0]["validation"] == parts["validation"]["text"][:]
    assert capsys.readouterr().err.count("Augmented:") == 1
    assert is_among(keys_of(trained_on[0]["train"]), clf._trained_texts).all()


def test_augmentation_can_be_searched(tiny_bert: str, parts: DatasetDict, trained_on: list[Any]) -> None:
    clf = SentimentLoRA(tiny_bert, **FAST, verbose=False)
    result = clf.sweep(parts, space={"augment": [None, "word_swap", {"word_dropout": 0.2}]}, trials=3, refit=False)
    assert len(result.trials) == 3
    assert len({tuple(seen["train"]) for seen in trained_on}) == 3
    assert sorted(len(seen["train"]) > 32 for seen in trained_on) == [False, True, True]


def test_a_trial_makes_no_copy_of_the_rows_that_are_reported_on(tiny_bert: str, trained_on: list[Any]) -> None:
    train = {"text": ["good fun film", "bad dull plot"], "label": [1, 0]}
    validation = {"text": ["good scene", "dull scene"], "label": [1, 0]}
    splits = DatasetDict(train=Dataset.from_dict(train), validation=Dataset.from_dict(validation))
    test = Dataset.from_dict({"text": ["good fun", "fun film", "bad dull", "dull plot"], "label": [1, 1, 0, 0]})
    clf = SentimentLoRA(tiny_bert, **FAST, augment="word_dropout=0.01", verbose=False)
    clf.sweep(splits, test=test, space={"r": [2]}, trials=1)
    assert trained_on[0]["train"][2:] == ["good film", "bad plot"]


def test_a_row_of_a_comparison_makes_no_copy_of_what_it_is_measured_on(
    tiny_bert: str, trained_on: list[Any], tmp_path: Path
) -> None:
    splits = {
        "train": {"text": ["good fun film", "bad dull plot"], "label": ["good", "bad"]},
        "validation": {"text": ["good scene", "dull scene"], "label": ["good", "bad"]},
        "test": {"text": ["good fun", "fun film", "bad dull", "dull plot"], "label": ["good", "good", "bad", "bad"]},
    }
    tables = {name: pd.DataFrame(part) for name, part in splits.items()}
    place = keep(freeze(read_data(tables, verbose=False), None, None, verbose=False), tmp_path / "kept", verbose=False)
    shared = {**FAST, "augment": "word_dropout=0.01"}
    runs = Grid(modes=("lora", "full"), settings={name: v for name, v in shared.items() if name != "targets"}).runs()
    for run in runs:
        job = {"mode": run.mode, "settings": json.loads(json.dumps(run.settings)), "data": str(place)}
        assert row.measure({**job, "base_model": tiny_bert})["n_test"] == 4
    for seen in trained_on:
        assert seen["train"][2:] == ["good film", "bad plot"]
        assert seen["settings"].augment == {"word_dropout": 0.01, "copies": 1}


def test_a_comparison_settles_epochs_as_fit_does() -> None:
    (run,) = Grid(modes=("lora",), settings={"augment": "word_swap"}).runs(rows=(270, 30))
    assert (run.settings["epochs"], run.settings["augment"]) == (5, {"word_swap": 0.1, "copies": 1})


@pytest.mark.parametrize(
    ("augment", "words"),
    [
        ({"paraphrase": "mine.louder"}, "augment names the paraphraser"),
        ("copies=2", "augment has copies=2 and no change"),
    ],
)
def test_a_comparison_tells_what_is_missing_once(augment: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        compare("no-such-file.csv", settings={"augment": augment})


def test_the_train_command_makes_no_copy_of_the_rows_of_test(
    tiny_bert: str, trained_on: list[Any], tmp_path: Path
) -> None:
    train = {"text": ["good fun film", "bad dull plot", "great music", "awful music"], "label": [1, 0, 1, 0]}
    pd.DataFrame(train).to_csv(tmp_path / "train.csv", index=False)
    validation = {"text": ["good scene", "dull scene"], "label": [1, 0]}
    pd.DataFrame(validation).to_csv(tmp_path / "validation.csv", index=False)
    test = {"text": ["good fun", "fun film", "bad dull", "dull plot"], "label": [1, 1, 0, 0]}
    pd.DataFrame(test).to_csv(tmp_path / "test.csv", index=False)
    clf = SentimentLoRA(tiny_bert, **FAST, augment="word_dropout=0.01", verbose=False)
    files = {name: str(tmp_path / f"{name}.csv") for name in ("train", "validation", "test")}
    run_training(
        clf, TrainingJob(files["train"], None, files["validation"], files["test"], None, None, tmp_path / "out", False)
    )
    copies = set(trained_on[0]["train"][4:])
    assert {"good film", "bad plot"} <= copies
    assert copies.isdisjoint(test["text"])
