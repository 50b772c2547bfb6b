from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, TaskType

from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, LabelError, TargetError
from sentlora.labels import LabelMap
from sentlora.model.assembly import assemble, objective_for
from sentlora.model.backbone import best_device
from sentlora.model.classification import ClassificationObjective
from sentlora.model.label_words import LabelWordsObjective
from sentlora.settings import Settings

PAIR = LabelMap(("negative", "positive"))
SHORT = Prompt("good or bad:\n{text}")
SETTINGS = Settings(max_length=100, targets="attention")


def lora_names(model: Any) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


# --- an encoder ------------------------------------------------------------------------------


def test_an_encoder_gets_a_head_and_reads_the_text_alone(tiny_bert: str) -> None:
    model, objective, prompt = assemble(tiny_bert, PAIR, SETTINGS)
    assert isinstance(objective, ClassificationObjective)
    assert objective.name == "classification"
    assert prompt is None
    assert model.peft_config["default"].task_type == TaskType.SEQ_CLS
    assert any("classifier" in name for name in lora_names(model))
    assert next(model.parameters()).device == best_device()


def test_an_encoder_reads_no_instruction(tiny_bert: str) -> None:
    _, objective, prompt = assemble(tiny_bert, PAIR, SETTINGS, SHORT)
    assert prompt is SHORT, "its fields make the text of a row"
    (row,) = objective.encode(["a good film"])
    assert row["input_ids"] == objective.tokenizer("a good film")["input_ids"]


def test_an_encoder_writes_no_answer(tiny_bert: str) -> None:
    words = (
        "decode='generate' needs a model that writes text, such as google/flan-t5-base; this one (architecture 'bert') "
        "is an encoder. Leave decode out."
    )
    with pytest.raises(ConfigError, match=re.escape(words)):
        assemble(tiny_bert, PAIR, dataclasses.replace(SETTINGS, decode="generate"))


# --- a text-to-text model --------------------------------------------------------------------


def test_a_text_to_text_model_is_asked_in_plain_words_by_default(tiny_t5: str) -> None:
    model, objective, prompt = assemble(tiny_t5, LabelMap(("a", "b", "c")), SETTINGS)
    assert isinstance(objective, LabelWordsObjective)
    assert objective.name == "label-words"
    assert prompt == Prompt("Classify the sentiment of this text as a, b, or c:\n{text}")
    assert model.peft_config["default"].task_type == TaskType.SEQ_2_SEQ_LM
    assert all(".lora_" in name for name in lora_names(model))
    (row,) = objective.encode(["a good film"])
    assert row["input_ids"] == objective.tokenizer(prompt.full("a good film"))["input_ids"]
    assert next(model.parameters()).device == best_device()


def test_the_question_may_be_ones_own(tiny_t5: str) -> None:
    _, objective, prompt = assemble(tiny_t5, PAIR, SETTINGS, SHORT)
    assert prompt is SHORT
    (row,) = objective.encode(["a good film"])
    assert row["input_ids"] == objective.tokenizer("good or bad:\na good film")["input_ids"]


@pytest.mark.parametrize("truncation", ["head", "tail"])
def test_lengths_and_truncation_reach_the_encoder(tiny_t5: str, truncation: str) -> None:
    settings = dataclasses.replace(SETTINGS, max_length=30, truncation=truncation)
    _, objective, _ = assemble(tiny_t5, PAIR, settings, SHORT)
    (row,) = objective.encode(["good " * 50 + "bad " * 50])
    assert len(row["input_ids"]) == 30
    kept = objective.tokenizer.convert_tokens_to_ids("▁good" if truncation == "head" else "▁bad")
    assert row["input_ids"][-2] == kept


def test_length_normalization_reaches_the_scores(tiny_t5: str) -> None:
    labels = LabelMap(("negative", "neutral"))
    found = []
    for normalized in (False, True):
        settings = dataclasses.replace(SETTINGS, length_normalization=normalized)
        model, objective, _ = assemble(tiny_t5, labels, settings, SHORT)
        with torch.inference_mode():
            found.append(objective.scores(model.eval(), objective.collate(objective.encode(["a good film"]))))
    torch.testing.assert_close(found[1], found[0] / torch.tensor([1, 2]))


@pytest.mark.parametrize("decode", ["score", "generate"])
def test_how_a_label_is_chosen_does_not_change_what_is_learned(tiny_t5: str, decode: str) -> None:
    _, objective, _ = assemble(tiny_t5, PAIR, dataclasses.replace(SETTINGS, decode=decode), SHORT)
    assert isinstance(objective, LabelWordsObjective)


def test_a_whole_lora_config_takes_the_place_of_the_settings(tiny_t5: str) -> None:
    lora = LoraConfig(r=3, target_modules=["v"])
    model, _, _ = assemble(tiny_t5, PAIR, SETTINGS, SHORT, lora=lora)
    assert model.peft_config["default"].r == 3
    assert all(".v.lora_" in name for name in lora_names(model))


@pytest.mark.parametrize(
    ("labels", "settings", "error", "words"),
    [
        (PAIR, {"max_length": 513}, ConfigError, "max_length=513 is above the 512 tokens"),
        (PAIR, {"max_length": 10}, ConfigError, "max_length=10 leaves [0-9] tokens for the text"),
        (PAIR, {"targets": "lm_head"}, TargetError, "The target 'lm_head' names no linear layer .*'t5'"),
        (LabelMap(("1", "good")), {}, LabelError, "The label word '1' cannot be written with the vocabulary"),
    ],
    ids=str,
)
def test_what_a_text_to_text_model_cannot_do_is_refused(
    tiny_t5: str, labels: LabelMap, settings: dict[str, Any], error: type, words: str
) -> None:
    with pytest.raises(error, match=words):
        assemble(tiny_t5, labels, dataclasses.replace(SETTINGS, **settings), SHORT)


# --- the objective alone ---------------------------------------------------------------------


def test_an_objective_without_a_question_asks_in_plain_words(tiny_seq2seq: Any, t5_tokenizer: Any) -> None:
    objective = objective_for(tiny_seq2seq, t5_tokenizer, PAIR, SETTINGS)
    asked = "Classify the sentiment of this text as negative or positive:\na good film"
    (row,) = objective.encode(["a good film"])
    assert row["input_ids"] == t5_tokenizer(asked)["input_ids"]


def test_the_objective_follows_the_model(seq2seq: Any, t5_tokenizer: Any, tiny_model: Callable[..., Any]) -> None:
    assert objective_for(seq2seq, t5_tokenizer, PAIR, SETTINGS).name == "label-words"
    assert objective_for(tiny_model("bert"), t5_tokenizer, PAIR, SETTINGS).name == "classification"


def test_labels_that_are_no_words_are_told_to_be_less(tiny_t5: str, capsys: pytest.CaptureFixture) -> None:
    assemble(tiny_t5, LabelMap.of([False, True]), SETTINGS, SHORT)
    told = " ".join(capsys.readouterr().err.split())
    assert 'is to answer False, True; words would say more to it: labels={False: "negative", True: "positive"}.' in told
    assemble(tiny_t5, LabelMap.of([False, True]), SETTINGS, SHORT, verbose=False)
    assemble(tiny_t5, PAIR, SETTINGS, SHORT)
    assert capsys.readouterr().err == ""
