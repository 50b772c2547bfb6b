"""The command that counts: params."""

from __future__ import annotations

from typing import Annotated

import typer

from sentlora.cli.root import Adapter, Layers, Variant, app, layers_of


@app.command()
def params(
    base: Annotated[str, typer.Argument(help="Base model: Hub id, minilm, or a folder with its config.json.")],
    r: Annotated[int | None, typer.Option("--r", "--rank", help="LoRA rank (8).")] = None,
    alpha: Annotated[float | None, typer.Option(help="LoRA alpha; it changes no count (16).")] = None,
    targets: Annotated[str | None, typer.Option(help="Roles, comma-separated: query,value,mlp … (all-linear).")] = None,
    layers: Layers = None,
    variant: Variant = None,
    adapter: Adapter = None,
    rank_pattern: Annotated[str | None, typer.Option(help="Ranks other than --r: query=16,mlp=4.")] = None,
    freeze_head: Annotated[bool, typer.Option("--freeze-head", help="Leave the head as it is.")] = False,
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
            "rank_pattern": _ranks(rank_pattern),
            "train_head": False if freeze_head else None,
        }
    )
    from sentlora.model.backbone import load_config
    from sentlora.model.counting import count_from_config

    count = count_from_config(load_config(base), settings, num_labels)
    if as_json:
        print(json.dumps(count.to_dict()))
        return
    print(f"trainable:     {count.trainable:,} ({count.percent:.2f} %)")
    print(f"without head:  {count.trainable_without_head:,}")
    print(f"total:         {count.total:,}")
    print(f"{count.file + ':':<14} {count.adapter_bytes / 1e3:,.0f} kB")
    print(f"optimizer:     {count.optimizer_bytes / 1e6:,.1f} MB in training (AdamW)")


def _ranks(text: str | None) -> dict[str, int] | None:
    """Turn ``query=16,mlp=4`` into ranks by role or module name."""
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
