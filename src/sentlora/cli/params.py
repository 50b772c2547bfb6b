"""The command that counts: params."""

from __future__ import annotations

from typing import Annotated

import typer

from sentlora.cli.root import Adapter, FreezeHead, Layers, RankPattern, Variant, app, layers_of, ranks_of


@app.command()
def params(
    base: Annotated[str, typer.Argument(help="Base model: Hub id, minilm, or a folder with its config.json.")],
    r: Annotated[int | None, typer.Option("--r", "--rank", help="LoRA rank (8).")] = None,
    alpha: Annotated[float | None, typer.Option(help="LoRA alpha; it changes no count (16).")] = None,
    targets: Annotated[str | None, typer.Option(help="Roles, comma-separated: query,value,mlp … (all-linear).")] = None,
    layers: Layers = None,
    variant: Variant = None,
    adapter: Adapter = None,
    rank_pattern: RankPattern = None,
    quantization: Annotated[str | None, typer.Option(help="Hold the frozen weights in 8bit or 4bit (off).")] = None,
    freeze_head: FreezeHead = False,
    num_labels: Annotated[int, typer.Option(help="Classes of the head.", min=2)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count what would train, without weights and without training."""
    import json

    from sentlora.settings import Settings

    settings = Settings.resolve(
        {
            "r": r,
            "alpha": alpha,
            "targets": targets,
            "layers": layers_of(layers),
            "variant": variant,
            "adapter": adapter,
            "rank_pattern": ranks_of(rank_pattern),
            "quantization": quantization,
            "train_head": False if freeze_head else None,
        }
    )
    from sentlora.model.backbone import load_config
    from sentlora.model.counting import count_from_config

    config = load_config(base, alone=True)
    count = count_from_config(config, settings, num_labels)
    if as_json:
        print(json.dumps(count.to_dict()))
        return
    print(f"trainable:     {count.trainable:,} ({count.percent:.2f} %)")
    print(f"without head:  {count.trainable_without_head:,}")
    print(f"total:         {count.total:,}")
    print(f"{count.file + ':':<14} {_size(count.adapter_bytes, settings.adapter, config.is_encoder_decoder)}")
    print(f"optimizer:     {count.optimizer_bytes / 1e6:,.1f} MB in training (AdamW)")


def _size(saved: int, adapter: str, writes_text: bool) -> str:
    if adapter != "none":
        return f"{saved / 1e3:,.0f} kB"
    # A head that nobody trained is saved all the same, as it starts at random; words to answer with need none.
    return "-" if writes_text else f"{saved / 1e3:,.0f} kB (the untrained head)"
