"""What the screen shows beside its controls, as HTML in which every word of a stranger is only a word."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from sentlora.app.service import Answer
from sentlora.evaluation.explanation_text import printable
from sentlora.sentiment_lora import SentimentLoRA

PREVIEW_ROWS = 10
_LONGEST_CELL = 140
_MOST_NAMED = 5
_FOLDERS = re.compile(r"(?<!\S)(?:~|\.{1,2})?(?:/|[A-Za-z]:[/\\]).*[/\\](?=[^/\\])")
_FIGURES = {
    "accuracy": "accuracy",
    "f1_macro": "macro F1",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "fpr": "FPR",
    "roc_auc": "ROC-AUC",
}
_LOSSES = {"epoch": "epoch", "train_loss": "train loss", "validation_loss": "validation loss"}


def words(text: Any) -> str:
    """Escape a text for a page, its control characters drawn.

    Examples:
        >>> words("<script>")
        '&lt;script&gt;'
    """
    return escape(printable(str(text)))


def heading(clf: SentimentLoRA) -> str:
    """Write the top of the screen: which labels, by which model."""
    names = clf.labels_.names
    choice = f"{', '.join(names[:-1])} or {names[-1]}"
    asked = f"{choice}?" if len(names) <= _MOST_NAMED else f"Which of {len(names)} labels?"
    return (
        f'<header class="sl-head"><h1>{words(asked[:1].upper() + asked[1:])}</h1>'
        f"<p>A sentiment classifier on <b>{words(without_folders(clf.base_model))}</b>{_trained_on(clf)}.</p></header>"
    )


def _trained_on(clf: SentimentLoRA) -> str:
    source = getattr(clf, "trained_on_", None)
    return f", trained on {words(without_folders(source))}" if source else ""


def without_folders(text: str) -> str:
    """Leave out the folders in front of a file's name, which are nobody's business; Hub ids stay as they are.

    Examples:
        >>> without_folders("500 rows of /home/me/own data/train.csv:test"), without_folders("me/reviews")
        ('500 rows of train.csv:test', 'me/reviews')
    """
    return _FOLDERS.sub("", text)


def threshold_rule(clf: SentimentLoRA) -> str | None:
    """Say from which probability on the positive label is predicted; None where the most probable one is."""
    if clf.threshold_ is None or clf.generates():
        return None
    chosen = "" if clf.threshold_rule_ is None else f", chosen for {clf.threshold_rule_}"
    positive = clf.labels_.names[clf.labels_.positive_id]
    return f"{positive} is predicted from a probability of {clf.threshold_:.3f} on{chosen}."


def verdict(answer: Answer, rule: str | None) -> str:
    """Say which label a text got, and by which rule.

    Args:
        answer: What the classifier said.
        rule: What :func:`threshold_rule` says.
    """
    if answer.label is not None:
        head, more = words(answer.label), f"{answer.confidence:.1%}"
    elif answer.abstain_below is not None and answer.confidence < answer.abstain_below:
        head, more = "Unsure", f"{words(answer.most_likely)} at {answer.confidence:.1%}"
    else:
        head, more = "No label", "the model wrote something else"
    lines = [] if rule is None else [words(rule)]
    if answer.abstain_below is not None:
        lines.append(f"Below {answer.abstain_below:.0%} no label is given.")
    soft = f'<p class="sl-soft">{" ".join(lines)}</p>' if lines else ""
    state = "sl-none" if answer.label is None else "sl-some"
    return f'<div class="sl-verdict {state}" role="status"><b>{head}</b> <span>{more}</span></div>{soft}'


def preview(table: pd.DataFrame, text_column: str | None, n: int = PREVIEW_ROWS) -> str:
    """Show the first rows of a scored table: what was predicted, and the text.

    Args:
        table: The scored table.
        text_column: The column of the texts; None shows all columns that were there before.
        n: How many rows.
    """
    own = {"prediction", "confidence", *(name for name in table.columns if str(name).startswith("p_"))}
    texts = [text_column] if text_column is not None else [name for name in table.columns if name not in own][:3]
    rows = []
    for _, row in table.head(n).iterrows():
        sure = "" if pd.isna(row["confidence"]) else f"{row['confidence']:.1%}"
        label = "unsure" if pd.isna(row["prediction"]) else str(row["prediction"])
        rows.append([label, sure, *(_cell(row[name]) for name in texts)])
    left = f'<p class="sl-soft">The first {n} of {len(table):,} rows.</p>' if len(table) > n else ""
    return _table(["prediction", "confidence", *map(str, texts)], rows) + left


def _cell(value: Any) -> str:
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
    return text if len(text) <= _LONGEST_CELL else f"{text[:_LONGEST_CELL]} …"


def scored(table: pd.DataFrame, abstain_below: float | None, n_defused: int, rule: str | None = None) -> str:
    """Say in a few lines what came of a file.

    Args:
        table: The scored table.
        abstain_below: The confidence below which no label was given, or None.
        n_defused: Cells with an apostrophe in front.
        rule: What :func:`threshold_rule` says.
    """
    counts = table["prediction"].value_counts()
    parts = [f"<b>{n:,}</b> {words(name)}" for name, n in counts.items()]
    if none := int(table["prediction"].isna().sum()):
        below = "" if not abstain_below else f" (below {abstain_below:.0%})"
        parts.append(f"<b>{none:,}</b> without a label{below}")
    notes = [] if rule is None else [rule]
    if n_defused:
        cells = "cell begins" if n_defused == 1 else "cells begin"
        notes.append(f"{n_defused:,} {cells} like a formula and got an apostrophe in front.")
    rows = "1 row" if len(table) == 1 else f"{len(table):,} rows"
    line = f'<p class="sl-sum" role="status"><b>{rows}</b>: {", ".join(parts)}</p>'
    return line + "".join(map(note, notes))


def note(text: str) -> str:
    """Show a line of small print."""
    return f'<p class="sl-soft">{words(text)}</p>'


def about(clf: SentimentLoRA) -> str:
    """Write what the adapter is, what it was trained on, and what was measured."""
    measured = dict(getattr(clf, "evaluations_", None) or {})
    kept = getattr(clf, "validation_", None)
    sections = [
        ("Measured", _measured(measured) or _none("Nothing was evaluated on rows of its own yet.")),
        ("Validation rows, at the epoch that was kept", _measured({"validation": kept}) if kept else ""),
        ("Training, epoch by epoch", _history(getattr(clf, "history_", None) or [], kept)),
        ("This adapter", _facts(_adapter(clf))),
        ("Settings", _facts((name, _setting(value)) for name, value in clf.settings_.to_dict().items())),
    ]
    inner = "".join(f"<section><h2>{title}</h2>{body}</section>" for title, body in sections if body)
    return f'<div class="sl-report">{inner}</div>'


def _adapter(clf: SentimentLoRA) -> Iterable[tuple[str, str]]:
    base = without_folders(clf.base_model)
    yield "base model", base if clf.revision is None else f"{base} at {clf.revision}"
    yield "trained on", without_folders(str(getattr(clf, "trained_on_", None) or "not known"))
    yield "labels", str(clf.labels_)
    yield "parameters", str(clf.trainable_parameters)
    if clf.prompt_ is not None:
        yield "prompt", clf.prompt_.template
    yield "calibration", f"temperature {clf.temperature_:.3f}" if clf.temperature_ != 1 else "none: temperature 1"
    if (rule := threshold_rule(clf)) is not None:
        yield "threshold", rule


def _measured(rows: Mapping[str, Mapping[str, Any]]) -> str:
    names = [name for name in _FIGURES if any(name in figures for figures in rows.values())]
    body = [
        [without_folders(source), *(_figure(figures.get(name)) for name in names)] for source, figures in rows.items()
    ]
    return _table(["rows", *(_FIGURES[name] for name in names)], body) if body else ""


def _history(rows: Sequence[Mapping[str, Any]], kept: Mapping[str, Any] | None) -> str:
    columns = {**_LOSSES, **_FIGURES}
    names = [name for name in columns if any(name in row for row in rows)]
    best = None if kept is None else kept.get("epoch")
    body = [[_figure(row.get(name), whole=name == "epoch") for name in names] for row in rows]
    marked = next((i for i, row in enumerate(rows) if row.get("epoch") == best), None)
    return _table([columns[name] for name in names], body, marked) if body else ""


def _figure(value: Any, *, whole: bool = False) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value:.4g}" if whole else f"{value:.4f}"


def _setting(value: Any) -> str:
    return "none" if value is None else str(value)


def _none(text: str) -> str:
    return f'<p class="sl-soft">{text}</p>'


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th scope=row>{words(name)}</th><td>{words(value)}</td></tr>" for name, value in pairs)
    return f'<table class="sl-facts">{rows}</table>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], marked: int | None = None) -> str:
    head = "".join(f"<th scope=col>{words(cell)}</th>" for cell in header)
    body = "".join(
        f"<tr{' class=sl-kept' if i == marked else ''}>{''.join(f'<td>{words(cell)}</td>' for cell in row)}</tr>"
        for i, row in enumerate(rows)
    )
    wide = f'<div class="sl-wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return wide + ('<p class="sl-soft">Marked: the epoch whose weights were kept.</p>' if marked is not None else "")


def frame(page: str) -> str:
    """Show an HTML page inside of the screen, where it can run nothing and reach nothing."""
    return f'<iframe class="sl-page" sandbox="" title="Report" srcdoc="{escape(page)}"></iframe>'
