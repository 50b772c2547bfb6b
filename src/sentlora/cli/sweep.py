"""The command that searches for settings: sweep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import (
    Adapter,
    Base,
    LabelColumn,
    Labels,
    Overwrite,
    Quiet,
    Ratings,
    TextColumn,
    Variant,
    app,
    classes_of,
)

_PICTURES = (".png", ".svg", ".pdf")


@app.command()
def sweep(
    data: Annotated[str | None, typer.Argument(help="CSV, TSV, JSONL or Parquet file, or a Hub id.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A named dataset; see `sentlora recipes`.")] = None,
    base: Base = "distilbert/distilbert-base-uncased",
    space: Annotated[
        list[str] | None,
        typer.Option(
            help="What to try, once for each setting: r=4,8,16 or learning_rate=1e-4:2e-3:log or "
            "'targets=query,value|all-linear' (r, alpha_ratio, dropout, learning_rate and targets)."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="Finished trials in all.")] = 20,
    storage: Annotated[Path | None, typer.Option(help="SQLite file of the trials; the same command goes on.")] = None,
    name: Annotated[str | None, typer.Option(help="Of this sweep in the file, which may hold several.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds after which no new trial begins.")] = None,
    backend: Annotated[str, typer.Option(help="optuna, one trial at a time, or ray, many.")] = "optuna",
    num_workers: Annotated[int | None, typer.Option(help="Trials at a time, with --backend ray.")] = None,
    n_jobs: Annotated[int, typer.Option(help="1; for several trials at a time take --backend ray.")] = 1,
    validation: Annotated[str | None, typer.Option(help="File to select by.")] = None,
    test: Annotated[str | None, typer.Option(help="File or recipe:split to report on, once, in the end.")] = None,
    adapter: Adapter = None,
    variant: Variant = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training rows, in each trial.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per optimizer step.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens a text is truncated to.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random (0).")] = None,
    n_train: Annotated[int | None, typer.Option(help="Stratified subsample of a recipe's training rows.")] = None,
    n_test: Annotated[int | None, typer.Option(help="Stratified subsample of its test rows.")] = None,
    labels: Labels = None,
    ratings: Ratings = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Train although held-out rows are among the training rows.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Save the best adapter here.")] = None,
    overwrite: Overwrite = False,
    plot: Annotated[Path | None, typer.Option(help="Picture of the trials: .png, .svg or .pdf.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    quiet: Quiet = False,
) -> None:
    """Search for settings by validation rows, train with the best, and report once on held-out rows."""
    from sentlora.errors import ConfigError

    if (data is None) == (recipe is None):
        raise ConfigError("Give either a data file (sentlora sweep reviews.csv) or --recipe NAME, and not both.")
    if plot is not None:
        _check_picture(plot)
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.training.search_space import parse_space
    from sentlora.workflow import SweepJob, run_sweep

    clf = SentimentLoRA(
        base,
        adapter=adapter,
        variant=variant,
        epochs=epochs,
        batch_size=batch_size,
        max_length=max_length,
        seed=seed,
        labels=classes_of(labels, ratings),
        text_column=text_column,
        label_column=label_column,
        allow_leaks=allow_leaks,
        verbose=not quiet,
    )
    job = SweepJob(data, recipe, validation, test, n_train, n_test, output, overwrite)
    result = run_sweep(
        clf,
        job,
        space=parse_space(space or []),
        trials=trials,
        storage=storage,
        name=name,
        timeout=timeout,
        n_jobs=n_jobs,
        backend=backend,
        num_workers=num_workers,
    )
    if plot is not None:
        from sentlora.evaluation.sweep_plots import plot_sweep

        plot_sweep(result.records, result.importance).savefig(plot, dpi=150)
        print(f"picture: {plot.absolute()}", file=sys.stderr)
    print(result.to_json() if as_json else result)
    if output is not None:
        print(f"adapter: {output.absolute()}", file=sys.stderr)


def _check_picture(path: Path) -> None:
    from sentlora.errors import ConfigError
    from sentlora.evaluation.plot_style import require_matplotlib

    if path.suffix.lower() not in _PICTURES:
        raise ConfigError(f"--plot must end in one of {', '.join(_PICTURES)}; found {path.name!r}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"The folder of --plot does not exist: {path.absolute().parent}. Create it first.")
    require_matplotlib("--plot")
