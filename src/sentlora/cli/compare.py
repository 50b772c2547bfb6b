"""The command that compares: compare."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from sentlora.cli.root import Base, LabelColumn, Quiet, TextColumn, app

_PICTURES = (".png", ".svg", ".pdf")


@app.command()
def compare(
    data: Annotated[str | None, typer.Argument(help="CSV, TSV, JSONL or Parquet file, or a Hub id.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A named dataset; see `sentlora recipes`.")] = None,
    base: Base = "distilbert/distilbert-base-uncased",
    modes: Annotated[str | None, typer.Option(help="Of majority,tfidf,head,lora,full (all that suit).")] = None,
    r: Annotated[str | None, typer.Option("--r", help="LoRA ranks: 4,8,16 (8).")] = None,
    targets: Annotated[
        list[str] | None, typer.Option(help="Roles of one choice: query,value. Again for another choice (all-linear).")
    ] = None,
    schedulers: Annotated[str | None, typer.Option(help="linear,cosine,constant,one-cycle … (linear).")] = None,
    variants: Annotated[str | None, typer.Option(help="lora,rslora,dora,pissa,olora,lora+,ia3 (lora).")] = None,
    alphas: Annotated[str | None, typer.Option(help="LoRA scalings: 16,32, or times the rank: 1r,2r (16).")] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            help="Texts for TF-IDF: none,classic,lower_case+punctuation,classic-stem … or each: every step in turn "
            "(none)."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, from 0.")] = 1,
    n_train: Annotated[int | None, typer.Option(help="Stratified subsample of the training rows.")] = None,
    n_test: Annotated[int | None, typer.Option(help="Stratified subsample of the rows to report on.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training rows, for all.")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens a text is truncated to, for all.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per optimizer step, for all.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate, for all (each mode its own).")
    ] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that keeps what is measured.")] = Path(
        "sentlora-comparison"
    ),
    plot: Annotated[Path | None, typer.Option(help="Another place for the picture: .png, .svg or .pdf.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what was measured before.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print markdown.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare head only, LoRA and full fine-tuning, ranks, targets and schedules, on the same rows."""
    from sentlora.errors import ConfigError

    if (data is None) == (recipe is None):
        raise ConfigError("Give either a data file (sentlora compare reviews.csv) or --recipe NAME, and not both.")
    ranks, scalings = _list("--r", r, int), _list("--alphas", alphas, _alpha)
    if plot is not None:
        _check_picture(plot)
    from sentlora.comparison.comparing import compare as measure

    shared = {"epochs": epochs, "max_length": max_length, "batch_size": batch_size, "learning_rate": learning_rate}
    comparison = measure(
        data if recipe is None else recipe,
        base_model=base,
        modes=_list("--modes", modes, str),
        r=ranks,
        targets=targets or None,
        schedulers=_list("--schedulers", schedulers, str),
        variants=_list("--variants", variants, str),
        alphas=scalings,
        preprocess=_list("--preprocess", preprocess, str),
        seeds=seeds,
        n_train=n_train,
        n_test=n_test,
        settings={name: value for name, value in shared.items() if value is not None},
        text_column=text_column,
        label_column=label_column,
        folder=output,
        fresh=fresh,
        verbose=not quiet,
    )
    place = comparison.save(output, verbose=not quiet)
    if plot is not None:
        comparison.plot().savefig(plot, dpi=150)
    print(comparison.to_json() if as_json else comparison.to_markdown() if markdown else comparison)
    print(f"comparison: {place}", file=sys.stderr)
    if comparison.failed:
        raise typer.Exit(1)


def _list(option: str, text: str | None, read: Callable[[str], Any]) -> list[Any] | None:
    if text is None:
        return None
    try:
        return [read(part.strip()) for part in text.split(",") if part.strip()]
    except ValueError:
        from sentlora.errors import ConfigError

        raise ConfigError(f"{option} must be numbers with commas between, such as 4,8,16; found {text!r}.") from None


def _alpha(text: str) -> float | str:
    return text if text.endswith("r") else float(text)


def _check_picture(path: Path) -> None:
    from sentlora.errors import ConfigError
    from sentlora.evaluation.plot_style import require_matplotlib

    if path.suffix.lower() not in _PICTURES:
        raise ConfigError(f"--plot must end in one of {', '.join(_PICTURES)}; found {path.name!r}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"The folder of --plot does not exist: {path.absolute().parent}. Create it first.")
    require_matplotlib("--plot")
