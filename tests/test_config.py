from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from sentlora.config import SCHEMA_VERSION, SentimentConfig
from sentlora.errors import AdapterFolderError, ConfigError
from sentlora.labels import LabelMap
from sentlora.settings import Settings

CONFIG = SentimentConfig(
    base_model="me/bäse",
    labels=LabelMap.of({-1: "schlecht", 1: "gut 👍"}),
    max_length=64,
    truncation="head-tail",
    temperature=1.5,
    threshold=0.25,
    threshold_rule="FPR <= 0.05",
    trained_on="imdb",
    settings={"r": 4, "targets": ["query", "value"]},
    versions={"peft": "1"},
    files={"adapter_model.safetensors": "ab"},
)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("r", 0, "r must be a whole number of at least 1; found 0"),
        ("r", 2.5, "r must be a whole number"),
        ("r", True, "r must be a whole number"),
        ("r", "8", "r must be a whole number of at least 1; found '8'"),
        ("batch_size", 0, "batch_size must be a whole number of at least 1; found 0"),
        ("tokens_per_batch", 0, "tokens_per_batch must be a whole number of at least 1; found 0"),
        ("batching", "sorted", "batching must be one of 'grouped', 'micro', 'random'; found 'sorted'"),
        ("precision", "fp16", "precision must be one of 'auto', 'float32', 'bf16'; found 'fp16'"),
        ("batch_size", -3, "batch_size must be .* found -3"),
        ("max_length", 3, "max_length must be a whole number of at least 4"),
        ("seed", -1, "seed must be a whole number of at least 0"),
        ("early_stopping", 0, "early_stopping must be a whole number of at least 1"),
        ("alpha", 0, "alpha must be a number above 0; found 0"),
        ("dropout", 1.0, "dropout must be a number at least 0 and below 1; found 1.0"),
        ("dropout", -0.1, "dropout must be a number at least 0"),
        ("epochs", -1, "epochs must be a number at least 0"),
        ("epochs", float("nan"), "epochs must be a number"),
        ("learning_rate", 0, "learning_rate must be a number above 0"),
        ("learning_rate", "1e-4", "learning_rate must be a number above 0; found '1e-4'"),
        ("learning_rate", float("nan"), "learning_rate must be a number"),
        ("learning_rate", float("inf"), "learning_rate must be a number"),
        ("warmup", 1, "warmup must be a number at least 0 and below 1"),
        ("weight_decay", -1, "weight_decay must be a number at least 0"),
        ("truncation", "middle", "truncation must be one of 'head', 'tail', 'head-tail'; found 'middle'"),
        ("scheduler", "step", "scheduler must be one of 'linear', 'cosine', 'constant', .*; found 'step'"),
        ("class_weights", "equal", "class_weights must be one of 'balanced'; found 'equal'"),
        ("decode", "beam", "decode must be one of 'score', 'generate'; found 'beam'"),
        ("decode", True, "decode must be one of 'score', 'generate'; found True"),
        ("prompt", 3, r"prompt must be a template such as 'Classify:\\n\{text\}'; found 3"),
        ("prompt", ["{text}"], r"prompt must be a template such as .*; found \['\{text\}'\]"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Settings(**{name: value})


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (5, "class_weights must be 'balanced', a mapping or a list of numbers; found 5"),
        (np.float64(2), "class_weights must be 'balanced', a mapping or a list of numbers; found 2.0"),
        ({1.0, 2.0}, r"class_weights must be 'balanced', a mapping or a list of numbers; found \{1.0, 2.0\}"),
        ([1.0, "2"], "class_weights must be a number above 0; found '2'"),
        ((1.0, None), "class_weights must be a number above 0; found None"),
        ([1.0, True], "class_weights must be a number above 0; found True"),
        ([1.0, 0], "class_weights must be a number above 0; found 0"),
        ([1.0, float("nan")], "class_weights must be a number above 0; found nan"),
        (np.array([1.0, -1.0]), "class_weights must be a number above 0; found -1.0"),
        ({"negative": 1.0, "positive": "much"}, "class_weights must be a number above 0; found 'much'"),
        ({"negative": 1.0, "positive": float("inf")}, "class_weights must be a number above 0; found inf"),
    ],
    ids=str,
)
def test_class_weights_of_another_kind_are_refused(weights: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Settings(class_weights=weights)


@pytest.mark.parametrize(
    ("name", "value"),
    [("r", np.int64(4)), ("batch_size", np.int32(4)), ("seed", np.int64(1)), ("learning_rate", np.float32(1e-3))],
)
def test_numbers_of_numpy_are_numbers(name: str, value: Any) -> None:
    """GridSearchCV over np.arange or np.geomspace hands them in."""
    assert json.loads(json.dumps(Settings(**{name: value}).to_dict()))[name] == pytest.approx(value.item())


def test_the_edges_that_work() -> None:
    Settings(r=1, batch_size=1, max_length=4, seed=0, dropout=0, epochs=0, warmup=0, weight_decay=0, early_stopping=1)
    Settings(epochs=0.5, class_weights="balanced", truncation="head-tail", scheduler="cosine")


def test_a_later_layer_wins_and_none_sets_nothing() -> None:
    resolved = Settings.resolve({"r": 4, "epochs": 1}, {"r": 16, "epochs": None, "seed": None})
    assert (resolved.r, resolved.epochs, resolved.seed) == (16, 1, 0)
    assert Settings.resolve() == Settings()


def test_an_unknown_setting_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"Unknown setting 'rank'; the settings are: adapter, alpha, .*weight_decay"):
        Settings.resolve({"rank": 8})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"targets": ("query", "value")},
        {"class_weights": {"negative": 1.0, "positive": 2.0}},
        {"class_weights": {0: 1.0, 1: 2.0}},
        {"class_weights": [1.0, 2.0]},
        {"class_weights": np.array([1.0, 2.0])},
        {"class_weights": {np.int64(0): 1.0, np.int64(1): np.float64(2.0)}},
    ],
    ids=str,
)
def test_settings_are_plain_json(changes: dict[str, Any]) -> None:
    json.dumps(Settings(**changes).to_dict())


def test_what_is_never_cut_has_no_size() -> None:
    with pytest.raises(
        ConfigError, match="tokens_per_batch= says how batches are cut, and batching='random' cuts none"
    ):
        Settings(batching="random", tokens_per_batch=100)


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs"),
    [(100_000, 32, 3), (1_600, 32, 3), (1_568, 32, 4), (640, 32, 8), (480, 32, 10), (1, 32, 10), (640, 8, 3)],
)
def test_little_data_gets_more_epochs(rows: int, batch_size: int, epochs: int) -> None:
    assert Settings(batch_size=batch_size).settled_for(rows, 100).epochs == epochs


@pytest.mark.parametrize("epochs", [0, 0.5, 7])
def test_epochs_that_were_chosen_stay(epochs: float) -> None:
    assert Settings(epochs=epochs).settled_for(10, 10).epochs == epochs


@pytest.mark.parametrize(
    ("settings", "validation_rows", "keep"),
    [
        (Settings(), 100, "best"),
        (Settings(), 99, "last"),
        (Settings(keep="best"), 2, "best"),
        (Settings(keep="last"), 5_000, "last"),
        (Settings(early_stopping=1), 2, "best"),
    ],
)
def test_few_validation_rows_choose_no_epoch(settings: Settings, validation_rows: int, keep: str) -> None:
    assert settings.settled_for(1_000, validation_rows).keep == keep


def test_early_stopping_without_the_best_epoch_is_refused() -> None:
    with pytest.raises(ConfigError, match="early_stopping needs the best epoch to be kept; leave out keep='last'"):
        Settings(keep="last", early_stopping=1)


def test_settings_come_back_from_json() -> None:
    settings = Settings(r=3, targets=["query", "mlp"], class_weights=[1.0, 2.0], early_stopping=2)
    assert Settings.resolve(json.loads(json.dumps(settings.to_dict()))) == settings
    settings = Settings(prompt="Rate:\n{title} {body}", decode="generate", length_normalization=True)
    assert Settings.resolve(json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize("given", [np.bool_(True), True])
def test_a_truth_value_of_numpy_is_one(given: Any) -> None:
    """GridSearchCV over np.array([False, True]) hands it in."""
    assert Settings(length_normalization=given).to_dict()["length_normalization"] is True


def test_the_config_comes_back_from_json() -> None:
    text = CONFIG.to_json()
    assert SentimentConfig.from_json(text) == CONFIG
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION
    assert "gut 👍" in text  # readable, not escaped


def edited(**changes: Any) -> str:
    data = {**json.loads(CONFIG.to_json()), **changes}
    return json.dumps({name: value for name, value in data.items() if value != "drop"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "a/sentlora.json is not valid JSON"),
        ("[]", "a/sentlora.json should hold a JSON object; found list"),
        (edited(schema_version=2), "schema version 2; this sentlora reads version 1. Update sentlora"),
        (edited(schema_version="drop"), "schema version None"),
        (edited(labels="drop"), "lacks the field 'labels'"),
        (edited(base_model="drop", max_length="drop"), "lacks the field 'base_model'"),
        (edited(adapters="x"), "has a field unknown to this sentlora: 'adapters'. Update sentlora"),
        (edited(prompt=3), r"a/sentlora.json should hold a text or null under 'prompt'; found 3\. Copy it again"),
        (edited(prompt=["{text}"]), r"should hold a text or null under 'prompt'; found \['\{text\}'\]"),
        (edited(prompt=True), "should hold a text or null under 'prompt'; found True"),
        (edited(decode=None), "should hold a text under 'decode'; found None"),
        (edited(decode=False), "should hold a text under 'decode'; found False"),
        (edited(length_normalization=1), "should hold true or false under 'length_normalization'; found 1"),
        (edited(length_normalization="yes"), "should hold true or false under 'length_normalization'; found 'yes'"),
        (edited(length_normalization=None), "should hold true or false under 'length_normalization'; found None"),
        (edited(max_length=True), "should hold a whole number under 'max_length'; found True"),
        (edited(objective=3), "should hold a text under 'objective'; found 3"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(text: str, words: str) -> None:
    with pytest.raises(AdapterFolderError, match=words):
        SentimentConfig.from_json(text, where="a/sentlora.json")


def test_a_broken_label_map_is_refused() -> None:
    with pytest.raises(AdapterFolderError, match="'values' is missing"):
        SentimentConfig.from_json(edited(labels={"names": ["a", "b"]}))


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "Bewerte:\n{Titel} | {text} 👍 ä", "objective": "label-words"},
        {"decode": "generate", "objective": "label-words"},
        {"length_normalization": True, "objective": "label-words"},
        {"labels": LabelMap(("neg", "pos"), words=("negative", "positive"))},
    ],
    ids=str,
)
def test_how_a_text_to_text_model_is_asked_comes_back_from_json(changes: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **changes)
    found = SentimentConfig.from_json(config.to_json())
    assert found == config
    assert found != CONFIG


def test_a_file_of_before_there_were_prompts_is_read() -> None:
    older = edited(prompt="drop", decode="drop", length_normalization="drop")
    assert not {"prompt", "decode", "length_normalization"} & set(json.loads(older))
    config = SentimentConfig.from_json(older)
    assert config == CONFIG
    assert (config.prompt, config.decode, config.length_normalization) == (None, "score", False)
    settings = config.resolved_settings(where="a")
    assert (settings.prompt, settings.decode, settings.length_normalization) == (None, "score", False)


def test_what_decides_the_answer_stands_above_the_record_of_the_run() -> None:
    record = Settings(max_length=9, truncation="tail", decode="score", length_normalization=True, r=3).to_dict()
    config = dataclasses.replace(CONFIG, decode="generate", length_normalization=False, settings=record)
    settings = config.resolved_settings(where="a")
    assert (settings.max_length, settings.truncation, settings.r) == (64, "head-tail", 3)
    assert (settings.decode, settings.length_normalization) == ("generate", False)


def test_a_way_to_choose_that_is_unknown_is_named_with_the_folder() -> None:
    config = SentimentConfig.from_json(edited(decode="beam"))
    words = r"sentlora\.json in a/b: decode must be one of 'score', 'generate'; found 'beam'\. Copy the folder again\."
    with pytest.raises(AdapterFolderError, match=words):
        config.resolved_settings(where="a/b")


@pytest.mark.parametrize("name", ["train_head", "length_normalization"])
@pytest.mark.parametrize("value", ["no", 1, None])
def test_a_switch_is_on_or_off(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be True or False; found {value!r}"):
        Settings(**{name: value})
