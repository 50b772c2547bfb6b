"""A profile laid out as text for a terminal, and as markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sentlora.data.leaks import ASIDE
from sentlora.data.lengths import Lengths
from sentlora.data.near_duplicates import LEAST_SHARED
from sentlora.data.profile import ALL, Overlap, SplitProfile
from sentlora.evaluation.layout import escaped, markdown_table, text_table

if TYPE_CHECKING:
    from sentlora.evaluation.profile_report import Profile

_SHOWN_LANGUAGES = 3
_LENGTHS = {"mean": "mean", "std": "std", "min": "min", "q25": "25 %", "q50": "50 %", "q75": "75 %", "max": "max"}

_Rows = list[list[str]]


def as_text(profile: Profile) -> str:
    """Lay a profile out in columns, one for each split.

    Args:
        profile: The profile.
    """
    parts = [_title(profile), text_table(*_figures(profile))]
    if profile.overlaps:
        parts += [_overlap_title(profile), text_table(*_overlaps(profile), left=2)]
    if profile.remarks:
        parts.append("\n".join(["Worth a look:", *(f"- {line}" for line in profile.remarks)]))
    return "\n\n".join(parts)


def as_markdown(profile: Profile) -> str:
    """Lay a profile out as GitHub-flavoured markdown.

    Args:
        profile: The profile.
    """
    parts = [f"### {escaped(_title(profile))}", markdown_table(*_figures(profile))]
    if profile.overlaps:
        parts += [escaped(_overlap_title(profile)), markdown_table(*_overlaps(profile), left=2)]
    if profile.remarks:
        parts.append("\n".join(["Worth a look:", "", *(f"- {escaped(line)}" for line in profile.remarks)]))
    return "\n\n".join(parts) + "\n"


def _title(profile: Profile) -> str:
    rows = "row" if profile.rows == 1 else "rows"
    return f"Profile of {profile.source}: {profile.rows:,} {rows}, {len(profile.labels)} classes"


def _figures(profile: Profile) -> tuple[list[str], _Rows]:
    splits, together = profile.splits, len(profile.splits) > 1

    def row(name: str, cells: Sequence[str], whole: str = "") -> list[str]:
        return [name, *cells, *([whole] if together else [])]

    rows = [row("rows", [f"{split.rows:,}" for split in splits], f"{profile.rows:,}")]
    for label in profile.labels.names:
        total = sum(split.classes[label] for split in splits)
        rows.append(
            row(label, [_part(split.classes[label], split.rows) for split in splits], _part(total, profile.rows))
        )
    rows.append(row("empty", [f"{split.empty:,}" for split in splits]))
    rows.append(row("repeat an earlier text", [_part(split.repeats, split.rows) for split in splits]))
    rows.append(row("texts with two labels", [f"{split.two_labels:,}" for split in splits]))
    if splits[0].near_repeats is not None:
        rows.append(row("nearly repeat an earlier one", [f"{split.near_repeats:,}" for split in splits]))
    rows.append(row("with HTML", [_part(split.html, split.rows) for split in splits]))
    if splits[0].languages is not None:
        rows.append(row("languages", [_languages(split) for split in splits]))
    rows += [
        row(f"characters: {name}", cells, whole)
        for name, cells, whole in _lengths([split.characters for split in splits], profile.characters)
    ]
    tokens = [split.tokens for split in splits if split.tokens is not None]
    if tokens:
        rows += [row(f"tokens: {name}", cells) for name, cells, _ in _lengths(tokens)]
        longer = [_part(split.truncated or 0, split.rows) for split in splits]
        rows.append(row(f"over {splits[0].max_length} tokens", longer))
    return ["", *(split.name for split in splits), *([ALL] if together else [])], rows


def _lengths(of: Sequence[Lengths], whole: Lengths | None = None) -> list[tuple[str, list[str], str]]:
    def shown(lengths: Lengths | None, name: str) -> str:
        value = None if lengths is None else getattr(lengths, name)
        return "" if value is None else f"{value:,.2f}" if name in ("mean", "std") else f"{value:,.10g}"

    return [(title, [shown(one, name) for one in of], shown(whole, name)) for name, title in _LENGTHS.items()]


def _part(rows: int, of: int) -> str:
    return f"{rows:,} ({100 * rows / of:.1f} %)"


def _languages(split: SplitProfile) -> str:
    found = split.languages or {}
    total = sum(found.values())
    shown = [f"{name} {100 * count / total:.0f} %" for name, count in found.items() if 100 * count >= total]
    return ", ".join(shown[:_SHOWN_LANGUAGES]) or "-"


def _overlap_title(profile: Profile) -> str:
    near = f"; near: at least {LEAST_SHARED:.0%} of the runs of 8 letters shared".replace("%", " %")
    looked = any(found.near is not None for found in profile.overlaps)
    return f"Rows whose text is in other rows too {ASIDE}{near if looked else ''}"


def _overlaps(profile: Profile) -> tuple[list[str], _Rows]:
    looked = any(found.near is not None for found in profile.overlaps)
    header = ["rows of", "found in", "rows", *(["near"] if looked else [])]
    return header, [_overlap(found, near=looked) for found in profile.overlaps]


def _overlap(found: Overlap, *, near: bool) -> list[str]:
    cells = [found.split, found.other, f"{_part(found.rows, found.of)}"]
    return [*cells, *(["-" if found.near is None else f"{found.near:,}"] if near else [])]
