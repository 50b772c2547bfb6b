"""The command that explains a prediction: explain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import AdapterPlace, Quiet, Revision, app


@app.command()
def explain(
    adapter: AdapterPlace,
    text: Annotated[str, typer.Argument(help="The text.")],
    label: Annotated[str | None, typer.Option("--label", help="Label to explain (the predicted one).")] = None,
    steps: Annotated[int | None, typer.Option(help="Steps from the baseline; more are more exact (32).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Also write a page: page.html.")] = None,
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    revision: Revision = None,
    quiet: Quiet = False,
) -> None:
    """Show which words of a text speak for its label, and which against it."""
    from sentlora.sharing.folder import read_folder
    from sentlora.sharing.hub import adapter_folder

    folder = adapter_folder(adapter, revision=revision, verbose=not quiet)
    config = read_folder(folder, verify=False)  # what is wrong is told before the model is loaded
    from sentlora.evaluation.report import check_report_path
    from sentlora.inference.attribution import check_steps, label_id, require_captum
    from sentlora.sentiment_lora import SentimentLoRA

    require_captum()
    check_steps(steps)
    if label is not None:
        label_id(config.labels, label)
    if html is not None:
        check_report_path(html, (".html",))
    found = SentimentLoRA.load(folder, base_model=base, verbose=not quiet).explain(text, label, steps=steps)
    print(found.to_json() if as_json else found)
    if html is not None:
        found.to_html(html)
        print(f"page: {html.absolute()}", file=sys.stderr)
