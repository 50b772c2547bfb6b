"""The command that all others hang on, and the options that several of them share."""

from __future__ import annotations

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
AdapterPlace = Annotated[str, typer.Argument(help="Adapter folder, or its id on the Hub: me/imdb-lora.")]
Revision = Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit on the Hub (main).")]
TextColumn = Annotated[str | None, typer.Option("--text-column", help="Column of the texts.")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", help="Column of the labels.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only.")]
Adapter = Annotated[str | None, typer.Option("--adapter", help="What trains: lora, head, full or none (lora).")]
Variant = Annotated[
    str | None, typer.Option("--variant", help="lora, rslora, dora, pissa, olora, lora+ or ia3 (lora).")
]
RankPattern = Annotated[str | None, typer.Option("--rank-pattern", help="Ranks other than --r: query=16,mlp=4.")]
FreezeHead = Annotated[bool, typer.Option("--freeze-head", help="Leave the head as it is.")]
Layers = Annotated[str | None, typer.Option("--layers", help="last-4, first-2, or numbers: 0,1,2 (all).")]


def layers_of(text: str | None) -> str | list[int] | None:
    """Turn ``0,1,2`` into numbers; any other text is left to the check of the settings.

    Examples:
        >>> layers_of("0, 3"), layers_of("last-4")
        ([0, 3], 'last-4')
    """
    parts = [part.strip() for part in (text or "").split(",")]
    return [int(part) for part in parts] if all(part.isdecimal() for part in parts) else text


def ranks_of(text: str | None) -> dict[str, int] | None:
    """Turn ``query=16,mlp=4`` into ranks by role or module name.

    Raises:
        ConfigError: If it is something else.

    Examples:
        >>> ranks_of("query=16, mlp=4"), ranks_of(None)
        ({'query': 16, 'mlp': 4}, None)
    """
    from sentlora.errors import ConfigError

    ranks: dict[str, int] = {}
    for part in (text or "").split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if part.strip() and not (name and number.isdecimal() and name not in ranks):
            raise ConfigError(
                f"--rank-pattern takes each role once with its rank, such as query=16,mlp=4; found {text!r}."
            )
        if part.strip():
            ranks[name] = int(number)
    return ranks or None


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        from importlib.metadata import version as version_of

        print(version_of("sentlora"))
        raise typer.Exit
