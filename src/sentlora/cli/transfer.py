"""The command that tests adapters on other data than their own: transfer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import LabelColumn, Quiet, Ratings, TextColumn, app, classes_of


@app.command()
def transfer(
    adapters: Annotated[
        list[str], typer.Option("--adapters", "-a", help="Adapter folders, comma-separated: runs/imdb,films=runs/rt.")
    ],
    data: Annotated[
        list[str], typer.Option("--data", "-d", help="Recipes, recipe:split, files or Hub ids: imdb,mine=reviews.csv.")
    ],
    train_data: Annotated[
        list[str] | None,
        typer.Option(help="What an adapter was trained on, where its folder names no recipe: films=train.csv."),
    ] = None,
    max_rows: Annotated[int | None, typer.Option(help="Stratified sample of each data set.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the samples.", min=0)] = 0,
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    labels: Annotated[
        str | None, typer.Option(help="Classes of data that are no recipe, by value: 0=negative,1=positive.")
    ] = None,
    ratings: Ratings = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for tables and picture.")] = None,
    dark: Annotated[bool, typer.Option("--dark", help="Draw the picture for dark paper.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print markdown.")] = False,
    quiet: Quiet = False,
) -> None:
    """Test each of several adapters on each of several data sets, in one table."""
    from sentlora.errors import ConfigError

    if as_json and markdown:
        raise ConfigError("Give --json or --markdown, and not both.")
    classes = classes_of(labels, ratings)
    from sentlora.transferring.names import data_name, parse_named
    from sentlora.transferring.table import check_folder

    folders = parse_named("--adapters", adapters)
    parts = parse_named("--data", data, data_name)
    given = parse_named("--train-data", train_data, named=True) if train_data else None
    if output is not None:
        check_folder(output)
    from sentlora.transferring.measuring import transfer as measure

    found = measure(
        folders,
        parts,
        train_data=given,
        max_rows=max_rows,
        seed=seed,
        base_model=base,
        labels=classes,
        text_column=text_column,
        label_column=label_column,
        verbose=not quiet,
    )
    if output is not None:
        print(f"transfer: {found.save(output, dark=dark, verbose=not quiet)}", file=sys.stderr)
    print(found.to_json() if as_json else found.to_markdown() if markdown else found)
