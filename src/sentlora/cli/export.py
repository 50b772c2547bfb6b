"""The command that turns an adapter folder into what other programs read: export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import Quiet, TextColumn, app


@app.command()
def export(
    adapter: Annotated[Path, typer.Argument(help="Adapter folder.")],
    folder: Annotated[Path, typer.Argument(help="Where the merged model goes.")],
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    texts: Annotated[Path | None, typer.Option(help="File of texts to compare the merged model on.")] = None,
    text_column: TextColumn = None,
    quiet: Quiet = False,
) -> None:
    """Write the merged model, for programs that know transformers and no adapters."""
    from sentlora.sharing.folder import read_folder

    read_folder(adapter, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.workflow import read_inputs

    clf = SentimentLoRA.load(adapter, base_model=base, verbose=not quiet)
    sample = None
    if texts is not None:
        rows, column = read_inputs(None, texts, text_column, sys.stdin, clf.prompt_)
        sample = rows if column is None else rows[column]
    clf.export(folder, texts=sample)
    print(f"merged model: {folder.absolute()}")
