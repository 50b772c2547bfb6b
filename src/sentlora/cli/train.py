"""Commands that train: demo, train."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sentlora.cli.root import (
    DEFAULT_FOLDER,
    Adapter,
    Base,
    FreezeHead,
    LabelColumn,
    Labels,
    Layers,
    Overwrite,
    Quiet,
    RankPattern,
    Ratings,
    TextColumn,
    Variant,
    app,
    classes_of,
    layers_of,
    ranks_of,
)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where the adapter is saved.")] = Path("imdb-lora"),
    n_train: Annotated[int | None, typer.Option(help="Training reviews; fewer is faster.", min=50)] = None,
    n_test: Annotated[int, typer.Option(help="Reviews to evaluate on.", min=50)] = 1000,
) -> None:
    """Train on real IMDb reviews with the embedded model, and show before and after."""
    from sentlora.demo import run_demo

    run_demo(output, n_train=n_train, n_test=n_test)


@app.command()
def train(
    data: Annotated[str | None, typer.Argument(help="CSV, TSV, JSONL or Parquet file, or a Hub id.")] = None,
    recipe: Annotated[str | None, typer.Option(help="A named dataset; see `sentlora recipes`.")] = None,
    base: Base = "distilbert/distilbert-base-uncased",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where the adapter is saved.")] = DEFAULT_FOLDER,
    overwrite: Overwrite = False,
    validation: Annotated[str | None, typer.Option(help="File to choose the best epoch by.")] = None,
    test: Annotated[str | None, typer.Option(help="File or recipe:split to report on.")] = None,
    adapter: Adapter = None,
    variant: Variant = None,
    r: Annotated[int | None, typer.Option("--r", "--rank", help="LoRA rank (8).")] = None,
    alpha: Annotated[float | None, typer.Option(help="LoRA alpha (16).")] = None,
    dropout: Annotated[float | None, typer.Option(help="LoRA dropout (0.05).")] = None,
    targets: Annotated[str | None, typer.Option(help="Roles, comma-separated: query,value,mlp … (all-linear).")] = None,
    layers: Layers = None,
    rank_pattern: RankPattern = None,
    freeze_head: FreezeHead = False,
    head_start: Annotated[
        str | None, typer.Option(help="Where a fresh head starts: probe, fitted to the features, or random (probe).")
    ] = None,
    quantization: Annotated[str | None, typer.Option(help="Hold the frozen weights in 8bit or 4bit (off).")] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the training rows (3; more on little data).")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", help="Peak learning rate (5e-4).")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per optimizer step (16).")] = None,
    batching: Annotated[
        str | None,
        typer.Option(help="grouped by length; micro: random, cut by length, for the same gradient; random (grouped)."),
    ] = None,
    tokens_per_batch: Annotated[
        int | None, typer.Option(help="Padded tokens trained on at a time; larger batches are cut (by device).")
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, bf16 (mixed), or auto: bf16 where the device has it (auto).")
    ] = None,
    cache_prefix: Annotated[
        bool | None,
        typer.Option(
            "--cache-prefix/--no-cache-prefix",
            help="Compute the frozen layers below LoRA once for all epochs (where that changes nothing).",
        ),
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Tokens a text is truncated to (256).")] = None,
    truncation: Annotated[str | None, typer.Option(help="head, tail or head-tail (head).")] = None,
    scheduler: Annotated[str | None, typer.Option(help="linear, cosine, constant, one-cycle … (linear).")] = None,
    labels: Labels = None,
    ratings: Ratings = None,
    class_weights: Annotated[str | None, typer.Option(help="balanced, for rare classes.")] = None,
    augment: Annotated[
        str | None,
        typer.Option(help="Rows to add for training: word_dropout=0.1,word_swap,synonyms,copies=2,balance (none)."),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="Template of fields and instruction: 'Rate this:\\nTitle: {title} Text: {body}'.")
    ] = None,
    decode: Annotated[
        str | None, typer.Option(help="How a text-to-text model chooses a label, score or generate (score).")
    ] = None,
    keep: Annotated[str | None, typer.Option(help="Whose weights, the best or the last epoch's.")] = None,
    early_stopping: Annotated[int | None, typer.Option(help="Epochs without improvement before stopping.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random (0).")] = None,
    n_train: Annotated[int | None, typer.Option(help="Stratified subsample of a recipe's training rows.")] = None,
    n_test: Annotated[int | None, typer.Option(help="Stratified subsample of its test rows.")] = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Train although held-out rows are among the training rows.")
    ] = False,
    checkpoints: Annotated[Path | None, typer.Option(help="Folder that keeps checkpoints, for --resume.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train an adapter, report on held-out rows where there are some, and save it."""
    from sentlora import processes
    from sentlora.errors import ConfigError
    from sentlora.sentiment_lora import SentimentLoRA
    from sentlora.workflow import TrainingJob, run_training

    if (data is None) == (recipe is None):
        raise ConfigError("Give either a data file (sentlora train reviews.csv) or --recipe NAME, and not both.")
    clf = SentimentLoRA(
        base,
        adapter=adapter,
        variant=variant,
        r=r,
        alpha=alpha,
        dropout=dropout,
        targets=targets,
        layers=layers_of(layers),
        rank_pattern=ranks_of(rank_pattern),
        train_head=False if freeze_head else None,
        head_start=head_start,
        quantization=quantization,
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        batching=batching,
        tokens_per_batch=tokens_per_batch,
        precision=precision,
        cache_prefix=cache_prefix,
        max_length=max_length,
        truncation=truncation,
        scheduler=scheduler,
        labels=classes_of(labels, ratings),
        class_weights=class_weights,
        augment=augment,
        # A shell hands over a backslash and an n, where a line break is meant.
        prompt=None if prompt is None else prompt.replace("\\n", "\n"),
        decode=decode,
        keep=keep,
        early_stopping=early_stopping,
        seed=seed,
        text_column=text_column,
        label_column=label_column,
        allow_leaks=allow_leaks,
        output_dir=checkpoints,
        verbose=not quiet,
    )
    job = TrainingJob(data, recipe, validation, test, n_train, n_test, output, resume, overwrite)
    try:
        report = run_training(clf, job)
    except KeyboardInterrupt as stopped:
        print(str(stopped) or "Interrupted.", file=sys.stderr)
        print(_how_to_go_on(checkpoints, sys.argv[1:]), file=sys.stderr)
        raise typer.Exit(130) from None
    if not processes.is_first():
        return
    if report is not None:
        print(report)
    print(f"adapter: {output.absolute()}")


def _how_to_go_on(checkpoints: Path | None, arguments: Sequence[str]) -> str:
    """Return what to type after a run was interrupted."""
    from sentlora.training.arguments import has_checkpoint

    if checkpoints is None:
        return "Nothing of the run is kept. With --checkpoints FOLDER it could be stopped, and gone on with (--resume)."
    if not has_checkpoint(checkpoints):
        return f"There is no checkpoint in {checkpoints} yet; the same command begins anew."
    return f"Go on:\n  {shlex.join(['sentlora', *(a for a in arguments if a != '--resume'), '--resume'])}"
