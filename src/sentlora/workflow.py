"""What the commands do, apart from how they are typed: train and report, search and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetDict
from sklearn.base import clone

from sentlora.data.inspection import refuse_leaks
from sentlora.data.prompts import Prompt
from sentlora.data.recipes import Recipe, get_recipe, load_recipe
from sentlora.errors import ConfigError
from sentlora.evaluation.report import EvaluationReport
from sentlora.evaluation.sweep_result import SweepResult
from sentlora.fitting import read_rows
from sentlora.labels import LabelMap
from sentlora.sentiment_lora import SentimentLoRA
from sentlora.sharing.folder import check_place
from sentlora.sharing.replacing import check_replacing, is_there
from sentlora.training.arguments import idle_settings


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
        overwrite: Replace an adapter of other classes or of another base model that is there.
    """

    data: str | None
    recipe: str | None
    validation: str | None
    test: str | None
    n_train: int | None
    n_test: int | None
    output: Path
    resume: bool
    overwrite: bool = False


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
    _check_sample(job.recipe, job.n_train, job.n_test)
    source = job.data if job.recipe is None else get_recipe(job.recipe)
    _check_output(clf, job.output, source, overwrite=job.overwrite)
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
    clf.save(job.output, overwrite=True)  # looked at before the training, which must not be lost here
    return report


def _check_output(clf: SentimentLoRA, output: Path, data: Any, *, overwrite: bool) -> None:
    """Refuse, before hours of training, to replace an adapter that is for something else."""
    check_place(output)
    if overwrite or not is_there(output):
        return
    if clf.labels is not None:
        labels = LabelMap.of(clf.labels)
    elif isinstance(data, Recipe) and data.label_map is not None:
        labels = data.label_map
    else:
        prompt = None if clf.prompt is None else Prompt(clf.prompt)
        labels = read_rows(clone(clf).set_params(verbose=False), data, labels=None, prompt=prompt).labels
    check_replacing(output, labels.names, clf.base_model)


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
        overwrite: Replace an adapter of other classes or of another base model that is there.
    """

    data: str | None
    recipe: str | None
    validation: str | None
    test: str | None
    n_train: int | None
    n_test: int | None
    output: Path | None
    overwrite: bool = False


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
    _check_sample(job.recipe, job.n_train, job.n_test)
    data: Any = job.data if job.recipe is None else job.recipe
    if job.output is not None:
        source = data if job.recipe is None else get_recipe(job.recipe)
        _check_output(clf, job.output, source, overwrite=job.overwrite)
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
        clf.save(job.output, overwrite=True)
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
