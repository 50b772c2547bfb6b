"""The command that all others hang on, and the options that several of them share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sentlora.labels import LabelMap

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
Labels = Annotated[
    str | None, typer.Option("--labels", help="Classes: negative,positive, or by value 0=negative,1=positive.")
]
Ratings = Annotated[
    str | None, typer.Option("--ratings", help="Classes of a rating scale: negative=1-2,neutral=3,positive=4-5.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there, also where it is for something else.")
]
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


def classes_of(labels: str | None, ratings: str | None) -> LabelMap | None:
    """Turn ``--labels`` or ``--ratings`` into classes.

    Args:
        labels: Names in the order of their ids, ``negative,positive``, or the value in the data with each name,
            ``0=negative,1=positive``.
        ratings: The ratings of each class: ``negative=1-2,neutral=3,positive=4-5``.

    Raises:
        ConfigError: If both are given, or the labels are written in another way.
        LabelError: If the classes cannot be told apart.

    Examples:
        >>> print(classes_of("0=negative,1=positive", None))
        0 = negative (data: 0), 1 = positive (data: 1)
        >>> classes_of("negative, positive", None).names
        ('negative', 'positive')
    """
    from sentlora.errors import ConfigError
    from sentlora.labels import LabelMap
    from sentlora.ratings import bins_of_text

    if labels is not None and ratings is not None:
        raise ConfigError("Give --labels or --ratings, and not both.")
    if ratings is not None:
        return LabelMap.from_ratings(bins_of_text(ratings))
    if labels is None:
        return None
    pairs = [[piece.strip() for piece in part.split("=")] for part in labels.split(",") if part.strip()]
    names_alone = all(len(pair) == 1 for pair in pairs)
    if not pairs or not (names_alone or all(len(pair) == 2 and all(pair) for pair in pairs)):
        raise ConfigError(
            "--labels takes names, such as negative,positive, or VALUE=NAME pairs, such as 0=negative,1=positive; "
            f"found {labels!r}."
        )
    if names_alone:
        return LabelMap.of([_number(name) for (name,) in pairs])
    return LabelMap.of({_number(value): name for value, name in pairs})


def _number(value: str) -> Any:
    """Take a number for a number, as it is one in most files; LabelMap also takes it where it was read as a text."""
    return int(value) if value.lstrip("-").isdecimal() else value


@app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False
) -> None:
    from sentlora.cli.wording import in_shell_words, options_of
    from sentlora.console import notices_worded

    if version:
        from importlib.metadata import version as version_of

        print(version_of("sentlora"))
        raise typer.Exit
    options = options_of(ctx.command, sys.argv[1:])
    ctx.with_resource(notices_worded(lambda line: in_shell_words(line, options)))
