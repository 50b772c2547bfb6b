"""What augment= may say: each value by itself, the text form, and the way to JSON and back."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from sentlora import SentimentLoRA
from sentlora.augmentation import Augmentation
from sentlora.config import SentimentConfig
from sentlora.errors import ConfigError
from sentlora.labels import LabelMap
from sentlora.settings import Settings


def louder(texts: list[str]) -> list[str]:
    return [f"{text} indeed" for text in texts]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, {}),
        ("word_dropout", {"word_dropout": 0.1, "copies": 1}),
        ("balance", {"balance": True}),
        (" word_swap = 0.25 , copies = 3 ,", {"word_swap": 0.25, "copies": 3}),
        ("synonyms=on,balance=no,copies=0", {"synonyms": 0.1, "copies": 0}),
        ({"word_dropout": True, "word_swap": False, "synonyms": 0}, {"word_dropout": 0.1, "copies": 1}),
        ({"word_dropout": np.float64(0.5), "copies": np.int64(2)}, {"word_dropout": 0.5, "copies": 2}),
        ({"word_swap": 0.1, "keep": ["nicht"], "copies": None}, {"word_swap": 0.1, "copies": 1, "keep": ["nicht"]}),
        ({"paraphrase": "mine.louder"}, {"paraphrase": "mine.louder", "copies": 1}),
    ],
    ids=str,
)
def test_what_is_taken_is_written_out_as_json(asked: Any, expected: dict[str, Any]) -> None:
    written = Augmentation.of(asked).to_dict()
    assert written == expected
    assert Augmentation.of(json.loads(json.dumps(written))) == Augmentation.of(expected)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("word_dropuot", "Unknown name 'word_dropuot' in augment. Did you mean 'word_dropout'? The names are: word_"),
        ({3: True}, "Unknown name 3 in augment. The names are: word_dropout, word_swap, synonyms, paraphrase, copies,"),
        ({"word_swap": 1}, "word_swap in augment must be a share of the words, a number of at least 0 and below 1;"),
        ("word_swap=much", "at least 0 and below 1; found 'much'."),
        ({"synonyms": float("nan")}, "found nan."),
        ({"copies": -1}, "copies in augment must be a whole number of at least 0; found -1."),
        ({"copies": True}, "copies in augment must be a whole number of at least 0; found True."),
        ("balance=2", "balance in augment must be True or False; found 2."),
        ({"paraphrase": len}, "paraphrase in augment holds the name of a function, for the record; found <built-in"),
        ({"keep": "nicht"}, "keep in augment must be a list of words, such as ['nicht', 'kein']; found 'nicht'."),
        ("word_swap,keep=nicht", "keep is a list of words, which has no place between commas; write augment as a"),
        ("word_swap,word_swap=0.2", "augment names 'word_swap' twice in 'word_swap,word_swap=0.2'; keep one of them."),
        ("word_swap=", "found 'word_swap=' in 'word_swap='."),
        ("", "augment must be such as 'word_dropout=0.1,copies=2,balance' or {'word_dropout': 0.1, 'copies': 2,"),
        (0.1, "augment must be such as 'word_dropout=0.1,copies=2,balance' or {'word_dropout': 0.1, 'copies': 2,"),
    ],
    ids=str,
)
def test_what_cannot_work_is_refused_by_the_settings(asked: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        Settings(augment=asked)


def test_the_settings_write_the_defaults_out() -> None:
    assert Settings(augment="word_dropout").to_dict()["augment"] == {"word_dropout": 0.1, "copies": 1}
    assert Settings(augment={"balance": False}).to_dict()["augment"] is None
    assert Settings().to_dict()["augment"] is None


def test_the_folder_brings_them_back() -> None:
    settings = Settings(augment="word_swap=0.2,balance")
    config = SentimentConfig("minilm", LabelMap(("bad", "good")), 64, settings=settings.to_dict())
    again = SentimentConfig.from_json(config.to_json()).resolved_settings(where="here")
    assert Augmentation.of(again.augment) == Augmentation(word_swap=0.2, balance=True)


def test_copies_make_steps_and_so_fewer_epochs() -> None:
    """As many steps as without: what is compared is other rows, not longer training."""
    plain = Settings(batch_size=16).settled_for(270, 30)
    doubled = Settings(batch_size=16, augment="word_dropout").settled_for(270, 30)
    assert (plain.epochs, doubled.epochs) == (9, 5)
    assert Settings(batch_size=16, augment="balance").settled_for(270, 30).epochs == 9
    assert Settings(batch_size=16, augment="word_dropout,copies=0,balance").settled_for(270, 30).epochs == 9
    assert Settings(batch_size=16, augment="word_dropout", epochs=4).settled_for(270, 30).epochs == 4


def test_a_paraphraser_is_a_parameter_and_its_name_a_setting() -> None:
    clf = SentimentLoRA("minilm", augment="word_swap", paraphrase=louder)
    copy = clone(clf)
    assert copy.paraphrase is louder
    assert copy.get_params()["augment"] == "word_swap"
    name = f"{__name__}.louder"
    assert copy._settings().augment == {"word_swap": 0.1, "paraphrase": name, "copies": 1}
    assert json.loads(json.dumps(copy._settings().to_dict()))["augment"]["paraphrase"] == name
    assert SentimentLoRA("minilm", paraphrase=louder)._settings().augment == {"paraphrase": name, "copies": 1}


@pytest.mark.parametrize("given", ["t5", ["a"], dict], ids=str)
def test_a_paraphraser_is_a_function(given: Any) -> None:
    words = "paraphrase must be a function that takes a list of texts and returns as many texts; found"
    with pytest.raises(ConfigError, match=words):
        SentimentLoRA("minilm", paraphrase=given).fit(["good", "bad"], [1, 0])
