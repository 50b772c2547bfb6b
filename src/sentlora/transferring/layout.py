"""A transfer laid out in plain text and in markdown: one table for each score, and what has to be known to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sentlora.data.leaks import ASIDE
from sentlora.evaluation.layout import escaped, markdown_table, text_table
from sentlora.transferring.cell import METRICS, Cell, interval_of

if TYPE_CHECKING:
    from sentlora.transferring.table import Transfer

OWN, LEAKED, UNCHECKED = "=", "!", "?"


def as_text(transfer: Transfer) -> str:
    """Lay a transfer out for a terminal.

    Args:
        transfer: The transfer.
    """
    parts = [_title(transfer)]
    parts += [text_table(*_cells(transfer, metric)) for metric in METRICS]
    return "\n\n".join([*parts, "\n".join(notes(transfer))])


def as_markdown(transfer: Transfer) -> str:
    """Lay a transfer out as GitHub-flavoured markdown.

    Args:
        transfer: The transfer.
    """
    parts = [f"### {escaped(_title(transfer))}"]
    parts += [markdown_table(*_cells(transfer, metric)) for metric in METRICS]
    return "\n\n".join([*parts, "\n".join(f"- {escaped(line)}" for line in notes(transfer))]) + "\n"


def _title(transfer: Transfer) -> str:
    n, m = len(transfer.adapters), len(transfer.data)
    return f"Transfer of {n} adapter{'s' * (n > 1)} (rows) to {m} data set{'s' * (m > 1)} (columns)"


def _cells(transfer: Transfer, metric: str) -> tuple[list[str], list[list[str]]]:
    header = [METRICS[metric], *(f"{data.name} (n={data.n:,})" for data in transfer.data)]
    lines = [
        [adapter.name, *(_figure(transfer[adapter.name, data.name], metric, data.n) for data in transfer.data)]
        for adapter in transfer.adapters
    ]
    return header, lines


def _figure(cell: Cell, metric: str, n: int) -> str:
    value, ends = cell.report[metric], interval_of(cell.report, metric)
    shown = "undefined" if value is None else f"{value:.3f}"
    marks = (OWN if cell.own else "") + (LEAKED if cell.leaked else UNCHECKED if cell.leaked is None else "")
    shown += "" if ends is None else f" ({ends[0]:.3f}-{ends[1]:.3f})"
    shown += "" if cell.n == n else f" n={cell.n:,}"
    return f"{shown} {marks}" if marks else shown


def notes(transfer: Transfer) -> list[str]:
    """Say what has to be known to read the tables, one line each."""
    cells = transfer.cells
    lines = [
        "In brackets the 95 % interval: what other rows of the same kind would leave plausible (Wilson's of the "
        "accuracy, bootstrap of the others). It knows nothing of the luck of one training run."
    ]
    lines += [_data_line(transfer)] if any(data.n < data.of for data in transfer.data) else []
    lines += [_most_frequent(transfer)]
    marks = {
        OWN: ("trained on other rows of the same data", any(cell.own for cell in cells)),
        LEAKED: ("some of these rows are among its training rows, see below", any(cell.leaked for cell in cells)),
        UNCHECKED: ("not checked for rows that were trained on, see below", any(cell.leaked is None for cell in cells)),
    }
    told = [f"{mark} {words}" for mark, (words, occurs) in marks.items() if occurs]
    lines += [f"{'; '.join(told)}."] if told else []
    for tell in (_classes, _left_out, _leaks):
        lines += [line for cell in cells for line in tell(transfer, cell)]
    return lines + _checked(transfer) + _unchecked(transfer)


def _data_line(transfer: Transfer) -> str:
    drawn = [f"{data.n:,} of the {data.of:,} rows of {data.name}" for data in transfer.data if data.n < data.of]
    return f"Stratified samples, seed {transfer.seed}: {', '.join(drawn)}."


def _most_frequent(transfer: Transfer) -> str:
    told = []
    for data in transfer.data:
        found = sorted({f"{cell.most_frequent:.3f}" for cell in transfer.cells if cell.data == data.name})
        told.append(f"{' or '.join(dict.fromkeys((found[0], found[-1])))} on {data.name}")
    return f"Always answering the most frequent class has a macro F1 of {', '.join(told)}."


def _classes(transfer: Transfer, cell: Cell) -> list[str]:
    """Say between what an adapter decided that knows more, and by what its classes were found."""
    names, own = cell.report.labels.names, transfer.adapter(cell.adapter).labels
    lines = []
    if cell.by_number:
        pairs = ", ".join(f"{i} = {name}" for i, name in enumerate(names))
        lines.append(f"{cell.adapter} on {cell.data}: one side has no names, so classes are taken by number ({pairs}).")
    if len(names) < len(own):
        rest = [name for name in own.names if name not in names]
        kept = " and ".join([", ".join(names[:-1]), names[-1]])
        lines.append(
            f"{cell.adapter} on {cell.data} decides between {kept} alone; free to choose, it would have called "
            f"{cell.elsewhere:,} of {cell.n:,} rows {' or '.join(rest)}."
        )
    return lines


def _left_out(transfer: Transfer, cell: Cell) -> list[str]:
    if not cell.left_out:
        return []
    rows = sum(cell.left_out.values())
    told = ", ".join(f"{n:,} {name}" for name, n in cell.left_out.items())
    return [
        f"{cell.adapter} on {cell.data}: {rows:,} of {rows + cell.n:,} rows are left out, as it knows no such class "
        f"({told}). Compare down this column with care: the adapters do not all see the same rows."
    ]


def _leaks(transfer: Transfer, cell: Cell) -> list[str]:
    if not cell.leaked:
        return []
    are = "is" if cell.leaked == 1 else "are"
    head = f"{cell.adapter} on {cell.data}: {cell.leaked:,} of {cell.n:,} rows {ASIDE} {are} among {cell.compared_with}"
    if cell.clean is None:
        return [f"{head}; no row is left without them."]
    told = [_with_interval(cell, metric) for metric in METRICS]
    return [f"{head}. Without them, n={cell.clean.n:,}: {', '.join(told)}."]


def _with_interval(cell: Cell, metric: str) -> str:
    assert cell.clean is not None
    value, ends = cell.clean[metric], interval_of(cell.clean, metric)
    shown = "undefined" if value is None else f"{value:.3f}"
    return f"{METRICS[metric]} {shown}" + ("" if ends is None else f" ({ends[0]:.3f}-{ends[1]:.3f})")


def _checked(transfer: Transfer) -> list[str]:
    places = {cell.adapter: cell.compared_with for cell in transfer.cells if cell.leaked is not None}
    told = "; ".join(f"of {name}, {place}" for name, place in places.items())
    return [f"Rows that were trained on were looked for in the training rows {told}."] if told else []


def _unchecked(transfer: Transfer) -> list[str]:
    reasons = {cell.adapter: cell.compared_with for cell in transfer.cells if cell.leaked is None}
    return [
        f"{name} was not checked for rows that it was trained on: {reason.rstrip('.')}. To check, hand them in: "
        f'train_data={{"{name}": ...}} (--train-data {name}=FILE).'
        for name, reason in reasons.items()
    ]
