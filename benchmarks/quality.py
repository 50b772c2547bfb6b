"""How good: sentlora, a plain peft script, TF-IDF with logistic regression, and the most frequent class.

    python benchmarks/quality.py                    # SST-2: all 67,349 training rows, one seed
    python benchmarks/quality.py druglib            # DrugLib: three classes, three seeds
    python benchmarks/quality.py sst2 --rows 5000 --seeds 0 1 2 --only sentlora,tfidf

Every row is kept as soon as it is finished; a second call measures only what is missing. sentlora chooses its best
epoch on rows held out of train, never on the split that is reported here. TF-IDF stands there twice: as it is, and
with class weights, which help it as they help everyone where a class is rare.
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
from sentlora.model.backbone import resolve_base
from sentlora.model.classification import ClassificationObjective
from sentlora.model.counting import count_parameters
from sentlora.settings import Settings
from slices import load_or_skip

SEEDS = {"sst2": [0], "druglib": [0, 1, 2]}
ONLY = {"sst2": "sentlora,plain,tfidf,majority", "druglib": "sentlora,tfidf,majority"}


def row_of(report: EvaluationReport, seconds: float, trainable: int | None, settings: dict[str, Any]) -> Row:
    """Keep of a report what the table shows, and the settings behind it."""
    return {
        "accuracy": report.accuracy,
        "f1": report.f1,
        "recall": {name: figures["recall"] for name, figures in report["per_class"].items()},
        "roc_auc": report.roc_auc,
        "accuracy_interval": list(report.accuracy_interval),
        "n": report.n,
        "train_seconds": round(seconds, 1),
        "trainable": trainable,
        "settings": settings,
    }


def sentlora_row(
    name: str, settings: dict[str, Any], rows: int | None, train: Dataset, held_out: Dataset, base: str, seed: int
) -> Row:
    """Fit with the recipe's own settings; with all rows, by the one line that a user writes."""
    begun = time.perf_counter()
    clf = SentimentLoRA(base, seed=seed)
    if rows is None:
        clf.fit(name)
    else:
        clf.set_params(**settings).fit(train)
    seconds = time.perf_counter() - begun
    report = clf.evaluate(held_out)
    used = {**clf.settings_.to_dict(), "history": clf.history_}
    return row_of(report, seconds, clf.trainable_parameters.trainable, used)


def plain_row(
    labels: LabelMap, max_length: int, train: Dataset, held_out: Dataset, base: str, seed: int, epochs: float
) -> Row:
    """Fit with peft and Trainer alone: r=8 on all linear layers, dynamic padding, all rows of train."""
    begun = time.perf_counter()
    texts, ids = train["text"][:], train["label"][:]
    model, run = plain_trainer(
        base, texts, ids, max_length, seed, targets="all-linear", epochs=epochs, num_labels=len(labels)
    )
    run()
    seconds = time.perf_counter() - begun
    trainable = count_parameters(model).trainable
    # Prediction is not what is compared: ours gives the same scores, sooner.
    objective = ClassificationObjective(AutoTokenizer.from_pretrained(resolve_base(base)), max_length=max_length)
    scores = Predictor(model, objective, verbose=False).scores(held_out["text"][:])
    report = EvaluationReport.from_scores(held_out["label"][:], scores, labels)
    settings = {"targets": "all-linear", "r": 8, "learning_rate": LEARNING_RATE, "epochs": epochs, "seed": seed}
    return row_of(report, seconds, trainable, {**settings, "batch_size": BATCH_SIZE})


def baseline_row(labels: LabelMap, train: Dataset, held_out: Dataset, classifier: Any) -> Row:
    """Fit a classifier of scikit-learn. Its seconds hold the prediction of the held-out rows as well."""
    begun = time.perf_counter()
    parts = (split[column][:] for split in (train, held_out) for column in ("text", "label"))
    report = evaluate_baseline(classifier, *parts, labels)
    return row_of(report, time.perf_counter() - begun, None, {})


def weighted_tfidf() -> Any:
    """Build the TF-IDF baseline with class weights."""
    return tfidf_classifier().set_params(logisticregression__class_weight="balanced")


def measure(args: argparse.Namespace) -> None:
    """Measure what is asked for and not there yet, then print the table."""
    rows = 32 if args.smoke else args.rows
    splits = load_or_skip(args.data, n_train=rows)
    if splits is None:
        return
    recipe, train = get_recipe(args.data), splits["train"]
    labels = recipe.label_map
    held_out = splits[recipe.eval_split].select(range(64)) if args.smoke else splits[recipe.eval_split]
    folder = output_folder(args)
    kept = RowsFile(folder / f"quality_{args.data}.json" if folder else None, fresh=args.fresh)
    # Part of the key: a row measured with other settings is another row.
    own = {**recipe.settings, **({"epochs": 1} if args.smoke else {})}
    used = Settings.resolve(own).settled_for(len(train), len(train) // 10)
    told = f"r={used.r} {used.targets}, lr={used.learning_rate:g} {used.scheduler}, epochs={used.epochs:g}"
    tasks: list[tuple[str, str, Callable[[], Row]]] = []
    for seed in args.seeds or SEEDS[args.data][: 1 if args.smoke else None]:
        ours = partial(sentlora_row, args.data, own, rows, train, held_out, args.base, seed)
        plain = partial(plain_row, labels, used.max_length, train, held_out, args.base, seed, args.plain_epochs)
        tasks.append(("sentlora", f"sentlora, {args.base}, {told}, seed {seed}", ours))
        tasks.append(("plain", f"plain peft, {args.base}, epochs={args.plain_epochs:g}, seed {seed}", plain))
    baseline = partial(baseline_row, labels, train, held_out)
    tasks.append(("tfidf", "TF-IDF + logistic regression", partial(baseline, tfidf_classifier())))
    tasks.append(("tfidf", "TF-IDF + logistic regression, class weights", partial(baseline, weighted_tfidf())))
    tasks.append(("majority", "most frequent class", partial(baseline, majority_classifier())))
    only = args.only or names(ONLY[args.data])
    order = ["majority", "tfidf", "sentlora", "plain"]  # the quick ones first
    wanted = [task for kind in order for task in tasks if task[0] == kind and kind in only]
    found = {name: kept.get(f"{name}, {len(train)} rows", run) for _, name, run in wanted}
    title = f"{args.data}: {len(train):,} training rows, {len(held_out):,} rows of {recipe.eval_split}"
    show(title, table(found, "F1" if len(labels) == 2 else "macro F1"))


def table(rows: dict[str, Row], f1: str) -> list[list[str]]:
    """Lay the rows out."""
    classes = list(next(iter(rows.values()))["recall"])
    recalls = [f"recall {name}" for name in classes]
    cells = [["", "accuracy", "95 % interval", f1, *recalls, "ROC-AUC", "train seconds", "trainable"]]
    for name, row in rows.items():
        interval = " - ".join(f"{bound:.4f}" for bound in row["accuracy_interval"])
        figures = [row["f1"], *(row["recall"][label] for label in classes), row["roc_auc"]]
        trainable = "" if row["trainable"] is None else f"{row['trainable']:,}"
        shown = [f"{row['accuracy']:.4f}", interval, *(f"{figure:.4f}" for figure in figures)]
        cells.append([name, *shown, f"{row['train_seconds']:,.0f}", trainable])
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
    parser.add_argument("data", nargs="?", default="sst2", choices=list(SEEDS), help="the dataset (sst2)")
    parser.add_argument("--base", default="minilm", help="base model (minilm)")
    parser.add_argument("--rows", type=int, help="train on a stratified sample of this size (all rows)")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds of sentlora and the plain script (see above)")
    parser.add_argument("--plain-epochs", type=float, default=1, help="epochs of the plain script (1)")
    parser.add_argument("--only", type=names, help="some of sentlora,plain,tfidf,majority")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
