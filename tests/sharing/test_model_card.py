from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from peft import LoraConfig, TaskType

from sentlora import SentimentLoRA
from sentlora.config import SentimentConfig
from sentlora.labels import LabelMap
from sentlora.settings import Settings
from sentlora.sharing.model_card import model_card

CONFIG = SentimentConfig(
    base_model="minilm",
    labels=LabelMap(("negative", "neutral", "positive")),
    max_length=77,
    trained_on="imdb, from the package x 1.0",
    settings=Settings(r=3, targets=["query", "mlp"]).to_dict(),
)
METRICS = {"imdb:test": {"accuracy": 0.87654321, "n": 1000, "roc_auc": None}, "validation": {"f1": 0.5}}
CARD = model_card(CONFIG, "sentence-transformers/all-MiniLM-L6-v2", METRICS)


def python_blocks(card: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)


def test_the_metadata_is_read_by_the_hub() -> None:
    data = huggingface_hub.ModelCard(CARD).data
    assert data.base_model == "sentence-transformers/all-MiniLM-L6-v2"
    assert data.library_name == "peft"
    assert data.pipeline_tag == "text-classification"
    assert {"lora", "sentiment"} <= set(data.tags)


@pytest.mark.parametrize("base", ["runs/v2: final", "it's", "C:\\models\\tiny", "123"])
def test_a_base_with_an_odd_name_is_still_metadata(base: str) -> None:
    assert huggingface_hub.ModelCard(model_card(CONFIG, base, None)).data.base_model == base


def test_the_facts_are_in_the_card() -> None:
    assert "`minilm`" in CARD
    assert "0 `negative`, 1 `neutral`, 2 `positive`" in CARD
    assert "Trained on: imdb, from the package x 1.0." in CARD
    assert "| imdb:test | accuracy | 0.8765 |" in CARD
    assert "| validation | f1 | 0.5000 |" in CARD
    assert "num_labels=3" in CARD
    assert "max_length=77" in CARD
    assert "| `r` | `3` |" in CARD
    assert "roc_auc" not in CARD  # there was no figure


def test_how_the_classifier_decides_is_in_the_card() -> None:
    config = dataclasses.replace(
        CONFIG,
        labels=LabelMap(("negative", "positive")),
        temperature=1.4321,
        threshold=0.73,
        threshold_rule="FPR <= 0.05",
    )
    card = model_card(config, "x/y", None)
    assert "Probabilities are the softmax of the logits divided by 1.432 (calibrated)." in card
    assert "`positive` is predicted from a probability of 0.73 on, chosen for FPR <= 0.05." in card
    assert "Only sentlora does that by itself" in card
    assert "threshold" not in CARD and "calibrated" not in CARD and "Only sentlora" not in CARD


def test_nothing_is_said_of_what_was_not_measured() -> None:
    for metrics in (None, {}):
        card = model_card(dataclasses.replace(CONFIG, trained_on=""), "x/y", metrics)
        assert "Measured" not in card
        assert "Trained on" not in card


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_the_lines_for_plain_peft_give_the_same_logits(fitted: SentimentLoRA, saved: Path) -> None:
    block = next(b for b in python_blocks((saved / "README.md").read_text()) if "AutoPeftModel" in b)
    assert "sentlora" not in block
    namespace: dict[str, object] = {}
    exec(block.replace("path/to/this/folder", str(saved)), namespace)
    logits = namespace["logits"].detach().numpy()
    np.testing.assert_allclose(logits, fitted.logits(["I loved it"]), rtol=0, atol=1e-5)
    assert namespace["inputs"]["input_ids"].shape[1] > 2


def test_the_lines_for_sentlora_run(saved: Path) -> None:
    block = next(b for b in python_blocks((saved / "README.md").read_text()) if "import SentimentLoRA" in b)
    namespace: dict[str, object] = {}
    exec(block.replace("path/to/this/folder", str(saved)), namespace)
    assert namespace["clf"].classes_.tolist() == ["negative", "positive"]


def test_the_card_of_a_run_with_a_lora_config_does_not_claim_other_settings(tiny_bert: str, tmp_path: Path) -> None:
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=3, lora_alpha=5, lora_dropout=0.3, target_modules=["query"])
    clf = SentimentLoRA(tiny_bert, lora=lora, epochs=0, verbose=False).fit(["good", "bad"] * 4, ["p", "n"] * 4)
    card = (clf.save(tmp_path / "adapter") / "README.md").read_text()
    for wrong in ("| `r` | `8` |", "| `alpha` | `16` |", "| `dropout` | `0.05` |", "| `targets` | `attention` |"):
        assert wrong not in card


# --- text-to-text adapters -------------------------------------------------------------------

TEXT_TO_TEXT = dataclasses.replace(
    CONFIG,
    base_model="google/flan-t5-base",
    labels=LabelMap(("1", "2"), words=("bad", "good")),
    objective="label-words",
    prompt="Rate this {{review}}.\nTitle: {title} Text: {body}",
    decode="generate",
)


def block_for_plain_peft(card: str) -> str:
    (block,) = [block for block in python_blocks(card) if "PeftModel" in block]
    assert "sentlora" not in block
    return block


def test_the_card_of_a_text_to_text_adapter_asks_as_it_was_trained() -> None:
    card = model_card(TEXT_TO_TEXT, "google/flan-t5-base", None)
    block = block_for_plain_peft(card)
    assert "which lets the model write its answer (`bad`, `good`):" in card
    assert "AutoModelForSeq2SeqLM.from_pretrained('google/flan-t5-base')" in block
    assert repr("Rate this {review}.\nI loved it") in block
    assert "max_length=77" in block
    assert "AutoPeftModel" not in card
    assert "num_labels" not in card
    assert "0 `1`, 1 `2`" in card
    compile(block, "card", "exec")


@pytest.mark.parametrize("template", ["It's {text}", "Say \"yes\" or 'no':\n{text}", "a \\ b {text}", "```\n{text}"])
def test_a_question_with_odd_characters_is_still_python(template: str) -> None:
    card = model_card(dataclasses.replace(TEXT_TO_TEXT, prompt=template), "x/y", None)
    block = block_for_plain_peft(card)
    compile(block, "card", "exec")
    assert repr(template.format(text="I loved it")) in block


def test_a_text_to_text_adapter_without_a_question_is_asked_in_plain_words() -> None:
    block = block_for_plain_peft(model_card(dataclasses.replace(TEXT_TO_TEXT, prompt=None), "x/y", None))
    assert repr("Classify the sentiment of this text as bad or good:\nI loved it") in block


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
@pytest.mark.parametrize("text", ["a good film", "the plot was awful and dull"])
def test_the_lines_for_plain_peft_write_the_label(
    fitted_t5: SentimentLoRA, saved_t5: Path, tiny_t5: str, text: str
) -> None:
    block = block_for_plain_peft((saved_t5 / "README.md").read_text())
    assert repr(tiny_t5) in block, "the base is where it was in training"
    # Nothing but the folder and the example is put in.
    ran = block.replace("path/to/this/folder", str(saved_t5)).replace("I loved it", text)
    namespace: dict[str, Any] = {}
    exec(ran, namespace)
    asked = namespace["tokenizer"].decode(namespace["inputs"]["input_ids"][0], skip_special_tokens=True)
    assert asked == f"good or bad: {text}"
    assert namespace["answers"] == fitted_t5.predict(text).tolist()
    assert namespace["answers"][0] in fitted_t5.labels_.words


def test_the_lines_for_sentlora_run_with_a_text_to_text_adapter(saved_t5: Path) -> None:
    block = next(b for b in python_blocks((saved_t5 / "README.md").read_text()) if "import SentimentLoRA" in b)
    namespace: dict[str, Any] = {}
    exec(block.replace("path/to/this/folder", str(saved_t5)), namespace)
    assert namespace["clf"].classes_.tolist() == ["negative", "positive"]


# --- every weight was trained, or over few bits ----------------------------------------------


@pytest.fixture(scope="module")
def saved_whole(tiny_bert: str, toy_reviews: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    settings = {"epochs": 1, "max_length": 32, "verbose": False}
    clf = SentimentLoRA(tiny_bert, adapter="full", **settings).fit(toy_reviews)
    return clf, clf.save(tmp_path_factory.mktemp("whole") / "model")


def test_the_card_of_a_full_fine_tuning_needs_no_peft(saved_whole: tuple[SentimentLoRA, Path]) -> None:
    clf, folder = saved_whole
    card = (folder / "README.md").read_text()
    assert "library_name: transformers\n" in card
    assert "- lora" not in card
    assert "# A sentiment classifier\n" in card
    assert "peft" not in card
    block = next(b for b in python_blocks(card) if "AutoModelForSequenceClassification" in b)
    namespace: dict[str, Any] = {}
    exec(block.replace("path/to/this/folder", str(folder)), namespace)
    np.testing.assert_allclose(namespace["logits"].detach(), clf.logits(["I loved it"]), rtol=0, atol=1e-5)
    assert namespace["labels"] == clf.predict(["I loved it"]).tolist()


def test_the_card_of_a_fully_trained_text_to_text_model_needs_no_peft(
    tiny_t5: str, toy_reviews: Any, tmp_path: Path
) -> None:
    settings = {"prompt": "good or bad:\n{text}", "epochs": 1, "max_length": 40, "verbose": False}
    clf = SentimentLoRA(tiny_t5, adapter="full", learning_rate=1e-3, **settings).fit(toy_reviews)
    folder = clf.save(tmp_path / "model")
    card = (folder / "README.md").read_text()
    assert "peft" not in card.lower()
    block = next(b for b in python_blocks(card) if "AutoModelForSeq2SeqLM" in b)
    namespace: dict[str, Any] = {}
    exec(block.replace("path/to/this/folder", str(folder)), namespace)
    own = clf._model.generate(**namespace["inputs"], max_new_tokens=10, num_beams=1, min_length=0)
    assert namespace["answers"] == clf._objective.tokenizer.batch_decode(own, skip_special_tokens=True)
    asked = namespace["tokenizer"].decode(namespace["inputs"]["input_ids"][0], skip_special_tokens=True)
    assert asked == "good or bad: I loved it"


@pytest.mark.parametrize("config", [CONFIG, TEXT_TO_TEXT], ids=["encoder", "text to text"])
def test_the_card_says_what_the_adapter_was_trained_over(config: SentimentConfig) -> None:
    over = dataclasses.replace(config, settings={"quantization": "4bit"})
    assert "trained over the base model's weights in 4bit, by bitsandbytes" in model_card(over, "x/y", None)
    assert "bitsandbytes" not in model_card(config, "x/y", None)
