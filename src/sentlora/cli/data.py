"""Commands about data: recipes, data profile."""

from __future__ import annotations

from typing import Annotated

import typer

from sentlora.cli.root import LabelColumn, Labels, Quiet, Ratings, TextColumn, app, classes_of

data_app = typer.Typer(help="Look at data before training on them.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@app.command()
def recipes() -> None:
    """List the named datasets."""
    from rich.console import Console
    from rich.table import Table

    from sentlora.data.recipes import get_recipe, list_recipes

    table = Table("recipe", "labels", "reported on", "what it is")
    for name in list_recipes():
        recipe = get_recipe(name)
        labels = recipe.label_map
        table.add_row(name, ", ".join(labels.names) if labels else "-", recipe.eval_split, recipe.description)
    Console().print(table)


@data_app.command()
def profile(
    data: Annotated[str | None, typer.Argument(help="Recipe, CSV, TSV, JSONL or Parquet file, or Hub id.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A named dataset; see `sentlora recipes`.")] = None,
    against: Annotated[list[str] | None, typer.Option(help="Other data to look for the same texts in.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Base model whose tokenizer counts tokens.")] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Tokens a text would be truncated to, with --tokenizer (256).", min=1)
    ] = None,
    near_duplicates: Annotated[bool, typer.Option("--near-duplicates", help="Look for nearly equal texts.")] = False,
    languages: Annotated[bool, typer.Option("--languages", help="Find out the languages of the texts.")] = False,
    labels: Labels = None,
    ratings: Ratings = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print markdown.")] = False,
    quiet: Quiet = False,
) -> None:
    """Say what is in a data set: classes, lengths, repeated texts, leaks between splits and data sets."""
    from sentlora.errors import ConfigError

    if (data is None) == (recipe is None):
        raise ConfigError("Give either data (sentlora data profile reviews.csv) or --recipe NAME, and not both.")
    if as_json and markdown:
        raise ConfigError("Give --json or --markdown, and not both.")
    if max_length is not None and tokenizer is None:
        raise ConfigError(
            "--max-length counts tokens, and there is no --tokenizer to count with. Name the base model whose "
            "tokenizer it is, such as --tokenizer minilm, or leave --max-length out."
        )
    classes = classes_of(labels, ratings)
    from sentlora.data.recipes import get_recipe
    from sentlora.profiling import profile as profile_of

    found = profile_of(
        data if recipe is None else get_recipe(recipe),
        other=against or None,
        base_model=tokenizer,
        max_length=256 if max_length is None else max_length,
        labels=classes,
        text_column=text_column,
        label_column=label_column,
        near_duplicates=near_duplicates,
        languages=languages,
        verbose=not quiet,
    )
    print(found.to_json() if as_json else found.to_markdown() if markdown else found)
