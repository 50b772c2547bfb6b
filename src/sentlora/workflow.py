"""What the commands do, apart from how they are typed: train and report, score a table."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
from datasets import DatasetDict
from sklearn.base import clone

from sentlora.data.files import read_table
from sentlora.data.headers import find_text_column
from sentlora.data.inspection import refuse_leaks
from sentlora.data.prompts import PLAIN_FIELD, Prompt
from sentlora.data.recipes import Recipe, get_recipe, load_recipe
from sentlora.data.text import replace_lone_surrogates
from sentlora.errors import ConfigError, DataError
from sentlora.evaluation.report import EvaluationReport
from sentlora.evaluation.sweep_result import SweepResult
from sentlora.fitting import read_rows
from sentlora.inference.decision import abstain, check_abstention, decide, labels_of
from sentlora.sentiment_lora import SentimentLoRA
from sentlora.sharing.folder import check_place
from sentlora.training.arguments import idle_settings

_WRITERS = (".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class TrainingJob:
    """What ``sentlora train`` was asked for, besides the classifier's settings.

    Attributes:
        data: A file or Hub id; None with ``recipe``.
        recipe: A recipe's name; None with ``data``.
        validation: Rows to choose the best epoch by, or None.
        test: Rows to report on; None takes the recipe's own.
        n_train: Subsample of the recipe's training rows.
        n_test: Subsample of the recipe's evaluation rows.
        output: Where the adapter is saved.
        resume: Go on from the newest checkpoint.
    """

    data: str | None
    recipe: str | None
    validation: str | None
    test: str | None
    n_train: int | None
    n_test: int | None
    output: Path
    resume: bool


def run_training(clf: SentimentLoRA, job: TrainingJob) -> EvaluationReport | None:
    """Train, report where there are held-out rows, and save.

    Args:
        clf: The classifier, not yet trained.
        job: What to train on and where to save.

    Returns:
        The report, or None if nothing was held out to report on.

    Raises:
        ConfigError: If a subsample is asked for without a recipe.
        AdapterFolderError: If the adapter cannot be saved where it was asked for; told before the training.
        DataError: If the rows to report on are trained on, and that is not allowed; told before the training, too.
    """
    check_place(job.output)
    _check_sample(job.recipe, job.n_train, job.n_test)
    held_out: Sequence[str] = ()
    if job.test is not None:
        held_out = _without_leaks(clf, job.data if job.recipe is None else job.recipe, job.test)
    if job.recipe is None:
        clf.fit(job.data, validation=job.validation, resume=job.resume, held_out=held_out)
        report = None if job.test is None else clf.evaluate(job.test)
    elif job.n_train is None and job.n_test is None:
        clf.fit(job.recipe, validation=job.validation, resume=job.resume, held_out=held_out)
        report = clf.evaluate(job.test or f"{job.recipe}:{get_recipe(job.recipe).eval_split}")
    else:
        report = _on_a_sample(clf, get_recipe(job.recipe), job, held_out)
    clf.save(job.output)
    return report


def _without_leaks(clf: SentimentLoRA, data: Any, test: str) -> list[str]:
    """Refuse rows to report on that are trained on, before hours of training, and return their texts."""
    quiet = clone(clf).set_params(verbose=False)  # what there is to say is said when the rows are used
    prompt = None if clf.prompt is None else Prompt(clf.prompt)
    train = read_rows(quiet, data, labels=clf.labels, prompt=prompt)
    rows = read_rows(quiet, test, labels=train.labels, prompt=train.prompt, split="test").rows_to_report_on()
    refuse_leaks(train, [("test", rows)], allow_leaks=clf.allow_leaks, verbose=clf.verbose)
    return list(rows["text"][:])


@dataclass(frozen=True)
class SweepJob:
    """What ``sentlora sweep`` was asked for, besides the search and the classifier's settings.

    Attributes:
        data: A file or Hub id; None with ``recipe``.
        recipe: A recipe's name; None with ``data``.
        validation: Rows to select by, or None.
        test: Rows to report on; None takes the recipe's own.
        n_train: Subsample of the recipe's training rows.
        n_test: Subsample of the recipe's evaluation rows.
        output: Where the best adapter is saved; None saves nothing.
    """

    data: str | None
    recipe: str | None
    validation: str | None
    test: str | None
    n_train: int | None
    n_test: int | None
    output: Path | None


def run_sweep(
    clf: SentimentLoRA,
    job: SweepJob,
    *,
    space: Mapping[str, Any] | None,
    trials: int,
    storage: Path | None,
    name: str | None,
    timeout: float | None,
    n_jobs: int,
    backend: str,
    num_workers: int | None,
) -> SweepResult:
    """Search, refit, report where there are held-out rows, and save where that was asked for.

    Args:
        clf: The classifier, not yet trained.
        job: What to train on and where to save.
        space: This and what follows as in ``SentimentLoRA.sweep``.
        trials: Finished trials in all.
        storage: The file of the trials.
        name: Of the sweep in it.
        timeout: Seconds after which no new trial begins.
        n_jobs: 1.
        backend: ``optuna`` or ``ray``.
        num_workers: Trials at a time, with ``ray``.

    Raises:
        ConfigError: If a subsample is asked for without a recipe.
        AdapterFolderError: If the adapter cannot be saved where it was asked for; told before the training.
    """
    if job.output is not None:
        check_place(job.output)
    _check_sample(job.recipe, job.n_train, job.n_test)
    data: Any = job.data if job.recipe is None else job.recipe
    if job.recipe is not None and (job.n_train is not None or job.n_test is not None):
        data, _ = _sample(clf, get_recipe(job.recipe), job.n_train, job.n_test)
    result = clf.sweep(
        data,
        validation=job.validation,
        test=job.test,
        space=space,
        trials=trials,
        storage=storage,
        name=name,
        timeout=timeout,
        n_jobs=n_jobs,
        backend=backend,
        num_workers=num_workers,
    )
    if job.output is not None:
        clf.save(job.output)
    return result


def _check_sample(recipe: str | None, n_train: int | None, n_test: int | None) -> None:
    if recipe is None and (n_train is not None or n_test is not None):
        raise ConfigError("--n-train and --n-test subsample a recipe; they need --recipe NAME.")


def _sample(clf: SentimentLoRA, recipe: Recipe, n_train: int | None, n_test: int | None) -> tuple[DatasetDict, Recipe]:
    asked = None if clf.prompt is None else Prompt(clf.prompt)
    recipe = recipe.with_prompt(asked, fields_required=True).with_labels(clf.labels)
    rows = load_recipe(recipe, n_train, n_test, clf.seed or 0, say_leaks=False, verbose=clf.verbose)
    # Rows by themselves bring no settings, so the recipe's are put where the user set none and they count.
    settings = clf._settings(recipe.settings)
    counted = [name for name in recipe.settings if name not in idle_settings(settings) and getattr(clf, name) is None]
    clf.set_params(**{name: getattr(settings, name) for name in counted})
    return rows, recipe


def _on_a_sample(clf: SentimentLoRA, recipe: Recipe, job: TrainingJob, held_out: Sequence[str]) -> EvaluationReport:
    rows, recipe = _sample(clf, recipe, job.n_train, job.n_test)
    own = rows.pop(recipe.eval_split)
    clf.fit(rows, validation=job.validation, resume=job.resume, held_out=[*own["text"], *held_out])
    clf.trained_on_ = f"{len(rows['train']):,} rows of {recipe.name}"
    return clf.evaluate(own if job.test is None else job.test)


def read_inputs(
    texts: Sequence[str] | None, file: Path | None, column: str | None, stream: TextIO, prompt: Prompt | None = None
) -> tuple[pd.DataFrame, str | None]:
    """Collect the texts to be scored.

    A column of finished texts has to be named where the prompt has fields, unless it is called ``text``: the first
    column that looks like texts may be one field of several.

    Args:
        texts: Texts given as arguments.
        file: A table.
        column: The column of the texts in ``file``.
        stream: Read line by line when there is neither.
        prompt: The classifier's; where it has fields and no column is named, these are the columns that are scored.

    Returns:
        The rows, and the name of the column that holds the texts; None where the fields of the prompt do.

    Raises:
        ConfigError: If texts and a file were both given, or a column without a file.
        DataError: If the column or a field cannot be found, or there are no texts.
    """
    if texts and file is not None:
        raise ConfigError("Give texts or --file, and not both.")
    if column is not None and file is None:
        raise ConfigError("--column names a column of --file; there is no file.")
    if file is None:
        lines = list(texts) if texts else _lines_of(stream)
        if not lines:
            raise DataError("Expected texts as arguments, in --file, or one per line on standard input; found none.")
        return pd.DataFrame({"text": [replace_lone_surrogates(line) for line in lines]}), "text"
    frame = read_table(file)
    for name in frame.select_dtypes(["object", "string"]).columns:
        # What cannot be encoded could be scored, but not be written out again.
        frame[name] = [replace_lone_surrogates(cell) if isinstance(cell, str) else cell for cell in frame[name]]
    if column is None and _has_fields(frame, prompt, file.name):
        return frame, None
    return frame, find_text_column(frame, column)


def _has_fields(frame: pd.DataFrame, prompt: Prompt | None, name: str) -> bool:
    if prompt is None or prompt.is_plain:
        return False
    if PLAIN_FIELD in frame.columns and set(prompt.fields).isdisjoint(frame.columns):
        return False  # finished texts, by the name that says so
    try:
        prompt.check_row(frame.columns)
    except DataError as error:
        raise DataError(f"In {name!r}: {error} Or name a column of plain texts with --column.") from None
    return True


def _lines_of(stream: TextIO) -> list[str]:
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # one odd byte must not lose the other lines
    return [line.rstrip("\r\n") for line in stream]


def predictions(
    clf: SentimentLoRA, rows: pd.DataFrame, text_column: str | None, abstain_below: float | None = None
) -> pd.DataFrame:
    """Score a table.

    Args:
        clf: A trained classifier.
        rows: The table; all its columns are kept.
        text_column: The column of the texts; None where the fields of the classifier's prompt are columns.
        abstain_below: Leave ``prediction`` empty where the confidence is below this.

    Returns:
        The table with ``prediction``, ``confidence`` (probability of the prediction, made or left out) and one
        ``p_LABEL`` column per label. Where the model writes its answer and that is no label, the first two are empty.

    Raises:
        ConfigError: If ``abstain_below`` is no probability above 0 to 1.
        DataError: If the table has a column of one of these names.
    """
    new = ["prediction", "confidence", *(f"p_{name}" for name in clf.labels_.names)]
    if taken := [name for name in new if name in rows.columns]:
        raise DataError(f"The column {taken[0]!r} of the file would be overwritten. Rename it, or drop it.")
    if abstain_below is not None:
        check_abstention(abstain_below)
    texts = rows if text_column is None else rows[text_column]
    probabilities = clf.predict_proba(texts)
    written = clf.generates()
    ids = clf.answers(texts) if written else decide(probabilities, clf.labels_.positive_id, clf.threshold_)
    out = rows.copy()
    taken_back = ids if abstain_below is None else abstain(ids, probabilities, abstain_below)
    out["prediction"] = labels_of(taken_back, clf.classes_)
    # An answer that is no label has no probability.
    out["confidence"] = np.where(ids < 0, np.nan, probabilities[range(len(ids)), ids])
    for i, name in enumerate(clf.labels_.names):
        out[f"p_{name}"] = probabilities[:, i]
    return out


def lines_of(table: pd.DataFrame) -> Iterator[str]:
    r"""Write a scored table for the eye: label, confidence and text of each row, with tabs between them.

    Args:
        table: What :func:`predictions` returns, with the texts in the column ``text``. The label and the confidence
            of an answer that is no label are empty.

    Example:
        >>> table = pd.DataFrame({"prediction": ["good", None], "confidence": [0.75, None], "text": ["fine", "so-so"]})
        >>> list(lines_of(table))
        ['good\t0.7500\tfine', '\t\tso-so']
    """
    for label, confidence, text in table[["prediction", "confidence", "text"]].itertuples(index=False):
        yield "\t".join([_shown(label, "{}"), _shown(confidence, "{:.4f}"), text])


def _shown(value: Any, how: str) -> str:
    return "" if pd.isna(value) else how.format(value)


def check_output(path: Path | None, source: Path | None = None) -> None:
    """Refuse an output file that cannot be right, before any work is done.

    Args:
        path: The output file, or None.
        source: The file that is read, or None.

    Raises:
        ConfigError: If it is the file that is read, its suffix is not .csv, .tsv, .jsonl or .parquet, or the
            folder is missing.
    """
    if path is None:
        return
    if source is not None and path.resolve() == source.resolve():
        raise ConfigError(f"--output is the file that is read, {path.name!r}; it would be overwritten. Name another.")
    if path.suffix.lower() not in _WRITERS:
        raise ConfigError(f"--output must end in one of {', '.join(_WRITERS)}; found {path.name!r}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"The folder of --output does not exist: {path.absolute().parent}. Create it first.")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table in the format of the file's suffix."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
