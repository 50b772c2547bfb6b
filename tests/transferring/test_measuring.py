from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from sentlora import SentimentLoRA, Transfer, transfer
from sentlora.data.recipes import Recipe
from sentlora.errors import AdapterFolderError, ConfigError, DataError, LabelError, NotFittedError, RecipeError
from sentlora.evaluation.metrics import wilson_interval
from sentlora.labels import LabelMap
from sentlora.transferring import measuring, rows

Clf = SentimentLoRA


@pytest.fixture(scope="module")
def of_three(tiny_bert: str, toy_reviews: pd.DataFrame, toy_settings: dict[str, Any]) -> SentimentLoRA:
    """A classifier of three classes: the toy reviews, and texts of neutral words."""
    neutral = pd.DataFrame({"text": [f"the film and the plot was a scene {'end ' * (i % 7)}{i}" for i in range(60)]})
    frame = pd.concat([toy_reviews, neutral.assign(label="neutral")], ignore_index=True)
    return SentimentLoRA(tiny_bert, **{**toy_settings, "epochs": 4}).fit(frame)


@pytest.fixture
def three_classes(held_out_reviews: pd.DataFrame) -> pd.DataFrame:
    """90 rows of two classes and 10 of a third one."""
    return held_out_reviews.assign(label=held_out_reviews["label"].where(held_out_reviews.index >= 10, "neutral"))


def test_each_adapter_is_tested_on_each_data_set(fitted: Clf, saved: Path, held_out_reviews: pd.DataFrame) -> None:
    other = held_out_reviews.iloc[::-1].reset_index(drop=True).iloc[:40]
    found = transfer({"memory": fitted, "folder": saved}, {"a": held_out_reviews, "b": other}, verbose=False)
    assert [(cell.adapter, cell.data, cell.n) for cell in found.cells] == [
        ("memory", "a", 100),
        ("memory", "b", 40),
        ("folder", "a", 100),
        ("folder", "b", 40),
    ]
    report = fitted.evaluate(held_out_reviews)
    cell = found["memory", "a"]
    np.testing.assert_allclose(cell.report.scores, report.scores, atol=1e-6)
    np.testing.assert_allclose(found["folder", "a"].report.scores, report.scores, atol=1e-5)
    assert cell.report.metrics == report.metrics
    assert (cell.left_out, cell.elsewhere, cell.own) == ({}, 0, False)
    with pytest.raises(KeyError, match=r"the adapters are memory, folder, the data a, b"):
        found["a", "memory"]


def test_an_adapter_of_three_classes_decides_between_the_two_of_the_data(
    of_three: Clf, held_out_reviews: pd.DataFrame
) -> None:
    texts = held_out_reviews["text"].tolist()[:50] + ["the film was a scene and the end"] * 10
    labels = held_out_reviews["label"].tolist()[:50] + ["positive", "negative"] * 5
    found = transfer({"three": of_three}, {"two": (texts, labels)}, verbose=False)
    cell = found["three", "two"]
    logits = of_three.logits(texts)[:, [0, 2]]
    chosen = np.array(["negative", "positive"])[logits.argmax(axis=1)]
    assert cell.report.labels.names == ("negative", "positive")
    assert cell.report.accuracy == accuracy_score(labels, chosen)
    assert cell.report.f1_macro == pytest.approx(f1_score(labels, chosen, average="macro"))
    margin = logits[:, 1] - logits[:, 0]
    assert cell.report.roc_auc == pytest.approx(roc_auc_score(np.array(labels) == "positive", margin))
    free = int((of_three.predict(texts) == "neutral").sum())
    assert free > 0
    assert cell.elsewhere == free
    line = (
        f"three on two decides between negative and positive alone; free to choose, it would have called {free} of 60"
    )
    assert any(note.startswith(line) and note.endswith("rows neutral.") for note in found.notes)


def test_rows_of_a_class_that_the_adapter_does_not_know_are_left_out_and_counted(
    fitted: Clf, of_three: Clf, three_classes: pd.DataFrame
) -> None:
    found = transfer({"two": fitted, "three": of_three}, {"mixed": three_classes}, verbose=False)
    cell = found["two", "mixed"]
    assert (cell.n, dict(cell.left_out)) == (90, {"neutral": 10})
    known = three_classes[three_classes["label"] != "neutral"]
    assert cell.report.accuracy == fitted.score(known["text"], known["label"])
    assert cell.report.texts == tuple(known["text"])
    assert found["three", "mixed"].n == 100
    text = str(found)
    assert "two on mixed: 10 of 100 rows are left out, as it knows no such class (10 neutral)." in text
    assert "mixed (n=100)" in text
    assert "n=90" in text
    assert found.to_frame()["left_out"].tolist() == [10, 0]


def test_ids_and_ratings_are_taken_for_classes(fitted: Clf, held_out_reviews: pd.DataFrame) -> None:
    positive = held_out_reviews["label"] == "positive"
    ids = held_out_reviews.assign(label=positive.astype(int))
    stars = held_out_reviews.assign(label=np.where(positive, 5, 1))
    found = transfer({"two": fitted}, {"ids": ids}, verbose=False)
    expected = fitted.score(held_out_reviews["text"], held_out_reviews["label"])
    assert found["two", "ids"].report.accuracy == expected
    assert any("classes are taken by number (0 = negative, 1 = positive)" in note for note in found.notes)
    bins = LabelMap.from_ratings({"negative": (1, 2), "positive": (3, 5)})
    rated = transfer({"two": fitted}, {"stars": stars}, labels=bins, verbose=False)
    assert rated["two", "stars"].report.accuracy == expected
    assert not any("by number" in note for note in rated.notes)


def test_threshold_and_temperature_are_in_force(saved: Path, held_out_reviews: pd.DataFrame, tmp_path: Path) -> None:
    clf = SentimentLoRA.load(saved, verbose=False)
    clf.temperature_ = 3.0
    positive = held_out_reviews[held_out_reviews["label"] == "positive"]["text"]
    clf.threshold_ = float(np.median(clf.predict_proba(positive)[:, 1]))  # half of them are below it
    strict = clf.save(tmp_path / "strict")
    report = clf.evaluate(held_out_reviews)
    assert 0.1 < report.tpr < 0.95
    for adapter in (clf, strict):
        cell = transfer({"strict": adapter}, {"a": held_out_reviews}, verbose=False)["strict", "a"]
        assert cell.report.metrics == report.metrics
        np.testing.assert_allclose(cell.report.scores, report.scores, atol=1e-5)


def test_written_answers_outside_of_the_data_count_as_mistakes(fitted_t5: Clf, held_out_reviews: pd.DataFrame) -> None:
    some = held_out_reviews.iloc[:20]
    writes = fitted_t5.decode
    try:
        fitted_t5.set_params(decode="generate")
        cell = transfer({"t5": fitted_t5}, {"a": some}, verbose=False)["t5", "a"]
        report = fitted_t5.evaluate(some)
    finally:
        fitted_t5.set_params(decode=writes)
    assert cell.report.metrics == report.metrics


def test_rows_that_were_trained_on_are_counted_and_left_out_of_a_second_score(
    fitted: Clf, saved: Path, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame
) -> None:
    shouted = toy_reviews.iloc[:30].assign(text=toy_reviews["text"].str.upper() + "!")
    mixed = pd.concat([held_out_reviews, shouted], ignore_index=True)
    train = toy_reviews.to_dict("list")
    found = transfer({"f": saved}, {"mixed": mixed, "new": held_out_reviews}, train_data={"f": train}, verbose=False)
    cell, clean = found["f", "mixed"], found["f", "new"]
    # Short texts of few words may be the same by chance.
    chance = clean.leaked or 0
    assert cell.leaked == 30 + chance
    assert cell.clean is not None
    assert cell.clean.n == 100 - chance
    assert "f on mixed: " in str(found)
    assert f"Without them, n={100 - chance}: macro F1 {cell.clean.f1_macro:.3f} (" in str(found)
    assert cell.compared_with == "the 120 rows of a dict"
    # Trained in this process: the classifier knows its rows, but for those that chose the epoch.
    known = transfer({"f": fitted}, {"mixed": mixed}, verbose=False)["f", "mixed"]
    assert known.leaked is not None
    assert 20 < known.leaked <= cell.leaked
    assert known.compared_with == "the 108 rows that it was trained on"
    (line,) = [note for note in found.notes if "looked for" in note]
    assert line == "Rows that were trained on were looked for in the training rows of f, the 120 rows of a dict."


def test_where_nothing_is_left_without_the_leaks_it_says_so(fitted: Clf, toy_reviews: pd.DataFrame) -> None:
    found = transfer({"f": fitted}, {"train": toy_reviews}, train_data={"f": toy_reviews}, verbose=False)
    cell = found["f", "train"]
    assert (cell.leaked, cell.clean) == (120, None)
    assert "are among the 120 rows of a DataFrame; no row is left without them." in str(found)


def test_what_cannot_be_checked_says_how_to(saved: Path, held_out_reviews: pd.DataFrame) -> None:
    found = transfer({"f": saved}, {"a": held_out_reviews, "b": held_out_reviews.iloc[:50]}, verbose=False)
    assert [cell.leaked for cell in found.cells] == [None, None]
    told = [note for note in found.notes if "was not checked" in note]
    assert told == [
        "f was not checked for rows that it was trained on: its training rows cannot be found, as 'a DataFrame' is no "
        'recipe. To check, hand them in: train_data={"f": ...} (--train-data f=FILE).'
    ]
    assert found.to_frame()["leaked"].isna().all()
    assert "?" in str(found).split("\n")[4]


@pytest.fixture
def shop(toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame, tmp_path: Path, monkeypatch: Any) -> Recipe:
    """A recipe of the toy reviews, known by its name; ten of its test rows are training rows."""
    toy_reviews.to_csv(tmp_path / "train.csv", index=False)
    test = pd.concat([held_out_reviews, toy_reviews.iloc[:10]], ignore_index=True)
    test.to_csv(tmp_path / "test.csv", index=False)
    files = {"train": tmp_path / "train.csv", "test": tmp_path / "test.csv"}
    recipe = Recipe("shop", labels=("negative", "positive"), files=files)
    for module in ("sentlora.data.recipes", "sentlora.transferring.seen", "sentlora.transferring.rows"):
        monkeypatch.setattr(f"{module}.list_recipes", lambda: ["shop"])
    for module in ("sentlora.data.recipes", "sentlora.transferring.rows"):
        monkeypatch.setattr(f"{module}.get_recipe", lambda name: recipe)
    return recipe


def named_source(saved: Path, place: Path, trained_on: str) -> Path:
    """Copy an adapter folder, with another source in its record."""
    clf = SentimentLoRA.load(saved, verbose=False)
    clf.trained_on_ = trained_on
    return clf.save(place)


@pytest.mark.parametrize(
    ("trained_on", "words"),
    [
        ("shop", "the 120 rows of shop:train"),
        ("shop:train", "the 120 rows of shop:train"),
        ("100 rows of shop", "the 120 rows of shop:train, of which it saw 100 rows"),
    ],
)
def test_a_recipe_is_read_again_for_its_training_rows(
    shop: Recipe, saved: Path, tmp_path: Path, trained_on: str, words: str
) -> None:
    folder = named_source(saved, tmp_path / "films", trained_on)
    found = transfer(folder, "shop", verbose=False)
    cell = found["films", "shop"]
    assert (cell.n, cell.own, cell.compared_with) == (110, True, words)
    assert cell.leaked is not None
    assert cell.leaked >= 10
    assert (
        "= trained on other rows of the same data; ! some of these rows are among its training rows, see below."
        in found.notes
    )


def test_a_recipe_that_cannot_be_read_here_is_not_checked(
    shop: Recipe, saved: Path, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    folder = named_source(saved, tmp_path / "films", "shop")
    Path(shop.files["train"]).unlink()
    cell = transfer(folder, {"a": held_out_reviews}, verbose=False)["films", "a"]
    assert cell.leaked is None
    assert cell.compared_with.startswith("its training rows cannot be read: The dataset 'shop' could not be read")


def test_a_sample_is_stratified_seeded_and_told(saved: Path, three_classes: pd.DataFrame) -> None:
    def texts(seed: int) -> tuple[str, ...]:
        found = transfer({"f": saved}, {"a": three_classes}, max_rows=40, seed=seed, verbose=False)
        assert found["f", "a"].left_out == {"neutral": 4}
        assert f"Stratified samples, seed {seed}: 40 of the 100 rows of a." in found.notes
        return found["f", "a"].report.texts or ()

    assert texts(0) == texts(0)
    assert texts(0) != texts(1)
    assert transfer({"f": saved}, {"a": three_classes}, max_rows=500, verbose=False)["f", "a"].n == 90


def test_data_are_read_once_and_once_more_for_another_prompt(
    fitted: Clf, saved: Path, held_out_reviews: pd.DataFrame, tiny_bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = held_out_reviews.rename(columns={"text": "body"}).assign(title="film")
    prompt = "Rate this:\n{title} {body}"
    fields = SentimentLoRA(tiny_bert, prompt=prompt, epochs=0, max_length=32, verbose=False).fit(frame)
    read: list[Any] = []
    original = rows.read_data
    monkeypatch.setattr(rows, "read_data", lambda *a, **k: (read.append(k["prompt"]), original(*a, **k))[1])
    found = transfer({"a": fitted, "b": saved, "c": fields}, {"d": frame}, text_column=None, verbose=False)
    assert [None if prompt is None else prompt.template for prompt in read] == [None, prompt]
    assert found["a", "d"].report.texts == tuple(frame["body"])
    assert found["c", "d"].report.texts == tuple("film " + frame["body"])


def test_rows_that_a_recipe_made_keep_their_texts(shop: Recipe, tiny_bert: str, toy_reviews: pd.DataFrame) -> None:
    from sentlora import load_recipe

    fields = toy_reviews.rename(columns={"text": "body"})
    clf = SentimentLoRA(tiny_bert, prompt="Rate:\n{body}", epochs=0, max_length=32, verbose=False).fit(fields)
    for data in ("shop", shop, load_recipe(shop, verbose=False)):
        cell = transfer({"f": clf}, {"a": data}, verbose=False).cells[0]
        assert cell.n == 110


def test_every_form_of_data_is_taken(saved: Path, held_out_reviews: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "reviews.csv"
    held_out_reviews.to_csv(path, index=False)
    own = Dataset.from_pandas(held_out_reviews)
    pair = (held_out_reviews["text"], held_out_reviews["label"])
    found = transfer(saved, [str(path), held_out_reviews, own, DatasetDict(test=own), pair], verbose=False)
    assert [data.name for data in found.data] == ["reviews.csv", "data 2", "data 3", "data 4", "data 5"]
    assert len({cell.report.f1_macro for cell in found.cells}) == 1


def test_a_table_has_the_figures_with_their_intervals(saved: Path, held_out_reviews: pd.DataFrame) -> None:
    found = transfer({"f|1": saved}, {"a": held_out_reviews}, verbose=False)
    report = found["f|1", "a"].report
    text = str(found)
    blocks = text.split("\n\n")
    assert blocks[0] == "Transfer of 1 adapter (rows) to 1 data set (columns)"
    assert [block.split()[0] for block in blocks[1:4]] == ["macro", "accuracy", "ROC-AUC"]
    low, high = wilson_interval(int(report.correct.sum()), 100)
    assert f"{report.accuracy:.3f} ({low:.3f}-{high:.3f})" in blocks[2]
    low, high = report.intervals["f1_macro"]
    assert f"{report.f1_macro:.3f} ({low:.3f}-{high:.3f})" in blocks[1]
    always = f1_score(report.y_true, np.zeros(100), average="macro")
    assert f"Always answering the most frequent class has a macro F1 of {always:.3f} on a." in text
    markdown = found.to_markdown()
    assert markdown.count("| f\\|1 | ") == 3
    assert found._repr_markdown_() == markdown
    assert repr(found) == "Transfer(adapters=['f|1'], data=['a'])"


def test_frame_and_json_have_every_figure(saved: Path, three_classes: pd.DataFrame, tmp_path: Path) -> None:
    found = transfer({"f": saved}, {"a": three_classes}, verbose=False)
    (line,) = found.to_frame().to_dict("records")
    report = found["f", "a"].report
    assert (line["f1_macro"], line["accuracy"], line["roc_auc"]) == (report.f1_macro, report.accuracy, report.roc_auc)
    assert (line["roc_auc_low"], line["roc_auc_high"]) == report.intervals["roc_auc"]
    written = json.loads(found.to_json(tmp_path / "t.json"))
    assert json.loads((tmp_path / "t.json").read_text(encoding="utf-8")) == written == found.to_dict()
    (cell,) = written["cells"]
    assert cell["f1_macro_interval"] == list(report.intervals["f1_macro"])
    assert (cell["left_out"], cell["leaked"], cell["without_leaked"]) == ({"neutral": 10}, None, None)
    assert written["data"][0] | {"labels": 0} == {
        "name": "a",
        "source": "a DataFrame",
        "n": 100,
        "of": 100,
        "labels": 0,
    }


def test_an_undefined_area_is_said_and_drawn(saved: Path) -> None:
    pytest.importorskip("matplotlib")
    labels = ("negative", "positive")
    found = transfer({"f": saved}, {"a": (["good", "great"], ["positive"] * 2)}, labels=labels, verbose=False)
    assert found["f", "a"].report.roc_auc is None
    assert "undefined" in str(found)
    found.plot(metric="roc_auc").figure.draw_without_rendering()


def test_the_folder_holds_table_figures_and_picture(
    saved: Path, held_out_reviews: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    found = transfer({"f": saved}, {"a": held_out_reviews}, verbose=False)
    place = found.save(tmp_path / "out", dark=True)
    assert {path.name for path in place.iterdir()} == {"table.md", "transfer.json", "transfer.png"}
    assert (place / "table.md").read_text(encoding="utf-8") == found.to_markdown()
    assert found.save(place) == place, "what is a transfer may be replaced"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "table.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds a table.md that is of no transfer; it was left untouched"):
        found.save(tmp_path / "other")
    with pytest.raises(ConfigError, match="is a file; a transfer needs a folder"):
        found.save(tmp_path / "other" / "table.md")
    with pytest.raises(ConfigError, match="metric must be one of 'f1_macro', 'accuracy', 'roc_auc'; found 'f1'"):
        found.plot(metric="f1")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda saved, frame: transfer("no/such", frame), AdapterFolderError, "Expected an adapter folder at no/such"),
        (lambda saved, frame: transfer([saved, saved], frame), ConfigError, "Two of adapters are called 'adapter'"),
        (lambda saved, frame: transfer({"a": 3}, frame), ConfigError, "fitted SentimentLoRA as 'a'; found int"),
        (lambda saved, frame: transfer({"a": SentimentLoRA()}, frame), NotFittedError, "not trained yet"),
        (lambda saved, frame: transfer(saved, "imbd"), RecipeError, "Did you mean 'imdb'"),
        (lambda saved, frame: transfer(saved, frame, max_rows=0), ConfigError, "max_rows must be a whole number"),
        (lambda saved, frame: transfer(saved, frame, seed=None), ConfigError, "seed must be a whole number"),
        (lambda saved, frame: transfer(saved, frame, max_rows=1), DataError, "at least 2 rows, one per class"),
        (
            lambda saved, frame: transfer(saved, frame, train_data={"b": frame}),
            ConfigError,
            "train_data names 'b', which is none of the adapters: 'adapter'",
        ),
        (
            lambda saved, frame: transfer(saved, frame.replace({"positive": "joy", "negative": "anger"})),
            LabelError,
            "'adapter' and 'data 1' have no class in common",
        ),
        (
            lambda saved, frame: transfer(
                saved, {"a": (["so-so"], ["neutral"])}, labels=("negative", "neutral", "positive")
            ),
            DataError,
            "No row of 'a' is left for 'adapter': all 1 are of classes that it does not know",
        ),
    ],
)
def test_what_cannot_work_is_told_before_anything_is_scored(
    saved: Path,
    held_out_reviews: pd.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[Path, pd.DataFrame], Transfer],
    error: type[Exception],
    message: str,
) -> None:
    def open_adapter(*arguments: Any, **options: Any) -> None:
        raise AssertionError("an adapter was loaded")

    monkeypatch.setattr(measuring, "open_adapter", open_adapter)
    with pytest.raises(error, match=message):
        call(saved, held_out_reviews)


def test_columns_that_an_adapter_remembers_are_found_for_all(
    tiny_bert: str, saved: Path, held_out_reviews: pd.DataFrame, toy_settings: dict[str, Any]
) -> None:
    shop = held_out_reviews.rename(columns={"text": "words", "label": "verdict"}).assign(note="a note of the shop")
    columns = {"text_column": "words", "label_column": "verdict"}
    clf = SentimentLoRA(tiny_bert, **{**toy_settings, **columns, "epochs": 0}).fit(shop)
    found = transfer({"shop": clf, "films": saved}, {"rows": shop}, verbose=False)
    assert [(cell.adapter, cell.n) for cell in found.cells] == [("shop", 100), ("films", 100)]
