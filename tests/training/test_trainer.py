from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from peft import get_peft_model_state_dict
from sklearn.utils.class_weight import compute_class_weight
from transformers import Seq2SeqTrainer, TrainerCallback, TrainingArguments, set_seed

from sentlora.data.prompts import Prompt
from sentlora.errors import ConfigError, NonFiniteLossError
from sentlora.evaluation.metrics import compute, headline
from sentlora.labels import LabelMap
from sentlora.model.adapter import attach, lora_config
from sentlora.model.backbone import load_base, load_tokenizer
from sentlora.model.classification import ClassificationObjective
from sentlora.model.label_words import LabelWordsObjective
from sentlora.model.objective import Objective
from sentlora.settings import Settings
from sentlora.training.arguments import training_arguments
from sentlora.training.run import encode_rows, train
from sentlora.training.trainer import TrainingData, build_trainer, class_weight_tensor, weighted_loss

PAIR = LabelMap(("negative", "positive"))
THREE = LabelMap(("negative", "neutral", "positive"))
SMALL = Settings(epochs=2, learning_rate=5e-3, batch_size=8, max_length=32)


def figures(prediction: Any) -> dict[str, float]:
    return headline(compute(prediction.label_ids, prediction.predictions, names=PAIR.names, positive_id=1))


def state(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in get_peft_model_state_dict(model).items()}


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], **tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], **({"rtol": 0, "atol": 0} | tolerance), msg=name)


@dataclass
class Run:
    """A model with its rows, the same for every run with the same settings, until it is trained."""

    model: Any
    objective: Objective
    data: TrainingData
    settings: Settings
    history: list[dict[str, float]] = field(default_factory=list)
    kept: dict[str, float] | None = None

    def train(self, compute_metrics: Callable[[Any], dict[str, float]] = figures, **options: Any) -> Run:
        outcome = train(
            self.model,
            self.objective,
            self.data,
            self.settings,
            PAIR,
            compute_metrics=compute_metrics,
            **{"verbose": False, **options},
        )
        self.history, self.kept = outcome.history, outcome.kept
        return self


NewRun = Callable[..., Run]


@pytest.fixture
def new_run(tiny_bert: str, toy_reviews: pd.DataFrame, held_out_reviews: pd.DataFrame) -> NewRun:
    def make(settings: Settings = SMALL, rows: int = 40) -> Run:
        set_seed(settings.seed)
        base = load_base(tiny_bert, PAIR)
        model = attach(base, lora_config(base, settings), train_head=settings.train_head)
        objective = ClassificationObjective(load_tokenizer(tiny_bert), max_length=settings.max_length)
        parts = (toy_reviews[:rows], held_out_reviews[:20])
        data = [encode_rows(objective, part["text"].tolist(), PAIR.encode(part["label"])) for part in parts]
        return Run(model, objective, TrainingData(*data), settings)

    return make


# --- class weights -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_balanced_weights_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.concatenate([[0, 1, 2], rng.choice(3, size=50, p=[0.7, 0.2, 0.1])])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=ids)
    np.testing.assert_allclose(class_weight_tensor("balanced", THREE, ids.tolist()), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "weights",
    [
        [1.0, 2.0, 0.5],
        (1, 2, 0.5),
        np.array([1.0, 2.0, 0.5]),
        {"neutral": 2.0, "positive": 0.5, "negative": 1.0},
        {0: 1.0, 2: 0.5, 1: 2.0},
    ],
    ids=str,
)
def test_weights_may_be_given_by_position_name_or_id(weights: Any) -> None:
    assert class_weight_tensor(weights, THREE, [0, 1, 2]).tolist() == [1.0, 2.0, 0.5]


@pytest.mark.parametrize(
    "weights", [[1.0, 2.0], [1.0, 2.0, 0.0], [1, 1, -1], [1, 1, float("nan")], {"negative": 1, "positive": 2}], ids=str
)
def test_one_positive_weight_for_each_class(weights: Any) -> None:
    with pytest.raises(ConfigError, match="class_weights needs one positive weight for each of: 0 = negative, 1 = neu"):
        class_weight_tensor(weights, THREE, [0, 1, 2])


def test_a_weight_for_an_unknown_class_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"class_weights names 'good', .* but the labels are: 0 = neg"):
        class_weight_tensor({"good": 1.0, "negative": 1.0, "neutral": 1.0}, THREE, [0, 1, 2])


def test_the_balanced_loss_of_a_whole_data_set_is_that_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 20 + [1] * 5 + [2] * 7)
    logits = torch.randn(32, 3, generator=generator)
    weights = class_weight_tensor("balanced", THREE, labels.tolist())
    expected = torch.nn.functional.cross_entropy(logits, labels, weight=weights)
    torch.testing.assert_close(weighted_loss(weights)({"logits": logits}, labels), expected)


def test_the_weighted_loss_of_micro_batches_adds_up_to_that_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, logits = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2]), torch.randn(8, 3, generator=generator)
    weights = torch.tensor([0.5, 3.0, 2.0])
    loss = weighted_loss(weights)
    per_row = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    expected = (per_row * weights[labels]).mean()
    torch.testing.assert_close(loss({"logits": logits}, labels), expected)
    parts = [loss({"logits": logits[i : i + 2]}, labels[i : i + 2], num_items_in_batch=8) for i in range(0, 8, 2)]
    torch.testing.assert_close(sum(parts), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_smoothed_labels_are_those_of_torch(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    labels, logits = torch.tensor([0, 2, 1, 1, 0]), torch.randn(5, 3, generator=generator)
    expected = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits, labels)
    torch.testing.assert_close(weighted_loss(None, smoothing)({"logits": logits}, labels), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_smoothed_labels_of_the_user_s_own_arguments_are_trained_on(
    new_run: NewRun, tmp_path: Path, smoothing: float
) -> None:
    run = new_run(Settings(dropout=0.0, max_length=32, head_start="random"), rows=8)
    with torch.inference_mode():
        batch = run.objective.collate(run.data.train.rows)
        logits = run.objective.scores(run.model.eval(), batch)
    expected = torch.nn.functional.cross_entropy(logits, batch["labels"], label_smoothing=smoothing).item()
    args = TrainingArguments(
        str(tmp_path),
        num_train_epochs=1,
        per_device_train_batch_size=8,
        label_smoothing_factor=smoothing,
        eval_strategy="epoch",
        logging_strategy="epoch",
        save_strategy="no",
        remove_unused_columns=False,
        disable_tqdm=True,
        use_cpu=True,
    )
    (row,) = run.train(args=args).history
    assert row["train_loss"] == pytest.approx(expected, abs=2e-4)
    plain = torch.nn.functional.cross_entropy(logits, batch["labels"]).item()
    assert (abs(expected - plain) > 0.01) == (smoothing > 0)


@pytest.mark.parametrize("weights", [None, [1.0, 5.0]])
def test_accumulated_gradients_are_those_of_the_whole_batch(new_run: NewRun, weights: Any, tmp_path: Path) -> None:
    settings = Settings(dropout=0.0, class_weights=weights, max_length=32)

    def one_step(batch: int, accumulate: int) -> dict[str, torch.Tensor]:
        args = TrainingArguments(
            str(tmp_path / f"{batch}"),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulate,
            max_steps=1,
            learning_rate=1e-3,
            optim="sgd",
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        run = new_run(settings)
        before = state(run.model)
        after = state(run.train(args=args).model)
        assert any(not torch.equal(before[name], after[name]) for name in before)
        return after

    assert_same(one_step(2, 4), one_step(8, 1), atol=1e-6)


def test_class_weights_shift_what_is_predicted(new_run: NewRun) -> None:
    shares = []
    for weights in ([1.0, 20.0], [20.0, 1.0]):
        seen: list[float] = []

        def share(prediction: Any, seen: list[float] = seen) -> dict[str, float]:
            seen.append(float((prediction.predictions.argmax(axis=1) == 1).mean()))
            return figures(prediction)

        settings = Settings(
            epochs=2,
            learning_rate=1e-2,
            batch_size=8,
            max_length=32,
            class_weights=weights,
            head_start="random",  # from a probe it learns the rule before the weights can bend it
        )
        new_run(settings).train(share)
        shares.append(seen[-1])
    assert shares[0] > 0.8
    assert shares[1] < 0.2


# --- what a run leaves behind --------------------------------------------------------------


def test_one_row_for_each_epoch(new_run: NewRun, capsys: pytest.CaptureFixture) -> None:
    rows = new_run().train().history
    assert [row["epoch"] for row in rows] == [1.0, 2.0]
    expected = {"epoch", "train_loss", "validation_loss", "accuracy", "precision", "recall", "f1", "tpr", "fpr"}
    for row in rows:
        assert set(row) == expected | {"f1_macro", "roc_auc"}
        assert all(math.isfinite(value) for value in row.values())
        assert row["tpr"] == row["recall"]
    assert rows[1]["train_loss"] < rows[0]["train_loss"]
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_the_table_is_printed_on_standard_error(new_run: NewRun, capsys: pytest.CaptureFixture) -> None:
    rows = new_run().train(verbose=True).history
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    heading = next(i for i, line in enumerate(lines) if "train loss" in line)
    for word in ("epoch", "val. loss", "accuracy", "precision", "recall", "F1", "TPR", "FPR"):
        assert word in lines[heading]
    for row, line in zip(rows, lines[heading + 1 :], strict=False):
        assert f"{row['train_loss']:.4f}" in line
        assert f"{row['accuracy']:.4f}" in line
    assert "{'" not in captured.err  # none of upstream's dictionaries


def test_a_user_s_own_arguments_give_the_same_table(new_run: NewRun, tmp_path: Path) -> None:
    args = TrainingArguments(str(tmp_path), num_train_epochs=1, eval_strategy="epoch", disable_tqdm=True, use_cpu=True)
    (row,) = new_run().train(args=args).history
    assert {"validation_loss", "accuracy", "f1_macro"} <= set(row)


def test_no_epochs_leave_the_model_as_it_was(new_run: NewRun) -> None:
    run = new_run(Settings(epochs=0))
    before = state(run.model)
    assert run.train().history == []
    assert_same(state(run.model), before)


def test_a_frozen_head_is_not_trained(new_run: NewRun) -> None:
    run = new_run(Settings(epochs=1, batch_size=8, learning_rate=1e-2, train_head=False))
    before = state(run.model)
    after = state(run.train().model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("lora_" in name for name in changed)


def test_the_best_epoch_is_the_one_that_stays(new_run: NewRun) -> None:
    run = new_run(Settings(epochs=3, learning_rate=5e-3, batch_size=8, max_length=32))
    seen = []

    def middle_is_best(prediction: Any) -> dict[str, float]:
        seen.append(state(run.model))
        return figures(prediction) | {"f1_macro": (0.1, 0.9, 0.5)[len(seen) - 1]}

    run.train(middle_is_best)
    assert len(seen) == 3
    assert_same(state(run.model), seen[1])
    assert any(not torch.equal(seen[1][name], seen[2][name]) for name in seen[1])


def test_training_stops_early(new_run: NewRun) -> None:
    settings = Settings(epochs=10, batch_size=8, learning_rate=5e-3, max_length=32, early_stopping=2)
    scores = iter((0.2, 0.6, 0.5, 0.6, 0.9, 1.0))  # an equal score is no better
    rows = new_run(settings).train(lambda prediction: figures(prediction) | {"f1_macro": next(scores)}).history
    assert [row["f1_macro"] for row in rows] == [0.2, 0.6, 0.5, 0.6]


def test_early_stopping_needs_a_best_model(new_run: NewRun, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="early_stopping needs load_best_model_at_end=True"):
        new_run(Settings(early_stopping=1)).train(args=TrainingArguments(str(tmp_path), use_cpu=True))


def test_without_an_output_dir_no_checkpoint_stays(
    new_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    new_run().train()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("keep", "lasting"), [("best", False), ("last", False), ("last", True)])
def test_checkpoints_are_written_where_they_are_needed(
    new_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, lasting: bool
) -> None:
    """To find the best epoch again, or to be gone on from: elsewhere they only cost time."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen: list[int] = []

    def count(prediction: Any) -> dict[str, float]:
        seen.append(len(list(tmp_path.rglob("checkpoint-*"))))
        return figures(prediction)

    settings = Settings(epochs=2, batch_size=8, max_length=32, keep=keep)
    run = new_run(settings).train(count, output_dir=tmp_path / "out" if lasting else None)
    written = keep == "best" or lasting
    assert seen == [0, 1 if written else 0]
    assert len(list(tmp_path.rglob("checkpoint-*"))) == (2 if lasting else 0)
    assert run.kept == (run.history[-1] if keep == "last" else max(run.history, key=lambda row: row["f1_macro"]))


class Rows(torch.utils.data.Dataset):
    """The same rows in a dataset that knows nothing of lengths: upstream goes through it in order."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.rows[index]


def test_evaluation_in_batches_of_like_lengths_gives_the_same_figures(new_run: NewRun, tmp_path: Path) -> None:
    run = new_run()
    # Texts of very different lengths, and a last batch that is not full.
    texts = [word * (1 + 7 * i % 23) for i, word in enumerate(["good ", "bad ", "the film "] * 7)]
    rows = encode_rows(run.objective, texts, [i % 2 for i in range(len(texts))])
    shapes: list[tuple[int, int]] = []
    run.model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: shapes.append(tuple(inputs[0].shape))
    )
    trainer, _ = build_trainer(
        run.model,
        run.objective,
        run.data,
        training_arguments(run.settings, tmp_path, verbose=False),
        compute_metrics=figures,
        verbose=False,
    )
    timings = {"eval_runtime", "eval_samples_per_second", "eval_steps_per_second"}
    found, tokens = [], []
    for data in (rows, Rows(rows.rows)):
        shapes.clear()
        metrics = trainer.evaluate(data)
        found.append({name: value for name, value in metrics.items() if name not in timings})
        tokens.append(sum(count * width for count, width in shapes))
        assert sum(count for count, _ in shapes) == len(texts)
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert {"eval_loss", "eval_f1_macro", "eval_accuracy"} <= set(found[0])
    assert 0 < found[0]["eval_accuracy"] < 1  # figures that another pairing of rows and labels would change
    assert tokens[0] < 0.8 * tokens[1]  # less padding: the batches did differ


# --- which rows make a batch ---------------------------------------------------------------


def batched(run: Run, folder: Path, *, accumulate: int = 1, **values: Any) -> tuple[list[float], dict[str, Any], int]:
    """Return the logged losses of a few steps, the adapter behind them, and the passes through the model."""
    args = training_arguments(run.settings, folder, verbose=False)
    args.optim, args.gradient_accumulation_steps, args.logging_strategy = "sgd", accumulate, "steps"
    args.logging_steps, args.eval_strategy, args.save_strategy, args.load_best_model_at_end = 1, "no", "no", False
    for name, value in values.items():
        setattr(args, name, value)
    losses: list[float] = []
    passes: list[int] = []

    class Logged(TrainerCallback):
        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            losses.extend([logs["loss"]] if "loss" in logs else [])

    handle = run.model.get_input_embeddings().register_forward_hook(lambda *_: passes.append(1))
    run.train(args=args, callbacks=[Logged()])
    handle.remove()
    return losses, state(run.model), len(passes)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_micro_batches_are_random_batches_with_less_work(new_run: NewRun, tmp_path: Path, accumulate: int) -> None:
    """The loss that is logged is that of the whole step, and so is the gradient."""

    def run(batching: str, tokens: int | None = None, seed: int = 0) -> tuple[list[float], dict[str, Any], int]:
        settings = Settings(
            epochs=2,
            learning_rate=0.1,
            batch_size=8,
            dropout=0.0,
            max_length=32,
            class_weights=[1.0, 4.0],
            batching=batching,
            tokens_per_batch=tokens,
            seed=seed,
            head_start="random",
        )
        return batched(new_run(settings, rows=36), tmp_path / batching, accumulate=accumulate)

    (losses, adapter, passes), (plain, expected, whole) = run("micro", 20), run("random")
    assert passes > 2 * whole
    assert len(set(plain)) > 3
    assert losses == pytest.approx(plain, abs=1e-5)
    assert_same(adapter, expected, atol=1e-5)
    assert max(abs(value).max() for name, value in adapter.items() if "lora_B" in name) > 1e-3, "it has learned"
    others, _, _ = run("grouped")
    assert others != pytest.approx(plain, abs=1e-3), "the batches have other rows"


def test_micro_batches_of_answers_are_random_batches_with_less_work(new_text_run: NewRun, tmp_path: Path) -> None:
    def run(batching: str, tokens: int | None = None) -> tuple[list[float], dict[str, Any], int]:
        settings = Settings(
            epochs=1,
            learning_rate=0.01,
            batch_size=6,
            dropout=0.0,
            max_length=40,
            batching=batching,
            tokens_per_batch=tokens,
            class_weights=[1.0, 4.0, 0.5],
            targets="attention",
        )
        made = new_text_run(settings)
        args = training_arguments(settings, tmp_path, verbose=False)
        args.optim, args.eval_strategy, args.save_strategy, args.load_best_model_at_end = "sgd", "no", "no", False
        passes: list[int] = []
        made.model.get_encoder().register_forward_hook(lambda *_: passes.append(1))
        trainer, _ = build_trainer(
            made.model,
            made.objective,
            made.data,
            args,
            compute_metrics=text_figures,
            class_weights=torch.tensor(settings.class_weights),
            cut_to=tokens,
            verbose=False,
        )
        loss = trainer.train().training_loss
        return [loss], state(made.model), len(passes)

    (loss, adapter, passes), (plain, expected, whole) = run("micro", 50), run("random")
    assert (whole, passes > 4) == (2, True)
    assert loss == pytest.approx(plain, abs=1e-5)
    assert_same(adapter, expected, atol=1e-5)


@pytest.mark.parametrize("batching", ["micro", "random"])
def test_random_batches_go_on_in_the_middle_of_an_epoch(new_run: NewRun, tmp_path: Path, batching: str) -> None:
    settings = Settings(epochs=2, batch_size=8, dropout=0.2, max_length=32, batching=batching)

    def run(folder: str, **options: Any) -> dict[str, torch.Tensor]:
        args = training_arguments(settings, tmp_path / folder, verbose=False)
        args.save_strategy, args.save_steps, args.save_total_limit = "steps", 3, None
        args.load_best_model_at_end = False
        return state(new_run(settings).train(args=args, **options).model)

    whole = run("whole")
    shutil.copytree(tmp_path / "whole" / "checkpoint-3", tmp_path / "cut" / "checkpoint-3")
    assert_same(run("cut", resume=True), whole)


def one_training_step(run: Run, folder: Path, cut_to: int | None, *, scale: float | None = None) -> dict[str, Any]:
    """Return the gradients of one step over all rows."""
    args = training_arguments(run.settings, folder, verbose=False)
    trainer, _ = build_trainer(
        run.model, run.objective, run.data, args, compute_metrics=figures, cut_to=cut_to, verbose=False
    )
    if scale is not None:
        trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    model = trainer.model_wrapped
    if torch.distributed.is_initialized():
        model = torch.nn.parallel.DistributedDataParallel(run.model)
        model.register_comm_hook(SENT, lambda sent, bucket: _counted(sent, bucket))  # torch reads annotations
    trainer.training_step(model, run.objective.collate(run.data.train.rows))
    return {n: p.grad.clone() for n, p in run.model.named_parameters() if p.grad is not None}


def test_a_loss_that_is_scaled_is_scaled_alike_in_every_part(new_run: NewRun, tmp_path: Path) -> None:
    settings = Settings(dropout=0.0, max_length=32, head_start="random")
    plain = one_training_step(new_run(settings), tmp_path, None)
    found = one_training_step(new_run(settings), tmp_path, 60, scale=1024.0)
    assert_same({name: value / 1024 for name, value in found.items()}, plain, atol=1e-6)


SENT: list[int] = []


def _counted(sent: list[int], bucket: Any) -> Any:
    sent.append(1)
    future: Any = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


def test_processes_send_their_gradients_once_for_all_parts(
    new_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(dropout=0.0, max_length=32, head_start="random")
    expected = one_training_step(new_run(settings), tmp_path, None)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        sent = {}
        for cut_to in (None, 60):
            SENT.clear()
            run = new_run(settings)
            assert_same(one_training_step(run, tmp_path, cut_to), expected, atol=1e-6)
            sent[cut_to] = len(SENT)
    finally:
        torch.distributed.destroy_process_group()
    assert sent[60] == sent[None] > 0


def test_a_model_that_was_trained_in_half_precision_predicts_in_full(new_run: NewRun, tmp_path: Path) -> None:
    args = TrainingArguments(
        str(tmp_path),
        bf16=True,
        use_cpu=True,
        num_train_epochs=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    settings = Settings(batch_size=8, max_length=32, tokens_per_batch=60, head_start="random")
    run = new_run(settings)
    seen: list[bool] = []
    run.model.get_input_embeddings().register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    run.train(args=args)
    assert len(seen) > 5 and all(seen)
    seen.clear()
    with torch.inference_mode():
        run.objective.scores(run.model.eval(), run.objective.collate(run.data.validation.rows))
    assert seen == [False]


# --- a loss that is no number --------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_the_run_at_its_step(new_run: NewRun) -> None:
    run = new_run()
    with torch.no_grad():
        next(p for n, p in run.model.named_parameters() if "lora_A" in n).fill_(float("nan"))
    words = r"The training loss became nan at step 1\. Lower learning_rate \(now 0.005\), or look for broken rows"
    with pytest.raises(NonFiniteLossError, match=words):
        run.train()


def test_a_learning_rate_that_blows_up_stops_the_run(new_run: NewRun) -> None:
    settings = Settings(epochs=2, batch_size=8, learning_rate=1e30, warmup=0.0, max_length=32)
    with pytest.raises(NonFiniteLossError, match=r"became (nan|inf) at step [23]\. Lower learning_rate \(now 1e\+30\)"):
        new_run(settings).train()


# --- going on --------------------------------------------------------------------------------


class Interrupted(Exception):
    pass


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(new_run: NewRun, tmp_path: Path) -> None:
    settings = Settings(epochs=3, learning_rate=5e-3, batch_size=8, max_length=32, dropout=0.2)
    whole = new_run(settings).train(output_dir=tmp_path / "whole")
    calls = []

    def cut_off_in_the_second_epoch(prediction: Any) -> dict[str, float]:
        calls.append(None)
        if len(calls) == 2:
            raise Interrupted
        return figures(prediction)

    with pytest.raises(Interrupted):
        new_run(settings).train(cut_off_in_the_second_epoch, output_dir=tmp_path / "cut")
    resumed = new_run(settings).train(output_dir=tmp_path / "cut", resume=True)
    assert_same(state(resumed.model), state(whole.model))
    assert resumed.history[-1] == whole.history[-1]
    assert resumed.history == whole.history
    assert resumed.kept == whole.kept


def test_a_run_that_was_gone_on_with_keeps_an_earlier_epoch_where_that_was_better(
    new_run: NewRun, tmp_path: Path
) -> None:
    settings = Settings(epochs=3, learning_rate=5e-3, batch_size=8, max_length=32, keep="best")
    scores = iter((0.9, None, 0.2, 0.3))

    def score(prediction: Any) -> dict[str, float]:
        value = next(scores)
        if value is None:
            raise Interrupted
        return figures(prediction) | {"f1_macro": value}

    with pytest.raises(Interrupted):
        new_run(settings).train(score, output_dir=tmp_path)
    resumed = new_run(settings).train(score, output_dir=tmp_path, resume=True)
    assert [(row["epoch"], row["f1_macro"]) for row in resumed.history] == [(1, 0.9), (2, 0.2), (3, 0.3)]
    assert resumed.kept == resumed.history[0]


@pytest.mark.parametrize("keep", ["best", "last"])
def test_a_finished_run_is_gone_on_with_to_the_same_end(new_run: NewRun, tmp_path: Path, keep: str) -> None:
    settings = Settings(epochs=2, learning_rate=5e-3, batch_size=8, max_length=32, keep=keep)
    scores = iter((0.9, 0.2))
    first = new_run(settings).train(lambda p: figures(p) | {"f1_macro": next(scores)}, output_dir=tmp_path)
    again = new_run(settings).train(output_dir=tmp_path, resume=True)
    assert_same(state(again.model), state(first.model))
    assert again.history == first.history
    assert again.kept == first.kept == first.history[0 if keep == "best" else 1]


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_resumed_in_the_middle_of_an_epoch_is_the_same_bit_for_bit(
    new_run: NewRun, tmp_path: Path, accumulate: int
) -> None:
    def arguments(folder: str) -> TrainingArguments:
        return TrainingArguments(
            str(tmp_path / folder),
            num_train_epochs=2,
            per_device_train_batch_size=4,
            gradient_accumulation_steps=accumulate,
            learning_rate=5e-3,
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            save_strategy="steps",
            save_steps=3,
            disable_tqdm=True,
            use_cpu=True,
        )

    settings = Settings(dropout=0.2, max_length=32)
    rows = 32  # 8 or 4 steps an epoch: step 3 is in the middle of the first
    whole = new_run(settings, rows).train(args=arguments("whole"))
    shutil.copytree(tmp_path / "whole" / "checkpoint-3", tmp_path / "cut" / "checkpoint-3")
    resumed = new_run(settings, rows).train(args=arguments("cut"), resume=True)
    assert_same(state(resumed.model), state(whole.model))


def test_resuming_before_the_first_checkpoint_begins(
    new_run: NewRun, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "checkpoint-1" / "sentlora_checkpoint.json").write_text('{"whole": false}')
    begun = state(new_run().train(output_dir=tmp_path, resume=True, verbose=True).model)
    assert f"no checkpoint in {str(tmp_path)!r} yet: training begins anew" in capsys.readouterr().err
    assert_same(begun, state(new_run().train().model))


def test_two_runs_with_one_seed_are_the_same_and_with_two_differ(new_run: NewRun) -> None:
    first, second = (state(new_run().train().model) for _ in range(2))
    assert_same(first, second)
    other = state(new_run(Settings(epochs=2, learning_rate=5e-3, batch_size=8, max_length=32, seed=1)).train().model)
    assert any(not torch.equal(first[name], other[name]) for name in first)


# --- models that write their answer ----------------------------------------------------------

WORDS = LabelMap(("bad", "neutral", "very good"))  # their answers take two, three and three tokens


@pytest.fixture
def new_text_run(tiny_t5: str) -> NewRun:
    def make(settings: Settings = Settings(max_length=40), rows: int = 12) -> Run:  # noqa: B008
        set_seed(settings.seed)
        base = load_base(tiny_t5, WORDS)
        for module in base.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):  # that of T5's attention is no module
                module.dropout = 0.0
        model = attach(base, lora_config(base, settings))
        objective = LabelWordsObjective(
            load_tokenizer(tiny_t5), WORDS, Prompt("good or bad:\n{text}"), base.config, max_length=settings.max_length
        )
        # Of very different lengths, and a last batch that is not full.
        texts = [word * (1 + 7 * i % 11) for i, word in enumerate(["bad ", "the film ", "good "] * 7)]
        ids = [i % 3 for i in range(len(texts))]
        data = [encode_rows(objective, texts[:n], ids[:n]) for n in (rows, 11)]
        return Run(model, objective, TrainingData(*data), settings)

    return make


def text_figures(prediction: Any) -> dict[str, float]:
    return headline(compute(prediction.label_ids, prediction.predictions, names=WORDS.names))


def test_the_loss_of_answers_is_the_mean_over_their_tokens() -> None:
    """Two answers, of two tokens and of one, over a vocabulary of three; the figures are worked out by hand."""
    half, quarter = math.log(0.5), math.log(0.25)
    # Probabilities 1/2, 1/4, 1/4 everywhere.
    logits = torch.tensor([half, quarter, quarter]).expand(2, 2, 3)
    labels = torch.tensor([[0, 2], [1, -100]])

    def class_ids(rows: torch.Tensor) -> torch.Tensor:
        return (rows[:, 0] == 1).long()

    plain = weighted_loss(None)({"logits": logits}, labels)
    assert plain.item() == pytest.approx((math.log(2) + math.log(4) + math.log(4)) / 3)
    weighted = weighted_loss(torch.tensor([3.0, 0.5]), class_ids=class_ids)({"logits": logits}, labels)
    assert weighted.item() == pytest.approx((3 * (math.log(2) + math.log(4)) + 0.5 * math.log(4)) / 3)
    accumulated = weighted_loss(None)({"logits": logits}, labels, num_items_in_batch=12)
    assert accumulated.item() == pytest.approx((math.log(2) + math.log(4) + math.log(4)) / 12)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_smoothed_answers_are_those_of_torch(smoothing: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 3, 7, generator=generator)
    labels = torch.tensor([[1, 2, 3], [4, 1, -100], [0, -100, -100], [6, 5, 1]])
    expected = torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(logits.flatten(0, 1), labels.flatten())
    torch.testing.assert_close(weighted_loss(None, smoothing)({"logits": logits}, labels), expected)


def test_half_precision_logits_are_added_up_in_float32() -> None:
    logits = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    labels = torch.tensor([[1, 2], [3, -100], [0, 4]])
    found = weighted_loss(None)({"logits": logits}, labels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, weighted_loss(None)({"logits": logits.float()}, labels))


def test_accumulated_gradients_of_answers_are_those_of_the_whole_batch(new_text_run: NewRun, tmp_path: Path) -> None:
    settings = Settings(dropout=0.0, class_weights=[1.0, 4.0, 0.5], max_length=40, targets="attention")

    def one_step(batch: int, accumulate: int) -> dict[str, torch.Tensor]:
        args = TrainingArguments(
            str(tmp_path / f"{batch}"),
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulate,
            max_steps=1,
            learning_rate=1e-2,
            max_grad_norm=0.0,
            optim="sgd",
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        run = new_text_run(settings, rows=8)
        before = state(run.model)
        outcome = train(
            run.model, run.objective, run.data, settings, WORDS, compute_metrics=text_figures, args=args, verbose=False
        )
        assert outcome.history == []
        after = state(run.model)
        assert max((after[name] - before[name]).abs().max() for name in before) > 1e-3
        return after

    # Batches of two hold four to six answer tokens: a mean of means would differ.
    assert_same(one_step(2, 4), one_step(8, 1), atol=1e-5)


def test_a_step_in_parts_is_the_step_of_the_whole_batch(new_text_run: NewRun, tmp_path: Path) -> None:
    passes: list[int] = []

    def one_step(tokens: int) -> dict[str, torch.Tensor]:
        settings = Settings(
            dropout=0.0,
            class_weights=[1.0, 4.0, 0.5],
            max_length=40,
            targets="attention",
            batching="micro",
            tokens_per_batch=tokens,
        )
        args = TrainingArguments(
            str(tmp_path / f"{tokens}"),
            per_device_train_batch_size=8,
            max_steps=1,
            learning_rate=1e-2,
            max_grad_norm=0.0,
            optim="sgd",
            remove_unused_columns=False,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
        )
        run = new_text_run(settings, rows=8)
        run.model.get_encoder().register_forward_hook(lambda *_: passes.append(tokens))
        train(
            run.model, run.objective, run.data, settings, WORDS, compute_metrics=text_figures, args=args, verbose=False
        )
        return state(run.model)

    assert_same(one_step(60), one_step(100_000), atol=1e-5)
    assert passes.count(60) > 2
    assert passes.count(100_000) < passes.count(60), "it still drops padding"


def evaluated(run: Run, tmp_path: Path, batch: int, **options: Any) -> tuple[dict[str, float], list[Any]]:
    seen: list[Any] = []

    def spy(prediction: Any) -> dict[str, float]:
        seen.append(prediction)
        return text_figures(prediction)

    args = TrainingArguments(
        str(tmp_path), per_device_eval_batch_size=batch, disable_tqdm=True, use_cpu=True, remove_unused_columns=False
    )
    trainer, _ = build_trainer(run.model, run.objective, run.data, args, compute_metrics=spy, verbose=False, **options)
    assert isinstance(trainer, Seq2SeqTrainer)
    return trainer.evaluate(), seen


def test_the_validation_loss_is_the_teacher_forced_loss_of_upstream(new_text_run: NewRun, tmp_path: Path) -> None:
    run = new_text_run()
    batch = run.objective.collate(run.data.validation.rows)
    with torch.inference_mode():
        upstream = run.model.eval()(
            **{name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
        ).loss.item()
    found, _ = evaluated(run, tmp_path, batch=len(run.data.validation))
    assert found["eval_loss"] == pytest.approx(upstream, abs=1e-5)


def test_what_is_evaluated_is_one_score_a_label_and_never_the_vocabulary(new_text_run: NewRun, tmp_path: Path) -> None:
    run = new_text_run()
    found, (prediction,) = evaluated(run, tmp_path, batch=4)
    assert prediction.predictions.shape == (11, 3)
    assert prediction.label_ids.shape == (11,)
    assert sorted(prediction.label_ids.tolist()) == sorted(row["labels"] for row in run.data.validation.rows)
    with torch.inference_mode():
        expected = run.objective.scores(run.model.eval(), run.objective.collate(run.data.validation.rows)).numpy()
    # Rows come in the order of their lengths.
    order = np.argsort(run.data.validation.lengths, kind="stable")[::-1]
    np.testing.assert_allclose(prediction.predictions, expected[order], rtol=0, atol=1e-4)
    assert prediction.label_ids.tolist() == [run.data.validation.rows[i]["labels"] for i in order]
    right = (expected.argmax(axis=1) == [row["labels"] for row in run.data.validation.rows]).mean()
    assert found["eval_accuracy"] == pytest.approx(right)


def test_an_evaluation_runs_the_encoder_once_for_loss_and_scores(new_text_run: NewRun, tmp_path: Path) -> None:
    run = new_text_run()
    rows: list[int] = []
    run.model.get_encoder().register_forward_hook(lambda module, args, output: rows.append(len(output[0])))
    evaluated(run, tmp_path, batch=4)
    assert sum(rows) == len(run.data.validation)


def test_class_weights_count_in_the_validation_loss(new_text_run: NewRun, tmp_path: Path) -> None:
    losses = [
        evaluated(new_text_run(), tmp_path, batch=11, class_weights=weights)[0]["eval_loss"]
        for weights in (None, torch.ones(3), torch.full((3,), 2.0), torch.tensor([5.0, 1.0, 1.0]))
    ]
    assert losses[0] == pytest.approx(losses[1])
    assert losses[2] == pytest.approx(2 * losses[0])
    assert losses[3] > losses[0]


def test_where_only_the_loss_is_asked_for_nothing_is_scored(
    new_text_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_text_run()
    monkeypatch.setattr(LabelWordsObjective, "scores", lambda *_: pytest.fail("the labels were scored"))
    trainer, _ = build_trainer(
        run.model,
        run.objective,
        run.data,
        training_arguments(run.settings, tmp_path, verbose=False),
        compute_metrics=text_figures,
        verbose=False,
    )
    batch = run.objective.collate(run.data.validation.rows[:4])
    loss, scores, ids = trainer.prediction_step(run.model.eval(), batch, prediction_loss_only=True)
    assert torch.isfinite(loss)
    assert scores is None and ids is None


def test_a_text_to_text_model_that_is_wrapped_is_evaluated(new_text_run: NewRun, tmp_path: Path) -> None:
    """As upstream wraps it where it sees several GPUs."""
    run = new_text_run()
    trainer, _ = build_trainer(
        run.model,
        run.objective,
        run.data,
        training_arguments(run.settings, tmp_path, verbose=False),
        compute_metrics=text_figures,
        verbose=False,
    )
    batch = run.objective.collate(run.data.validation.rows[:4])
    wrapped = torch.nn.DataParallel(run.model.eval())
    _, scores, ids = trainer.prediction_step(wrapped, batch, prediction_loss_only=False)
    assert scores.shape == (4, len(WORDS)) and ids.shape == (4,)


def test_the_table_of_a_text_to_text_model_has_the_same_columns(new_text_run: NewRun) -> None:
    run = new_text_run(Settings(max_length=40, epochs=2, batch_size=8, keep="best"))
    outcome = train(
        run.model, run.objective, run.data, run.settings, WORDS, compute_metrics=text_figures, verbose=False
    )
    expected = {"epoch", "train_loss", "validation_loss", "accuracy", "precision", "recall", "f1", "tpr", "fpr"}
    assert [set(row) for row in outcome.history] == [expected | {"f1_macro", "roc_auc"}] * 2
    assert outcome.kept == max(outcome.history, key=lambda row: row["f1_macro"])


def test_fp16_is_refused_for_t5_before_training(new_text_run: NewRun, tmp_path: Path) -> None:
    run = new_text_run()
    args = TrainingArguments(str(tmp_path), fp16=True, use_cpu=True)
    with pytest.raises(ConfigError, match="fp16=True does not work with t5: its activations leave the range"):
        train(run.model, run.objective, run.data, run.settings, WORDS, compute_metrics=text_figures, args=args)


def test_a_loss_that_is_no_number_stops_the_run_of_a_text_to_text_model(new_text_run: NewRun) -> None:
    run = new_text_run(Settings(max_length=40, epochs=1, batch_size=8))
    with torch.no_grad():
        next(p for n, p in run.model.named_parameters() if "lora_A" in n).fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"The training loss became nan at step 1\."):
        train(run.model, run.objective, run.data, run.settings, WORDS, compute_metrics=text_figures, verbose=False)
