"""The command that opens a screen in a browser: app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import Quiet, app


@app.command(name="app")
def serve(
    adapter: Annotated[Path, typer.Argument(help="Adapter folder.")],
    host: Annotated[
        str, typer.Option("--host", help="Where it listens; 0.0.0.0 lets in whoever reaches this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="At which port.")] = 7860,
    share: Annotated[bool, typer.Option("--share", help="Ask gradio for a public address.")] = False,
    max_chars: Annotated[int, typer.Option(help="Longest text, in characters.")] = 20_000,
    max_file_mb: Annotated[float, typer.Option(help="Largest uploaded file, in MB.")] = 10,
    max_rows: Annotated[int, typer.Option(help="Longest uploaded file, in rows.")] = 20_000,
    queue: Annotated[int, typer.Option(help="Callers that may wait at a time.")] = 20,
    report: Annotated[
        Path | None, typer.Option("--report", help="Page to show, as evaluate --html writes it: report.html.")
    ] = None,
    example: Annotated[
        list[str] | None, typer.Option("--example", help="A text to choose from; may be repeated.")
    ] = None,
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    quiet: Quiet = False,
) -> None:
    """Open a screen in a browser: label a text or a file, and see what was measured."""
    from sentlora.sharing.folder import read_folder

    read_folder(adapter, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.app.limits import Limits
    from sentlora.app.serving import check_address, read_report, require_gradio
    from sentlora.app.serving import serve as open_screen
    from sentlora.sentiment_lora import SentimentLoRA

    require_gradio()
    check_address(host, port)
    read_report(report)
    limits = Limits(max_chars=max_chars, max_file_mb=max_file_mb, max_rows=max_rows, queue=queue)
    clf = SentimentLoRA.load(adapter, base_model=base, verbose=not quiet)
    open_screen(clf, host=host, port=port, share=share, report=report, examples=example, limits=limits)
