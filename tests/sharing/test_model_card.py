from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.repocard_data import model_index_to_eval_results
from peft import LoraConfig, TaskType

from sentlora import SentimentLoRA
from sentlora.config import SentimentConfig
from sentlora.labels import LabelMap
from sentlora.settings import Settings
from sentlora.sharing.folder import read_folder
from sentlora.sharing.model_card import HERE, model_card

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


# --- figures, data, licence -------------------------------------------------------------------

MEASURED = {
    "validation": {"epoch": 2.0, "accuracy": 0.9},
    "imdb:test": {
        "accuracy": 0.87654321,
        "f1": 0.8,
        "f1_macro": 0.75,
        "n": 1234,
        "positive_label": "positive",
        "confusion_matrix": [[600, 17], [40, 570]],
        "intervals": {"accuracy": [0.8501, 0.8999], "f1": [0.7, 0.85]},
    },
    "my reviews.csv": {"accuracy": 0.5, "n": 10},
}
KNOWN = dataclasses.replace(
    CONFIG,
    labels=LabelMap(("negative", "positive")),
    license="cc-by-4.0",
    language="en",
    settings={**CONFIG.settings, "keep": "best"},
    versions={"sentlora": "1.2", "peft": "3.4"},
    data={
        "splits": {
            "train": {
                "rows": 2000,
                "classes": {"negative": 1500, "positive": 500},
                "characters": {"mean": 1234.5, "50%": 980.0, "max": 10_001},
            }
        },
        "datasets": ["stanfordnlp/imdb"],
    },
)


def test_the_figures_stand_with_their_intervals_and_rows() -> None:
    card = model_card(KNOWN, "x/y", MEASURED)
    assert "| imdb:test | accuracy | 0.8765 | 0.8501 to 0.8999 | 1,234 |" in card
    assert "| imdb:test | f1_macro | 0.7500 |  | 1,234 |" in card, "no interval is made up"
    assert "| my reviews.csv | accuracy | 0.5000 |  | 10 |" in card
    assert "| validation | accuracy | 0.9000 |  |  |" in card
    assert "On `validation` the epoch was chosen, so these figures are a little too good." in card
    assert "Precision, recall, F1, TPR and FPR speak of `positive`." in card
    assert "| **negative** | 600 | 17 |\n| **positive** | 40 | 570 |" in card
    assert "7 answers were no label." in card
    kept_last = dataclasses.replace(KNOWN, settings={"keep": "last"})
    assert "the epoch was chosen" not in model_card(kept_last, "x/y", MEASURED)


def test_the_training_data_are_told_in_figures() -> None:
    card = model_card(KNOWN, "x/y", None)
    assert "| train | 2,000 | negative 1,500 (75.0 %), positive 500 (25.0 %) | 1,234 | 980 | 10,001 |" in card
    assert "## Data" not in model_card(CONFIG, "x/y", None), "an older folder does not know"


def test_the_limits_and_the_licence_are_told() -> None:
    card = model_card(KNOWN, "x/y", None)
    assert "A text of more than 77 tokens is cut: its beginning counts." in card
    assert "## Licence\n\n`cc-by-4.0`." in card
    assert "Made with sentlora 1.2, peft 3.4." in card
    assert "## Licence\n\nNone was given." in model_card(CONFIG, "x/y", None)


def test_the_hub_reads_every_figure(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(model_card(KNOWN, "org/base", MEASURED, place="me/imdb-lora"), encoding="utf-8")
    data = huggingface_hub.metadata_load(path)
    assert data["base_model"] == "org/base"
    assert data["base_model_relation"] == "adapter"
    assert data["datasets"] == ["stanfordnlp/imdb"]
    assert (data["license"], data["language"]) == ("cc-by-4.0", "en")
    assert data["metrics"] == ["accuracy", "f1"]
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "imdb-lora"
    found = [(r.dataset_type, r.dataset_name, r.dataset_split, r.metric_name, r.metric_value) for r in results]
    assert found == [
        ("stanfordnlp/imdb", "imdb:test", "test", "Accuracy", 0.8765),
        ("stanfordnlp/imdb", "imdb:test", "test", "F1 of positive", 0.8),
        ("stanfordnlp/imdb", "imdb:test", "test", "Macro F1", 0.75),
        ("my-reviews.csv", "my reviews.csv", None, "Accuracy", 0.5),
    ], "what chose the epoch is no result"
    assert {r.task_type for r in results} == {"text-classification"}
    assert huggingface_hub.ModelCard.load(path).data.eval_results == results


def test_nothing_is_claimed_that_is_not_known() -> None:
    data = huggingface_hub.ModelCard(model_card(CONFIG, "x/y", {"validation": {"f1": 0.5}})).data.to_dict()
    assert not {"model-index", "datasets", "license", "language", "metrics"} & set(data)


def test_a_card_on_the_hub_names_its_repository_and_the_base_there() -> None:
    card = model_card(CONFIG, "sentence-transformers/all-MiniLM-L6-v2", None, place="me/x")
    assert card.count('"me/x"') == 3
    assert HERE not in card
    assert "Base model: `sentence-transformers/all-MiniLM-L6-v2`" in card
    assert "on a machine without the package" in CARD
    assert "on a machine without the package" not in card


def test_a_class_with_odd_characters_breaks_no_table() -> None:
    config = dataclasses.replace(KNOWN, labels=LabelMap(("bad|worse", "good\nbetter")))
    card = model_card(config, "x/y", MEASURED)
    assert "| **bad\\|worse** | 600 | 17 |\n| **good better** | 40 | 570 |" in card


def test_a_folder_that_is_saved_again_says_the_same(saved: Path, held_out_reviews: Any, tmp_path: Path) -> None:
    """Figures of a loaded folder keep their intervals, and a licence stays until another is given."""
    clf = SentimentLoRA.load(saved, verbose=False)
    clf.evaluate(held_out_reviews)
    first = clf.save(tmp_path / "first", license="mit", language="en")
    kept = json.loads((first / "metrics.json").read_text())["a DataFrame"]
    assert kept["n"] == 100
    assert sum(map(sum, kept["confusion_matrix"])) == 100
    low, high = kept["intervals"]["accuracy"]
    assert low <= kept["accuracy"] <= high
    assert kept["positive_label"] == "positive"
    second = SentimentLoRA.load(first, verbose=False).save(tmp_path / "second")
    for name in ("README.md", "metrics.json"):
        assert (second / name).read_text() == (first / name).read_text()
    assert dataclasses.replace(read_folder(second), files={}) == dataclasses.replace(read_folder(first), files={})
    assert "license: mit" in (second / "README.md").read_text()
    record = json.loads((second / "sentlora.json").read_text())
    assert record["data"]["splits"]["train"]["rows"] + record["data"]["splits"]["validation"]["rows"] == 120
    assert "good" not in json.dumps(record["data"]), "no text is kept"
    huggingface_hub.ModelCard.load(second / "README.md")
