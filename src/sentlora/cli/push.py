"""The command that puts an adapter folder on the Hub: push."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import Quiet, app


@app.command()
def push(
    adapter: Annotated[Path, typer.Argument(help="Adapter folder; it stays as it is.")],
    repository: Annotated[str, typer.Argument(help="Repository on the Hub: me/imdb-lora. It is made if need be.")],
    private: Annotated[
        bool | None, typer.Option("--private/--public", help="Of a new repository (as your settings have it).")
    ] = None,
    message: Annotated[str | None, typer.Option("--message", "-m", help="Of the commit.")] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Branch; made if need be (main).")] = None,
    base: Annotated[
        str | None, typer.Option("--base", help="The base model on the Hub, where it was a folder in training.")
    ] = None,
    license: Annotated[str | None, typer.Option("--license", help="apache-2.0, mit, cc-by-4.0 …")] = None,
    language: Annotated[str | None, typer.Option("--language", help="Of the texts: en, de …")] = None,
    quiet: Quiet = False,
) -> None:
    """Put an adapter on the Hub, in one commit: adapter, tokenizer, figures and model card; no data.

    The token is that of `hf auth login`, or of the environment variable HF_TOKEN.
    """
    from sentlora.sharing.folder import read_folder

    read_folder(adapter, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.sharing.pushing import Target, push_folder

    target = Target(repository, private, message, revision)
    pushed = push_folder(adapter, target, base_model=base, license=license, language=language, verbose=not quiet)
    print(pushed)
