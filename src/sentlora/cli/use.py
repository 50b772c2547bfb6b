"""Commands that use an adapter folder: evaluate, predict."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sentlora.cli.root import AdapterPlace, LabelColumn, Quiet, Revision, TextColumn, app

if TYPE_CHECKING:
    import pandas as pd


@app.command()
def evaluate(
    adapter: AdapterPlace,
    data: Annotated[str, typer.Argument(help="Labelled file, recipe:split, or Hub id.")],
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    revision: Revision = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print markdown.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page with plots: report.html.")] = None,
    label_issues: Annotated[
        Path | None, typer.Option("--label-issues", help="Also write the rows whose label is likely wrong: issues.csv.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compare an adapter's predictions with true labels."""
    from sentlora.sharing.folder import read_folder
    from sentlora.sharing.hub import adapter_folder

    folder = adapter_folder(adapter, revision=revision, verbose=not quiet)
    read_folder(folder, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.data.text import replace_lone_surrogates
    from sentlora.errors import ConfigError
    from sentlora.evaluation.label_issues import require_cleanlab
    from sentlora.evaluation.plot_style import require_matplotlib
    from sentlora.evaluation.report import check_report_path
    from sentlora.inference.tables import write_table
    from sentlora.sentiment_lora import SentimentLoRA

    if as_json and markdown:
        raise ConfigError("Give --json or --markdown, and not both.")
    if html is not None:
        check_report_path(html, (".html",))
        require_matplotlib("An HTML report")
    if label_issues is not None:
        check_report_path(label_issues, (".csv", ".tsv", ".jsonl", ".parquet"))
        require_cleanlab()
    clf = SentimentLoRA.load(folder, base_model=base, verbose=not quiet)
    clf.set_params(text_column=text_column, label_column=label_column)
    report = clf.evaluate(data)
    print(report.to_json() if as_json else report.to_markdown() if markdown else report)
    if html is not None:
        print(f"report: {report.save(html)}", file=sys.stderr)
    if label_issues is not None:
        found = report.label_issues(None)
        write_table(found.assign(text=found["text"].map(replace_lone_surrogates)), label_issues)
        errors = "likely label error" if len(found) == 1 else "likely label errors"
        print(f"{len(found):,} {errors}: {label_issues.absolute()}", file=sys.stderr)


@app.command()
def predict(
    adapter: AdapterPlace,
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; without any, --file or standard input.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--file", "-f", help="CSV, TSV, JSONL or Parquet file; with --engine ray a folder, 's3://…', too."
        ),
    ] = None,
    column: Annotated[str | None, typer.Option("--column", help="Column of the texts in the file.")] = None,
    target: Annotated[
        str | None, typer.Option("--output", "-o", help="CSV, TSV, JSONL or Parquet file; with --engine ray a folder.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run of this --output was cut off.")] = False,
    abstain_below: Annotated[
        float | None, typer.Option(help="Leave the label empty where its probability is below this: 0.8.")
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="local, or ray for many workers.")] = "local",
    workers: Annotated[int | None, typer.Option("--workers", help="Of --engine ray, a CPU each (all CPUs).")] = None,
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    revision: Revision = None,
    quiet: Quiet = False,
) -> None:
    """Label texts: given as arguments, from a file of any size, or one per line on standard input."""
    from sentlora.sharing.folder import read_folder
    from sentlora.sharing.hub import adapter_folder

    folder = adapter_folder(adapter, revision=revision, verbose=not quiet)
    config = read_folder(folder, verify=False)  # a wrong name is told before the heavy libraries are loaded
    import pandas as pd

    from sentlora.data.file_texts import CHUNK_ROWS, find_texts_of_file
    from sentlora.data.headers import UsualColumns
    from sentlora.data.prompts import Prompt
    from sentlora.errors import ConfigError
    from sentlora.inference.decision import check_abstention
    from sentlora.inference.file_scoring import score_file, scored_parts
    from sentlora.inference.tables import (
        check_output,
        lines_in_parts,
        lines_of,
        predictions,
        print_parts,
        table_of_texts,
        write_table,
    )
    from sentlora.sentiment_lora import SentimentLoRA

    if engine not in ("local", "ray"):
        raise ConfigError(f"--engine must be local or ray; found {engine!r}.")
    if workers is not None and engine != "ray":
        raise ConfigError("--workers counts the workers of --engine ray; give both, or leave --workers out.")
    if texts and source is not None:
        raise ConfigError("Give texts or --file, and not both.")
    if column is not None and source is None:
        raise ConfigError("--column names a column of --file; there is no file.")
    if resume and (source is None or target is None):
        raise ConfigError("--resume goes on from --file to --output; it needs both.")
    if engine == "ray":
        from sentlora.predicting import predict_files

        if source is None or target is None:
            raise ConfigError(
                "--engine ray reads the files of --file and writes the folder of --output; it needs both."
            )
        how: dict[str, Any] = {"column": column, "abstain_below": abstain_below, "workers": workers, "resume": resume}
        n_rows = predict_files(adapter, source, target, base_model=base, revision=revision, verbose=not quiet, **how)
        print(f"{n_rows:,} predictions: {target}", file=sys.stderr)
        return
    file, output = None if source is None else Path(source), None if target is None else Path(target)
    check_output(output, file)
    if abstain_below is not None:
        check_abstention(abstain_below)
    found = None
    if file is not None:  # its faults, too, are told before the model is loaded
        prompt = None if config.prompt is None else Prompt(config.prompt)
        usual = UsualColumns(config.text_column, config.label_column)
        found = find_texts_of_file(file, column, prompt, usual, verbose=not quiet)
    clf = SentimentLoRA.load(folder, base_model=base, verbose=not quiet)
    if found is not None and output is not None:
        n_rows = score_file(clf, found, output, abstain_below=abstain_below, resume=resume)
        print(f"{n_rows:,} predictions: {output.absolute()}", file=sys.stderr)
        return
    scored: Iterable[pd.DataFrame]
    if texts:
        scored = [predictions(clf, table_of_texts(texts), "text", abstain_below)]
    elif found is not None:
        parts = found.file.parts(CHUNK_ROWS)
        scored = scored_parts(clf, parts, found.text_column, abstain_below, total=found.file.n_rows)
    else:
        scored = scored_parts(clf, lines_in_parts(sys.stdin, CHUNK_ROWS, verbose=not quiet), "text", abstain_below)
    if output is not None:
        table = pd.concat(scored)
        write_table(table, output)
        print(f"{len(table):,} predictions: {output.absolute()}", file=sys.stderr)
    elif texts:
        for line in lines_of(pd.concat(scored)):
            print(line)
    else:
        print_parts(scored, sys.stdout)
