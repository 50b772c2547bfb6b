"""A comparison laid out in plain text and in markdown."""

from __future__ import annotations

from collections.abc import Sequence

from sentlora.comparison.entries import Entry, kept_epochs

HEADER = ("", "accuracy", "95 % interval", "macro F1", "ROC-AUC", "trainable", "file kB", "fit s", "peak MB")
_GPU = "GPU MB"
_NONE = "-"


def as_cells(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Write every figure as text.

    Args:
        entries: The lines.

    Returns:
        The headings, and the cells of each line.
    """
    gpu = any(entry.values("gpu_bytes") for entry in entries)
    kept = kept_epochs([row for entry in entries for row in entry.rows])
    epoch = "epoch kept" if len(kept) > 1 else f"{next(iter(kept), 'best')} epoch"
    return [*HEADER, *([_GPU] if gpu else []), epoch], [_cells(entry, gpu=gpu) for entry in entries]


def figure(entry: Entry, name: str, how: str, unit: float = 1) -> str:
    """Write one figure: the value, or mean ± sample standard deviation over the seeds.

    Args:
        entry: The line.
        name: The figure.
        how: The format of a number.
        unit: What it is divided by.
    """
    mean, sd = entry.mean(name), entry.sd(name)
    if mean is None:
        return _NONE
    return how.format(mean / unit) + ("" if sd is None else f" ± {how.format(sd / unit)}")


def _cells(entry: Entry, *, gpu: bool) -> list[str]:
    interval, n = entry.interval(), len(entry.values("accuracy"))
    name = entry.name if n in (0, len(entry.rows)) else f"{entry.name} ({n} of {len(entry.rows)} seeds)"
    if interval is None:
        return [name, "failed", *[_NONE] * (len(HEADER) - 1 + gpu)]
    trainable = entry.mean("trainable")
    return [
        name,
        figure(entry, "accuracy", "{:.4f}"),
        f"{interval[0]:.4f}-{interval[1]:.4f}",
        figure(entry, "f1_macro", "{:.4f}"),
        figure(entry, "roc_auc", "{:.4f}"),
        _NONE if trainable is None else f"{trainable:,.0f}",
        _without_spread(entry, "adapter_bytes", 1000),
        figure(entry, "train_seconds", "{:,.1f}"),
        figure(entry, "peak_bytes", "{:,.0f}", 1e6),
        *([figure(entry, "gpu_bytes", "{:,.0f}", 1e6)] if gpu else []),
        "/".join(f"{epoch:g}" for epoch in entry.values("best_epoch")) or _NONE,
    ]


def _without_spread(entry: Entry, name: str, unit: float) -> str:
    # A file differs by a few bytes of its header from seed to seed, which says nothing.
    mean = entry.mean(name)
    return _NONE if mean is None else f"{mean / unit:,.0f}"
