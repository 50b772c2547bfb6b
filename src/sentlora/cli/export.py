"""The command that turns an adapter folder into what other programs read: export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sentlora.cli.root import AdapterPlace, LabelColumn, Overwrite, Quiet, Revision, TextColumn, app


@app.command()
def export(
    adapter: AdapterPlace,
    folder: Annotated[Path, typer.Argument(help="Where the merged model goes.")],
    format: Annotated[str, typer.Option("--format", help="transformers or onnx.")] = "transformers",
    quantize: Annotated[str | None, typer.Option("--quantize", help="int8, for onnx (full precision).")] = None,
    texts: Annotated[
        str | None, typer.Option("--texts", help="What to compare the two on: a file, best with labels, or imdb:test.")
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(help="Largest difference of a logit (0.001), or with int8 share of changed labels (0.02); none."),
    ] = None,
    overwrite: Overwrite = False,
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    revision: Revision = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    quiet: Quiet = False,
) -> None:
    """Write the merged model, for programs that know no adapters: a transformers folder, or an ONNX graph."""
    from sentlora.sharing.folder import read_folder
    from sentlora.sharing.hub import adapter_folder

    source = adapter_folder(adapter, revision=revision, verbose=not quiet)
    read_folder(source, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.inference.export import check_request
    from sentlora.sentiment_lora import SentimentLoRA

    allowed = _tolerance_of(tolerance)
    check_request(format, quantize, allowed)
    clf = SentimentLoRA.load(source, base_model=base, verbose=not quiet)
    clf.set_params(text_column=text_column, label_column=label_column)
    sample = None if texts is None else _rows_of(texts)
    how: dict[str, Any] = {"format": format, "quantize": quantize, "tolerance": allowed}
    clf.export(folder, texts=sample, overwrite=overwrite, **how)
    print(f"{'ONNX' if format == 'onnx' else 'merged'} model: {folder.absolute()}")


def _rows_of(texts: str) -> object:
    """Read a file, which may be without labels; what is no file has a name that the classifier knows."""
    from sentlora.data.files import read_table

    return read_table(Path(texts)) if Path(texts).is_file() else texts


def _tolerance_of(text: str | None) -> float | str | None:
    from sentlora.errors import ConfigError

    if text is None or text.lower() == "none":
        return "default" if text is None else None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--tolerance takes a number such as 0.01, or none; found {text!r}.") from None
