from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import LoraConfig

from sentlora import LabelMap, MultiAdapter, SentimentLoRA
from sentlora.errors import AdapterFolderError, ConfigError, DataError, NotFittedError
from sentlora.inference import mixed
from sentlora.inference.mixed import Adapter, mixing_key
from sentlora.model.adapter import attach
from sentlora.model.classification import ClassificationObjective
from sentlora.sharing.folder import file_hash

TEXTS = ["good great film", "bad dull", "the plot was awful and dull " * 4, "", "great fun music", "a bad end"] * 2
MANY = TEXTS * 60  # more than two batches of 1,024 tokens for each of two adapters
PAIR = LabelMap(("negative", "positive"))
STARS = LabelMap.of([1, 2, 3])


def classifier(base: str, labels: LabelMap = PAIR, seed: int = 0, **settings: Any) -> SentimentLoRA:
    """Build a classifier whose adapter changes every score, without training it."""
    settings = {"max_length": 32, "labels": labels, "epochs": 0, "seed": seed, "verbose": False, **settings}
    clf = SentimentLoRA(base, **settings).fit(
        ["good", "bad", "fun"] * 2, [labels.raw[i % len(labels)] for i in range(6)]
    )
    torch.manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in clf._model.named_parameters():
            if ".lora_B." in name or ".modules_to_save." in name or ".ia3_l." in name:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return clf


@pytest.fixture(scope="module")
def kinds(tiny_bert: str) -> dict[str, SentimentLoRA]:
    """Adapters that differ in all that may differ over one base."""
    films = classifier(tiny_bert, max_length=8, truncation="tail")
    films.temperature_, films.threshold_ = 2.0, 0.9
    return {
        "films": films,
        "shop": classifier(tiny_bert, seed=1, r=4, targets="query,value"),
        "stars": classifier(tiny_bert, STARS, seed=2, variant="rslora"),
        "dora": classifier(tiny_bert, seed=3, variant="dora"),
        "pissa": classifier(tiny_bert, seed=4, variant="pissa"),
        "head": classifier(tiny_bert, seed=5, adapter="head"),
        "fields": classifier(tiny_bert, seed=6, prompt="Rate this. {title} {body}"),
    }


@pytest.fixture(scope="module")
def multi(kinds: dict[str, SentimentLoRA]) -> MultiAdapter:
    return MultiAdapter(kinds, verbose=False)


def weights_of(multi: MultiAdapter) -> dict[str, torch.Tensor]:
    model = next(iter(multi._members.values()))._model
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("characters", [4, 0], ids=["in shared batches", "merged"])
def test_every_adapter_scores_as_it_does_alone(
    kinds: dict[str, SentimentLoRA], multi: MultiAdapter, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed, "_CHARACTERS_PER_TOKEN", characters)
    before, texts = weights_of(multi), TEXTS * 3
    names = [list(kinds)[i % len(kinds)] for i in range(len(texts))]
    alone = {name: clf.predict_proba(texts) for name, clf in kinds.items()}
    found = multi.predict_proba(texts, adapter=names)
    labels = multi.predict(texts, adapter=names)
    for row, name in enumerate(names):
        assert list(found[row]) == kinds[name].classes_.tolist()
        np.testing.assert_allclose(list(found[row].values()), alone[name][row], rtol=0, atol=1e-5)
        assert labels[row] == kinds[name].predict([texts[row]])[0]
    for name in kinds:
        np.testing.assert_allclose(multi.predict_proba(texts, adapter=name), alone[name], rtol=0, atol=1e-5)
        others = [other for other in kinds if other not in (name, "stars")]
        assert all(np.abs(alone[name][:, 0] - alone[other][:, 0]).max() > 0.01 for other in others), "all alike"
    after = weights_of(multi)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items()), "the base came back changed"


def test_few_texts_of_like_adapters_share_a_batch_and_many_are_merged(
    multi: MultiAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[set[str] | None] = []
    merged = []
    model = multi._members["films"]._model
    hook = model.register_forward_pre_hook(
        lambda module, args, kwargs: batches.append(
            set(kwargs["adapter_names"]) if "adapter_names" in kwargs else None
        ),
        with_kwargs=True,
    )
    chosen = mixed.chosen
    monkeypatch.setattr(mixed, "chosen", lambda *args, merge: merged.append(merge) or chosen(*args, merge=merge))
    try:
        multi.predict(TEXTS, adapter=["films", "shop"] * 6)
        assert batches == [{"default", "adapter_1"}]
        assert merged == []
        batches.clear()
        multi.predict(MANY, adapter=["films"] * 360 + ["shop"] * 360)
        assert len(batches) >= 2
        assert not any(batches)
        assert merged == [True, True]
        merged.clear()
        multi.predict(TEXTS[:3], adapter=["films", "stars", "dora"])
        assert merged == [False] * 3, "another number of labels, and a kind that peft does not mix"
    finally:
        hook.remove()


def test_the_base_comes_back_when_scoring_fails(multi: MultiAdapter) -> None:
    before, model = weights_of(multi), multi._members["films"]._model
    with pytest.raises(ZeroDivisionError), mixed.chosen(model, "default", merge=True):
        assert any(not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
        raise ZeroDivisionError
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(getattr(layer, "merged", False) for layer in model.modules())


def test_one_kind_of_labels_gives_a_table(multi: MultiAdapter, kinds: dict[str, SentimentLoRA]) -> None:
    found = multi.predict_proba(TEXTS[:4], adapter=pd.Series(["shop", "films", "shop", "films"]))
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found[[0, 2]], kinds["shop"].predict_proba([TEXTS[0], TEXTS[2]]), rtol=0, atol=1e-5)
    assert multi.predict(TEXTS[:2], adapter=["shop", "films"]).dtype.kind == "U"
    mixed_labels = multi.predict(TEXTS[:2], adapter=["shop", "stars"])
    assert isinstance(mixed_labels[1], int)
    assert mixed_labels[1] in (1, 2, 3)
    assert multi.predict([], adapter=[]).shape == (0,)
    assert multi.predict_proba([], adapter="stars").shape == (0, 3)


def test_a_threshold_and_abstaining_are_those_of_the_adapter(
    multi: MultiAdapter, kinds: dict[str, SentimentLoRA]
) -> None:
    names = ["films", "shop"] * 6
    found = multi.predict(TEXTS, adapter=names, abstain_below=0.7)
    alone = {name: kinds[name].predict(TEXTS, abstain_below=0.7) for name in set(names)}
    assert found.tolist() == [alone[name][row] for row, name in enumerate(names)]
    assert None in found
    with pytest.raises(ConfigError, match="abstain_below must be a probability"):
        multi.predict(TEXTS, adapter=names, abstain_below=2)


def test_rows_of_fields_go_through_the_prompt_of_their_adapter(
    multi: MultiAdapter, kinds: dict[str, SentimentLoRA]
) -> None:
    table = pd.DataFrame({"title": ["good", "bad"], "body": ["film", "end"]})
    found = multi.predict_proba([{"title": "good", "body": "film"}, "bad end"], adapter=["fields", "shop"])
    np.testing.assert_allclose(found[0], kinds["fields"].predict_proba(table)[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(multi.predict_proba(table, adapter=["fields", "fields"])[0], found[0], rtol=0, atol=1e-5)
    assert np.abs(found[0] - kinds["fields"].predict_proba(["x"])[0]).max() > 1e-4


def test_evaluate_is_the_report_of_the_adapter(multi: MultiAdapter, kinds: dict[str, SentimentLoRA]) -> None:
    texts, y = TEXTS[:6], ["positive", "negative"] * 3
    report, alone = multi.evaluate(texts, y, adapter="films"), kinds["films"].evaluate(texts, y)
    np.testing.assert_allclose(report.scores, alone.scores, rtol=0, atol=1e-5)
    assert (report.threshold, report.temperature) == (0.9, 2.0)


def test_threads_take_turns(multi: MultiAdapter, kinds: dict[str, SentimentLoRA]) -> None:
    jobs = [("films", MANY), ("shop", TEXTS), ("dora", MANY[:200]), ("stars", MANY)] * 3
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda job: multi.predict_proba(job[1], adapter=[job[0]] * len(job[1])), jobs))
    alone = {name: kinds[name].predict_proba(MANY) for name in ("films", "shop", "dora", "stars")}
    for (name, texts), probabilities in zip(jobs, found, strict=True):
        np.testing.assert_allclose(probabilities, alone[name][: len(texts)], rtol=0, atol=1e-5)


def test_label_words_with_prompts_and_words_of_their_own(tiny_t5: str) -> None:
    kinds = {
        "english": classifier(tiny_t5, prompt="good or bad:\n{text}", max_length=40),
        "three": classifier(
            tiny_t5,
            LabelMap.of([1, 2, 3]).with_words(["bad", "neutral", "good"]),
            1,
            prompt="the {text}",
            max_length=40,
        ),
        "writes": classifier(tiny_t5, seed=2, prompt="a {text}", max_length=40, decode="generate"),
    }
    multi = MultiAdapter(kinds, verbose=False)
    names = [list(kinds)[i % 3] for i in range(len(TEXTS))]
    found = multi.predict_proba(TEXTS, adapter=names)
    labels = multi.predict(TEXTS, adapter=names)
    for row, name in enumerate(names):
        np.testing.assert_allclose(list(found[row].values()), kinds[name].predict_proba(TEXTS)[row], rtol=0, atol=1e-5)
        assert labels[row] == kinds[name].predict(TEXTS)[row]


def test_adapters_come_and_go(kinds: dict[str, SentimentLoRA], tmp_path: Path) -> None:
    folder = kinds["shop"].save(tmp_path / "shop")
    multi = MultiAdapter({"films": kinds["films"]}, verbose=False)
    n_before = len(weights_of(multi))
    multi.add("shop", folder)
    multi.add("stars", str(kinds["stars"].save(tmp_path / "stars")))
    assert multi.names == ["films", "shop", "stars"]
    assert multi.labels["stars"].classes.tolist() == [1, 2, 3]
    multi.remove("films")  # the one that the model was loaded with
    multi.remove("stars")
    np.testing.assert_allclose(
        multi.predict_proba(TEXTS, adapter="shop"), kinds["shop"].predict_proba(TEXTS), rtol=0, atol=1e-5
    )
    multi.add("films", kinds["films"])
    np.testing.assert_allclose(
        multi.predict_proba(TEXTS, adapter=["films", "shop"] * 6)[::2],
        kinds["films"].predict_proba(TEXTS)[::2],
        rtol=0,
        atol=1e-5,
    )
    multi.remove("shop")
    assert len(weights_of(multi)) == n_before, "something of the others is left"
    with pytest.raises(ConfigError, match="'films' is the only adapter"):
        multi.remove("films")


def test_the_overview_has_a_line_for_each_adapter(kinds: dict[str, SentimentLoRA], tiny_bert: str) -> None:
    multi = MultiAdapter({name: kinds[name] for name in ("shop", "stars", "head")}, verbose=False)
    head, _, _, *lines = str(multi).splitlines()
    count = kinds["shop"].trainable_parameters
    assert head.startswith(f"MultiAdapter over {tiny_bert}: {count.total - count.trainable:,} parameters, ")
    assert [line.split()[0] for line in lines] == ["shop", "stars", "head"]
    assert f"{count.trainable:,}" in lines[0]
    assert "lora r=4" in lines[0]
    assert "1, 2, 3" in lines[1]


def test_a_classifier_is_copied_and_stays_as_it_is(kinds: dict[str, SentimentLoRA], multi: MultiAdapter) -> None:
    assert multi._members["films"]._model is not kinds["films"]._model
    assert list(kinds["films"]._model.peft_config) == ["default"]


def test_a_classifier_that_is_not_fitted_is_refused(tiny_bert: str) -> None:
    with pytest.raises(NotFittedError):
        MultiAdapter({"films": SentimentLoRA(tiny_bert)})


@pytest.mark.parametrize(
    ("adapters", "words"),
    [
        ({}, "Expected adapters as a mapping from names to folders"),
        ("runs/films", "Expected adapters as a mapping from names to folders"),
        ({"films": 3}, "Expected an adapter folder, an id on the Hub or a fitted SentimentLoRA as 'films'; found int"),
        ({3: "films"}, "Expected the name of an adapter as a text; found 3"),
    ],
)
def test_what_are_no_adapters(adapters: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        MultiAdapter(adapters)


def test_what_cannot_share_a_base_is_told_with_both_names(
    kinds: dict[str, SentimentLoRA], tiny_bert: str, tiny_t5: str, tmp_path: Path
) -> None:
    multi = MultiAdapter({"films": kinds["shop"]}, verbose=False)
    before = weights_of(multi)
    for other, words in [
        (classifier(tiny_t5, prompt="a {text}"), r"'films' and 'x' cannot share .* in the base model: .*tiny-bert"),
        (classifier(tiny_bert, variant="ia3"), "in the kind of adapter: 'LORA' and 'IA3'"),
        (classifier(tiny_bert, adapter="full"), "'x' is a model of its own"),
        (classifier(tiny_bert, adapter="full").save(tmp_path / "full"), "'x' is a model of its own"),
    ]:
        with pytest.raises(ConfigError, match=words):
            multi.add("x", other)
    with pytest.raises(ConfigError, match="There is an adapter 'films' already"):
        multi.add("films", kinds["shop"])
    with pytest.raises(AdapterFolderError):
        multi.add("x", tmp_path / "nothing")
    assert multi.names == ["films"]
    assert set(weights_of(multi)) == set(before)
    both = MultiAdapter(
        {name: classifier(tiny_bert, seed=i, variant="ia3") for i, name in enumerate("ab")}, verbose=False
    )
    assert both.predict(TEXTS[:2], adapter=["a", "b"]).shape == (2,)


def test_another_revision_and_a_moved_base(kinds: dict[str, SentimentLoRA], tiny_bert: str, tmp_path: Path) -> None:
    folder = kinds["shop"].save(tmp_path / "shop")
    text = (folder / "sentlora.json").read_text()
    (folder / "sentlora.json").write_text(text.replace('"base_revision": null', '"base_revision": "v2"'))
    multi = MultiAdapter({"films": kinds["films"]}, verbose=False)
    with pytest.raises(
        ConfigError, match=r"differ in the revision of the base model: None and 'v2'.* pass base_model="
    ):
        multi.add("shop", folder)
    moved = MultiAdapter({"films": kinds["films"], "shop": folder}, base_model=tiny_bert, verbose=False)
    np.testing.assert_allclose(
        moved.predict_proba(TEXTS, adapter="shop"), kinds["shop"].predict_proba(TEXTS), rtol=0, atol=1e-5
    )


def test_an_adapter_that_does_not_fit_leaves_nothing_behind(
    kinds: dict[str, SentimentLoRA], tiny_bert: str, tmp_path: Path
) -> None:
    small = classifier(tiny_bert, targets="all-linear").save(tmp_path / "small")
    multi = MultiAdapter({"films": kinds["films"]}, base_model=tiny_bert, verbose=False)
    before = set(weights_of(multi))
    config = (small / "adapter_config.json").read_text()
    (small / "adapter_config.json").write_text(config.replace('"r": 8', '"r": 2'))
    record = json.loads((small / "sentlora.json").read_text())
    record["files"]["adapter_config.json"] = file_hash(small / "adapter_config.json")
    (small / "sentlora.json").write_text(json.dumps(record))
    with pytest.raises(AdapterFolderError, match=r"does not fit its base model: for .* expected shape \(2, 32\)"):
        multi.add("small", small)
    assert set(weights_of(multi)) == before
    assert multi.names == ["films"]


@pytest.mark.parametrize(
    ("texts", "adapter", "error", "words"),
    [
        (["good"], "film", ConfigError, "There is no adapter 'film'\\. There are: films, .*Did you mean 'films'"),
        (["good", "bad"], ["films", "x"], ConfigError, "There is no adapter 'x'\\. There are"),
        (["good"], [None], ConfigError, "There is no adapter None"),
        (["good"], 3, ConfigError, "Expected the name of an adapter, or a list with one for each text; found 3"),
        (["good", "bad"], ["films"], DataError, "one name of an adapter for each text; found 1 names for 2 texts"),
        (["good", None, None], ["films", "shop", "films"], DataError, "Of the 2 texts for 'films', with rows counted"),
    ],
)
def test_what_cannot_be_routed(multi: MultiAdapter, texts: Any, adapter: Any, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        multi.predict(texts, adapter=adapter)


def test_heads_of_several_layers_are_not_mixed(tiny_model: Any, tokenizer: Any) -> None:
    objective = ClassificationObjective(tokenizer, max_length=16)
    keys = {}
    for kind in ("bert", "roberta"):
        model = attach(tiny_model(kind), LoraConfig(target_modules=["query"]))
        keys[kind] = mixing_key(model, Adapter("default", objective, 2))
    assert keys["bert"] == (0, "right", ((2, 32),))
    assert keys["roberta"] is None


def test_a_head_of_several_layers_gets_the_size_of_its_labels(tiny_model: Any, tokenizer: Any, tmp_path: Path) -> None:
    tiny_model("roberta").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    kinds = {"pair": classifier(str(tmp_path)), "stars": classifier(str(tmp_path), STARS, seed=1)}
    multi = MultiAdapter(kinds, verbose=False)
    found = multi.predict_proba(TEXTS[:4], adapter=["pair", "stars"] * 2)
    for row, name in enumerate(["pair", "stars"] * 2):
        alone = kinds[name].predict_proba(TEXTS[:4])[row]
        np.testing.assert_allclose(list(found[row].values()), alone, rtol=0, atol=1e-5)


def test_which_adapter_is_meant_has_to_be_said(multi: MultiAdapter) -> None:
    words = r"Say which adapter is meant: adapter='films' for all texts, or .*\. There are: films, shop, "
    for ask in (multi.predict, multi.predict_proba, multi.evaluate):
        with pytest.raises(ConfigError, match=words):
            ask(["good"])
    with pytest.raises(ConfigError, match=r"takes the name of one adapter, .*; found .*Evaluate one after the other"):
        multi.evaluate(["good"], ["positive"], adapter=["films"])
