"""Accuracy and F1 on SST-2's validation split: sentlora, a plain peft script, TF-IDF, and the most frequent class.

    python benchmarks/quality.py                                # all 67,349 training rows
    python benchmarks/quality.py sst2 --rows 5000 --seeds 0 1 2 --only sentlora,tfidf

Every row is kept as soon as it is finished; a second call measures only what is missing. sentlora chooses its best
epoch on rows held out of train, never on the validation split that is reported here.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer

from harness import options, output_folder
from plain import BATCH_SIZE, LEARNING_RATE, plain_trainer
from results_out import show
from rows_file import Row, RowsFile
from sentlora import EvaluationReport, LabelMap, SentimentLoRA
from sentlora.data.recipes import get_recipe
from sentlora.evaluation.baselines import evaluate_baseline, majority_classifier, tfidf_classifier
from sentlora.inference.predictor import Predictor
from sentlora.model.adapter import count_parameters
from sentlora.model.backbone import resolve_base
from sentlora.model.classification import ClassificationObjective
from sentlora.settings import Settings
from slices import load_or_skip

MAX_LENGTH = 128
LABELS = LabelMap(("negative", "positive"))


def row_of(report: EvaluationReport, seconds: float, trainable: int | None, settings: dict[str, Any]) -> Row:
    """Keep of a report what the table shows, and the settings behind it."""
    return {
        "accuracy": report.accuracy,
        "f1": report.f1,
        "roc_auc": report.roc_auc,
        "accuracy_interval": list(report.accuracy_interval),
        "n_validation": report.n,
        "train_seconds": round(seconds, 1),
        "trainable": trainable,
        "settings": settings,
    }


def sentlora_row(
    name: str, settings: dict[str, Any], rows: int | None, train: Dataset, validation: Dataset, base: str, seed: int
) -> Row:
    """Fit with the recipe's own settings; with all rows, by the one line that a user writes."""
    begun = time.perf_counter()
    clf = SentimentLoRA(base, seed=seed)
    if rows is None:
        clf.fit(name)
    else:
        clf.set_params(**settings).fit(train)
    seconds = time.perf_counter() - begun
    report = clf.evaluate(validation)
    used = {**clf.settings_.to_dict(), "history": clf.history_}
    return row_of(report, seconds, clf.trainable_parameters.trainable, used)


def plain_row(train: Dataset, validation: Dataset, base: str, seed: int, epochs: float) -> Row:
    """Fit with peft and Trainer alone: r=8 on all linear layers, dynamic padding, all rows of train."""
    begun = time.perf_counter()
    model, run = plain_trainer(
        base, train["text"][:], train["label"][:], MAX_LENGTH, seed, targets="all-linear", epochs=epochs
    )
    run()
    seconds = time.perf_counter() - begun
    trainable = count_parameters(model).trainable
    # Prediction is not what is compared: ours gives the same scores, sooner.
    objective = ClassificationObjective(AutoTokenizer.from_pretrained(resolve_base(base)), max_length=MAX_LENGTH)
    scores = Predictor(model, objective, verbose=False).scores(validation["text"][:])
    report = EvaluationReport.from_scores(validation["label"][:], scores, LABELS)
    settings = {"targets": "all-linear", "r": 8, "learning_rate": LEARNING_RATE, "epochs": epochs, "seed": seed}
    return row_of(report, seconds, trainable, {**settings, "batch_size": BATCH_SIZE})


def baseline_row(train: Dataset, validation: Dataset, classifier: Any) -> Row:
    """Fit a classifier of scikit-learn. Its seconds hold the prediction of the validation split as well."""
    begun = time.perf_counter()
    parts = (split[column][:] for split in (train, validation) for column in ("text", "label"))
    report = evaluate_baseline(classifier, *parts, LABELS)
    return row_of(report, time.perf_counter() - begun, None, {})


def measure(args: argparse.Namespace) -> None:
    """Measure what is asked for and not there yet, then print the table."""
    rows = 32 if args.smoke else args.rows
    splits = load_or_skip(args.data, n_train=rows)
    if splits is None:
        return
    train = splits["train"]
    validation = splits["validation"].select(range(64)) if args.smoke else splits["validation"]
    folder = output_folder(args)
    kept = RowsFile(folder / f"quality_{args.data}.json" if folder else None, fresh=args.fresh)
    # Part of the key: a row measured with other settings is another row.
    own = {**get_recipe(args.data).settings, **({"epochs": 1} if args.smoke else {})}
    recipe = Settings.resolve(own).settled_for(len(train), len(train) // 10)
    used = f"r={recipe.r} {recipe.targets}, lr={recipe.learning_rate:g} {recipe.scheduler}, epochs={recipe.epochs:g}"
    tasks: list[tuple[str, str, Callable[[], Row]]] = []
    for seed in args.seeds:
        ours = partial(sentlora_row, args.data, own, rows, train, validation, args.base, seed)
        plain = partial(plain_row, train, validation, args.base, seed, args.plain_epochs)
        tasks.append(("sentlora", f"sentlora, {args.base}, {used}, seed {seed}", ours))
        tasks.append(("plain", f"plain peft, {args.base}, epochs={args.plain_epochs:g}, seed {seed}", plain))
    baseline = partial(baseline_row, train, validation)
    tasks.append(("tfidf", "TF-IDF + logistic regression", partial(baseline, tfidf_classifier())))
    tasks.append(("majority", "most frequent class", partial(baseline, majority_classifier())))
    order = ["majority", "tfidf", "sentlora", "plain"]  # the quick ones first
    wanted = [task for kind in order for task in tasks if task[0] == kind and kind in args.only]
    found = {name: kept.get(f"{name}, {len(train)} rows", run) for _, name, run in wanted}
    title = f"{args.data}: {len(train):,} training rows, {len(validation):,} validation rows"
    show(title, table(found))


def table(rows: dict[str, Row]) -> list[list[str]]:
    """Lay the rows out."""
    cells = [["", "accuracy", "95 % interval", "F1", "ROC-AUC", "train seconds", "trainable"]]
    for name, row in rows.items():
        interval = " - ".join(f"{bound:.4f}" for bound in row["accuracy_interval"])
        figures = [f"{row['accuracy']:.4f}", interval, f"{row['f1']:.4f}", f"{row['roc_auc']:.4f}"]
        trainable = "" if row["trainable"] is None else f"{row['trainable']:,}"
        cells.append([name, *figures, f"{row['train_seconds']:,.0f}", trainable])
    return cells


def names(text: str) -> Sequence[str]:
    """Read the value of --only."""
    chosen = text.split(",")
    known = ("sentlora", "plain", "tfidf", "majority")
    if unknown := [name for name in chosen if name not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
    return chosen


def main() -> None:
    """Read the options and measure."""
    parser = options(__doc__, rounds=None)
    parser.add_argument("data", nargs="?", default="sst2", choices=["sst2"], help="the dataset (sst2)")
    parser.add_argument("--base", default="minilm", help="base model (minilm)")
    parser.add_argument("--rows", type=int, help="train on a stratified sample of this size (all rows)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="seeds of sentlora and the plain script (0)")
    parser.add_argument("--plain-epochs", type=float, default=1, help="epochs of the plain script (1)")
    parser.add_argument("--only", type=names, default=names("sentlora,plain,tfidf,majority"), help="some of the rows")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
