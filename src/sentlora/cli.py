"""The command line: parsing only. The work is done by the facade and by the modules next to it.

Everything heavy is imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="sentlora",
    help="Train, evaluate and use sentiment classifiers with LoRA.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DEFAULT_FOLDER = Path("sentlora-adapter")

Base = Annotated[str, typer.Option("--base", help="Base model: Hub id, folder, or minilm.")]
TextColumn = Annotated[str | None, typer.Option("--text-column", help="Column of the texts.")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help="Column of the labels.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(version_of("sentlora"))
        raise typer.Exit


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where the adapter is saved.")] = Path("imdb-lora"),
    n_train: Annotated[int | None, typer.Option(help="Training reviews; fewer is faster.", min=50)] = None,
    n_test: Annotated[int, typer.Option(help="Reviews to evaluate on.", min=50)] = 1000,
) -> None:
    """Train on real IMDb reviews with the embedded model, and show before and after."""
    from sentlora.demo import run_demo

    run_demo(output, n_train=n_train, n_test=n_test)


@app.command()
def train(
    data: Annotated[str | None, typer.Argument(help="CSV, TSV, JSONL or Parquet file, or a Hub id.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A named dataset; see `sentlora recipes`.")] = None,
    base: Base = "distilbert/distilbert-base-uncased",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the adapter is saved.")] = DEFAULT_FOLDER,
    validation: Annotated[str | None, typer.Option(help="File to choose the best epoch by.")] = None,
    test: Annotated[str | None, typer.Option(help="File or recipe:split to report on.")] = None,
    r: Annotated[int | None, typer.Option("--r", help="LoRA rank (8).")] = None,
    alpha: Annotated[float | None, typer.Option(help="LoRA alpha (16).")] = None,
    dropout: Annotated[float | None, typer.Option(help="LoRA dropout (0.05).")] = None,
    targets: Annotated[str | None, typer.Option(help="Roles, comma-separated: query,value,mlp … (all-linear).")] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the training rows (3; more on little data).")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate (5e-4).")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per optimizer step (16).")] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens a text is truncated to (256).")] = None,
    truncation: Annotated[str | None, typer.Option(help="head, tail or head-tail (head).")] = None,
    scheduler: Annotated[str | None, typer.Option(help="linear, cosine or constant (linear).")] = None,
    class_weights: Annotated[str | None, typer.Option(help="balanced, for rare classes.")] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Template of fields and instruction: 'Rate this:\\nTitle: {title} Text: {body}'.")
    ] = None,
    decode: Annotated[
        str | None, typer.Option(help="How a text-to-text model chooses a label, score or generate (score).")
    ] = None,
    keep: Annotated[str | None, typer.Option(help="Whose weights, the best or the last epoch's.")] = None,
    early_stopping: Annotated[int | None, typer.Option(help="Epochs without improvement before stopping.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random (0).")] = None,
    n_train: Annotated[int | None, typer.Option(help="Stratified subsample of a recipe's training rows.")] = None,
    n_test: Annotated[int | None, typer.Option(help="Stratified subsample of its test rows.")] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    checkpoints: Annotated[Path | None, typer.Option(help="Folder that keeps checkpoints, for --resume.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train an adapter, report on held-out rows where there are some, and save it."""
    from sentlora.errors import ConfigError
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.workflow import TrainingJob, run_training

    if (data is None) == (recipe is None):
        raise ConfigError("Give either a data file (sentlora train reviews.csv) or --recipe NAME, and not both.")
    clf = SentimentLoRA(
        base,
        r=r,
        alpha=alpha,
        dropout=dropout,
        targets=targets,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_length=max_length,
        truncation=truncation,
        scheduler=scheduler,
        class_weights=class_weights,
        # A shell hands over a backslash and an n, where a line break is meant.
        prompt=None if prompt is None else prompt.replace("\\n", "\n"),
        decode=decode,
        keep=keep,
        early_stopping=early_stopping,
        seed=seed,
        text_column=text_column,
        label_column=label_column,
        output_dir=checkpoints,
        verbose=not quiet,
    )
    job = TrainingJob(data, recipe, validation, test, n_train, n_test, output, resume)
    report = run_training(clf, job)
    if report is not None:
        print(report)
    print(f"adapter: {output.absolute()}")


@app.command()
def evaluate(
    adapter: Annotated[Path, typer.Argument(help="Adapter folder.")],
    data: Annotated[str, typer.Argument(help="Labelled file, recipe:split, or Hub id.")],
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print markdown.")] = False,
    quiet: Quiet = False,
) -> None:
    """Compare an adapter's predictions with true labels."""
    from sentlora.sharing.folder import read_folder

    read_folder(adapter, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.sentiment_lora import SentimentLoRA

    clf = SentimentLoRA.load(adapter, base_model=base, verbose=not quiet)
    clf.set_params(text_column=text_column, label_column=label_column)
    report = clf.evaluate(data)
    print(report.to_json() if as_json else report.to_markdown() if markdown else report)


@app.command()
def predict(
    adapter: Annotated[Path, typer.Argument(help="Adapter folder.")],
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; without any, --file or standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="CSV, TSV, JSONL or Parquet file.")] = None,
    column: Annotated[str | None, typer.Option("--column", help="Column of the texts in the file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV, JSONL or Parquet file.")] = None,
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    quiet: Quiet = False,
) -> None:
    """Label texts: given as arguments, from a file, or one per line on standard input."""
    from sentlora.sharing.folder import read_folder

    config = read_folder(adapter, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.data.prompts import Prompt
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.workflow import check_output, lines_of, predictions, read_inputs, write_table

    check_output(output, file)
    prompt = None if config.prompt is None else Prompt(config.prompt)
    rows, text_column = read_inputs(texts, file, column, sys.stdin, prompt)
    clf = SentimentLoRA.load(adapter, base_model=base, verbose=not quiet)
    table = predictions(clf, rows, text_column)
    if output is not None:
        write_table(table, output)
        print(f"{len(table):,} predictions: {output.absolute()}", file=sys.stderr)
    elif texts:
        for line in lines_of(table):
            print(line)
    else:
        table.to_csv(sys.stdout, index=False, lineterminator="\n", float_format="%.6g")


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


def main() -> None:
    """Run the command line; the library's own errors are shown without a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        from sentlora.errors import SentloraError

        if not isinstance(error, SentloraError):
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
