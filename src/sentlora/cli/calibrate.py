"""The command that sets how an adapter decides: calibrate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import LabelColumn, Quiet, TextColumn, app


@app.command()
def calibrate(
    adapter: Annotated[Path, typer.Argument(help="Adapter folder; it is written anew.")],
    data: Annotated[str, typer.Argument(help="Labelled file, recipe:split, or Hub id; not what you report on.")],
    fpr: Annotated[float | None, typer.Option(help="Highest false positive rate of the threshold: 0.05.")] = None,
    tpr: Annotated[float | None, typer.Option(help="Lowest true positive rate of the threshold: 0.9.")] = None,
    f1: Annotated[str | None, typer.Option(help="max, for the threshold with the highest F1.")] = None,
    keep_temperature: Annotated[
        bool, typer.Option("--keep-temperature", help="Choose a threshold, and leave the probabilities as they are.")
    ] = False,
    base: Annotated[str | None, typer.Option("--base", help="Where the base model is now.")] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    quiet: Quiet = False,
) -> None:
    """Fit an adapter's probabilities to labelled rows, and choose its threshold by what may go wrong."""
    from sentlora.sharing.folder import read_folder

    read_folder(adapter, verify=False)  # a wrong name is told before the heavy libraries are loaded
    from sentlora.errors import ConfigError
    from sentlora.evaluation.thresholds import rule_of
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.sharing.saving import save_decision

    with_threshold = any(value is not None for value in (fpr, tpr, f1))
    if with_threshold:
        rule_of(fpr, tpr, f1)
    elif keep_temperature:
        raise ConfigError("--keep-temperature leaves nothing to do without --fpr, --tpr or --f1.")
    clf = SentimentLoRA.load(adapter, base_model=base, verbose=not quiet)
    clf.set_params(text_column=text_column, label_column=label_column, verbose=False)
    if not keep_temperature:
        found = clf.calibrate(data)
        print(found)
        for note in [] if quiet else found.notes:
            print(f"Note: {note}", file=sys.stderr)
    if with_threshold:
        print(clf.choose_threshold(data, fpr=fpr, tpr=tpr, f1=f1))
    save_decision(adapter, temperature=clf.temperature_, threshold=clf.threshold_, threshold_rule=clf.threshold_rule_)
    print(f"adapter: {adapter.absolute()}")
