"""Commands that use an adapter folder: evaluate, predict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import AdapterPlace, LabelColumn, Quiet, Revision, TextColumn, app


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
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.workflow import write_table

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
    file: Annotated[Path | None, typer.Option("--file", "-f", help="CSV, TSV, JSONL or Parquet file.")] = None,
    column: Annotated[str | None, typer.Option("--column", help="Column of the texts in the file.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="CSV, JSONL or Parquet file.")] = None,
    abstain_below: Annotated[
        float | None, typer.Option(help="Leave the label empty where its probability is below this: 0.8.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    revision: Revision = None,
    quiet: Quiet = False,
) -> None:
    """Label texts: given as arguments, from a file, or one per line on standard input."""
    from sentlora.sharing.folder import read_folder
    from sentlora.sharing.hub import adapter_folder

    folder = adapter_folder(adapter, revision=revision, verbose=not quiet)
    config = read_folder(folder, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.data.prompts import Prompt
    from sentlora.inference.decision import check_abstention
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.workflow import check_output, lines_of, predictions, read_inputs, write_table

    check_output(output, file)
    if abstain_below is not None:
        check_abstention(abstain_below)
    prompt = None if config.prompt is None else Prompt(config.prompt)
    rows, text_column = read_inputs(texts, file, column, sys.stdin, prompt)
    clf = SentimentLoRA.load(folder, base_model=base, verbose=not quiet)
    table = predictions(clf, rows, text_column, abstain_below)
    if output is not None:
        write_table(table, output)
        print(f"{len(table):,} predictions: {output.absolute()}", file=sys.stderr)
    elif texts:
        for line in lines_of(table):
            print(line)
    else:
        table.to_csv(sys.stdout, index=False, lineterminator="\n", float_format="%.6g")
