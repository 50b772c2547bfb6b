"""compare: plan, freeze the rows, measure what was not measured yet, and lay it side by side."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sentlora import processes
from sentlora.comparison.base import base_fingerprint, check_base, suited_modes
from sentlora.comparison.child import RowFailedError, run_in_child
from sentlora.comparison.entries import entries
from sentlora.comparison.frozen import check_folder, freeze, keep
from sentlora.comparison.plan import BASELINES, Grid, Run
from sentlora.comparison.preparation import versions_of
from sentlora.comparison.progress import line_of, time_left
from sentlora.comparison.scratch import remove_orphans, scratch
from sentlora.comparison.store import Row, Store
from sentlora.comparison.table import Comparison
from sentlora.console import say
from sentlora.data.columns import read_data
from sentlora.data.prompts import Prompt
from sentlora.labels import LabelMap

_SHOWN_NAMES = 8
_PACKAGES = ("sentlora", "torch", "transformers", "peft", "scikit-learn")


def compare(
    data: Any,
    *,
    base_model: str = "distilbert/distilbert-base-uncased",
    modes: str | Sequence[str] | None = None,
    r: int | Sequence[int] | None = None,
    targets: str | Sequence[str | Sequence[str]] | None = None,
    schedulers: str | Sequence[str] | None = None,
    variants: str | Sequence[str] | None = None,
    alphas: float | str | Sequence[float | str] | None = None,
    preprocess: str | Sequence[str] | None = None,
    seeds: int = 1,
    n_train: int | None = None,
    n_test: int | None = None,
    settings: Mapping[str, Any] | None = None,
    labels: LabelMap | Sequence[str] | Mapping[Any, str] | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
    folder: str | Path | None = None,
    fresh: bool = False,
    verbose: bool = True,
) -> Comparison:
    """Measure ways of training on the same rows: head only, LoRA of several kinds, full fine-tuning, and baselines.

    Every row trains on the same rows, chooses its epoch by the same validation rows, which come out of the training
    rows, and is evaluated once on the same held-out rows. Each is measured in a process of its own. A row that fails
    is shown as failed, and the others go on.

    LoRA is tried with each of ``r``, ``targets``, ``variants``, ``alphas`` and ``schedulers`` combined with each of
    the others. The head alone and full fine-tuning are tried with each of ``schedulers``, and TF-IDF with each of
    ``preprocess``. What is left at None is the recipe's, where the data are a recipe, or else the library's.

    Args:
        data: What ``SentimentLoRA.fit`` takes: a recipe name, a DatasetDict, a DataFrame, a file, …; or a pair of
            texts and labels. The figures are on the split that a recipe names, else ``test``, else ``validation``;
            of data without any of them a stratified fifth is held out.
        base_model: Hub id, folder, or the alias ``minilm``.
        modes: Any of ``majority``, ``tfidf``, ``head``, ``lora`` and ``full``; all that suit the base model.
        r: Ranks.
        targets: Each is a role, a shorthand or roles with commas between (``"query,value"``); or a list of them.
        schedulers: ``linear``, ``cosine``, ``constant``, ``one-cycle``, ``reduce-on-plateau``, …
        variants: ``lora``, ``rslora``, ``dora``, ``pissa``, ``olora``, ``lora+``, ``ia3``.
        alphas: Scalings: numbers, or multiples of the rank such as ``"2r"``. At one number for all ranks, a lower rank
            also takes larger steps.
        preprocess: Preparations of the texts for TF-IDF, one row for each: ``none`` (TF-IDF as it is, which writes
            everything small), ``classic``, or steps of :func:`sentlora.data.classic.classic` put together, such as
            ``"lower_case+punctuation"``, ``"classic-stem"`` or ``"none-lower_case"``. ``each`` tries all steps one at a
            time.
        seeds: How many seeds, from 0: of initialisation, dropout and the order of rows, and never of the draw of rows.
        n_train: Stratified sample of the training rows, from which the validation rows are held out.
        n_test: Stratified sample of the rows to report on.
        settings: What all trained rows share, by the names of ``SentimentLoRA``: ``{"epochs": 3}``. Without a
            ``learning_rate`` each mode has its own, as it should: what suits LoRA is too much for all weights.
        labels: The classes, where the data should not decide.
        text_column: The column of texts, where its name does not tell.
        label_column: The column of labels, where its name does not tell.
        folder: Keeps the rows, so that a later call measures only what is missing; None keeps nothing.
        fresh: Measure again what was measured before.
        verbose: Print notices and one line for each row, on standard error.

    Returns:
        The comparison: print it, or see ``to_markdown``, ``to_json``, ``to_frame`` and ``plot``.

    Raises:
        ConfigError: If a mode, a setting or a preparation cannot work, or the folder holds something else, or other
            data; all of it before anything is trained.
        MissingExtraError: If a preparation needs a package that is not installed.
        BackboneError: If the base model cannot be loaded.
        TargetError: If a target names nothing in the base model.
        DataError: If the data cannot be used as they are.

    Examples:
        >>> compare("imdb", base_model="minilm", r=[4, 8], n_train=1000, n_test=1000, seeds=3)  # doctest: +SKIP
        Comparison(source='imdb', rows=14, failed=0)
    """
    processes.check_alone("compare")
    asked = {
        name: _several(value)
        for name, value in {
            "modes": modes,
            "r": r,
            "targets": targets,
            "schedulers": schedulers,
            "variants": variants,
            "alphas": alphas,
            "preprocess": preprocess,
        }.items()
        if value is not None
    }
    grid = Grid(**asked, seeds=seeds, settings=settings or {})
    _say_orphans(remove_orphans(), verbose=verbose)
    with _place(folder) as place:
        check_folder(place)
        if modes is None:
            grid = Grid(
                **{**asked, "modes": suited_modes(base_model, verbose=verbose)}, seeds=seeds, settings=grid.settings
            )
        texts, y = data if isinstance(data, tuple) else (data, None)
        prompt = grid.settings.get("prompt")
        read = read_data(
            texts,
            y,
            labels=labels,
            text_column=text_column,
            label_column=label_column,
            prompt=None if prompt is None else Prompt(prompt),
            fields_required=True,
            verbose=verbose,
        )
        rows = freeze(read, n_train, n_test, verbose=verbose)
        sizes = rows.sizes
        recipe = {} if read.recipe is None else read.recipe.settings
        runs = grid.runs(recipe, (sizes["train"], sizes["validation"]))
        check_base(base_model, runs, len(read.labels))
        versions = {name: version(name) for name in _PACKAGES}
        trains = any(run.mode not in BASELINES for run in runs)
        facts = {"data": rows.fingerprint, "base": base_fingerprint(base_model) if trains else "", **versions}
        job = {"data": str(keep(rows, place, verbose=verbose)), "base_model": base_model}
        store = Store(place, facts, verbose=verbose)
        measured = list(measure_rows(runs, job, store, fresh=fresh, verbose=verbose))
        _say_others(store, measured, place, verbose=verbose)
    versions |= versions_of([run.preprocess for run in runs])
    return Comparison(tuple(measured), rows.source, sizes, base_model, versions)


def measure_rows(
    runs: Sequence[Run], job: Mapping[str, str], store: Store, *, fresh: bool = False, verbose: bool = True
) -> Iterator[Row]:
    """Measure what the store does not hold, and keep each row as soon as it is there.

    Args:
        runs: What to measure.
        job: ``data`` and ``base_model``, the same for all.
        store: The rows so far.
        fresh: Measure all of it again.
        verbose: Print one line for each row.

    Yields:
        The rows, in the order of the runs; those that failed are not kept, so a later call tries them again.
    """
    names = {id(row.run): entry.name for entry in entries([Row(run) for run in runs]) for row in entry.rows}
    kept = {} if fresh else {id(run): row for run in runs if (row := store.read(run)) is not None}
    missing = len(runs) - len(kept)
    rows = "row" if missing == 1 else "rows"
    say(f"Comparison: {missing} {rows} to measure, {len(kept)} measured before.", verbose=verbose)
    done = list(kept.values())
    for number, run in enumerate(runs, start=1):
        row = kept.get(id(run)) or _measured(run, job)
        if not row.before:
            done.append(row)
            if row.figures is not None:
                store.write(row)
        left = time_left(done, [later for later in runs[number:] if id(later) not in kept])
        say(line_of(number, len(runs), names[id(run)], row, left), verbose=verbose)
        yield row


def _measured(run: Run, job: Mapping[str, str]) -> Row:
    started = time.perf_counter()
    try:
        figures = run_in_child({**job, **run.to_dict()})
    except RowFailedError as error:
        return Row(run, error=str(error))
    return Row(run, {**figures, "wall_seconds": time.perf_counter() - started})


def _say_orphans(removed: int, *, verbose: bool) -> None:
    if removed:
        of = "a folder" if removed == 1 else f"{removed} folders"
        say(f"Note: removed {of} of temporary files that a killed comparison had left.", verbose=verbose)


def _say_others(store: Store, measured: Sequence[Row], place: Path, *, verbose: bool) -> None:
    """Say what else was measured in the folder, as the table of an earlier call may have shown it."""
    alike, foreign = store.others([row.run for row in measured])
    if alike:
        many = len(alike) > 1
        say(
            f"Note: {len(alike)} more measured {'rows' if many else 'row'} {'lie' if many else 'lies'} in {place} and "
            f"{'are' if many else 'is'} not in this table: {_names_of(alike, measured)}. Ask for everything in one "
            "call to see it in one table; nothing is measured twice.",
            verbose=verbose,
        )
    if foreign:
        rows = "1 measured row" if foreign == 1 else f"{foreign} measured rows"
        say(
            f"Note: {rows} of another base model, or of other versions of the libraries, "
            f"{'stays' if foreign == 1 else 'stay'} in {place}.",
            verbose=verbose,
        )


def _names_of(rows: Sequence[Row], measured: Sequence[Row]) -> str:
    """Name some rows as the table would that holds all of them; seeds only where some of them are in it already."""
    left, names = {id(row) for row in rows}, []
    for entry in entries([*measured, *rows]):
        seeds = [str(row.run.seed) for row in entry.rows if id(row) in left]
        if len(seeds) == len(entry.rows):
            names.append(entry.name)
        elif seeds:
            names.append(f"{entry.name} ({'seed' if len(seeds) == 1 else 'seeds'} {', '.join(seeds)})")
    shown = names[:_SHOWN_NAMES] + ([f"{len(names) - _SHOWN_NAMES} others"] if len(names) > _SHOWN_NAMES else [])
    return "; ".join(shown)


def _several(value: Any) -> tuple[Any, ...]:
    """Take one choice, or several, as several."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)


@contextmanager
def _place(folder: str | Path | None) -> Iterator[Path]:
    if folder is not None:
        yield Path(folder).expanduser().resolve()
        return
    with scratch("comparison") as temporary:
        yield temporary
