"""The three tabs of the screen."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from sentlora.app import pages
from sentlora.app.service import Service
from sentlora.app.telling import html, telling
from sentlora.app.uploads import SUFFIXES, spreadsheet_safe
from sentlora.errors import DataError, MissingExtraError
from sentlora.inference.attribution import require_captum
from sentlora.inference.tables import write_table

if TYPE_CHECKING:
    from sentlora.app.screen import Screen

EXAMPLES = (
    "A warm, funny film that I would watch again tomorrow.",
    "Two hours of my life that nobody will give back.",
    "It starts slowly, but the last half hour is worth the wait.",
)
_UNSURE = "Give no label below this confidence (0: always give one)"
_SAFE = "Safe for spreadsheets: an apostrophe in front of cells that begin with = + - or @"
_PROGRESS = gr.Progress()


def one_text(service: Service, examples: Sequence[Any]) -> None:
    """Label one text, and show the words that spoke for it."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            boxes = _boxes(service)
            button = gr.Button("Label it", variant="primary", elem_id="sl-label-it")
            below = gr.Slider(0, 1, value=0, step=0.05, label=_UNSURE)
            if examples:
                shown = [
                    [one] if isinstance(one, str) else [one.get(f, "") for f in service.fields] for one in examples
                ]
                gr.Examples(shown, inputs=boxes, label="Examples")
        with gr.Column(scale=6, min_width=300):
            result = html(pages.note("The label and its probability will stand here."), elem_id="sl-verdict")
            bars = gr.Label(label="Probability of each label", show_heading=False, elem_id="sl-bars")
            explain, explained = _explaining(service)

    def given(values: Sequence[Any]) -> str | dict[str, Any]:
        return dict(zip(service.fields, values, strict=True)) if service.fields else str(values[0] or "")

    @telling
    def show(*values: Any) -> tuple[str, dict[str, float], str]:
        answer = service.answer(given(values[:-1]), values[-1])
        return pages.verdict(answer, _rule(service)), answer.probabilities, ""

    @telling
    def show_words(*values: Any) -> tuple[str, dict[str, float], str]:
        verdict, probabilities, _ = show(*values)
        return verdict, probabilities, service.explain(given(values[:-1]))._repr_html_()

    inputs, outputs = [*boxes, below], [result, bars, explained]
    own: dict[str, Any] = {"inputs": inputs, "outputs": outputs, "api_visibility": "private"}
    gr.on([button.click, *(box.submit for box in boxes)], show, **own, concurrency_limit=4, concurrency_id="text")
    if explain is not None:
        explain.click(show_words, **own, concurrency_limit=1, concurrency_id="words")


def _rule(service: Service) -> str | None:
    return pages.threshold_rule(service.clf)


def _boxes(service: Service) -> list[gr.Textbox]:
    most = f"Up to {service.limits.max_chars:,} characters."
    if not service.fields:
        return [gr.Textbox(label="Text", info=most, lines=5, max_lines=14, placeholder="Type or paste a text …")]
    return [gr.Textbox(label=name, lines=2, max_lines=8, info=most if i == 0 else None) for i, name in _named(service)]


def _named(service: Service) -> list[tuple[int, str]]:
    return list(enumerate(service.fields))


def _explaining(service: Service) -> tuple[gr.Button | None, gr.HTML]:
    clf = service.clf
    if clf._exported == "onnx" or clf.settings_.quantization == "8bit":
        what = "an ONNX graph" if clf._exported == "onnx" else "a model in 8 bits"
        html(pages.note(f"Which words spoke for a label is read from gradients, and {what} has none."))
        return None, html(visible=False)
    try:
        require_captum()
    except MissingExtraError as error:
        html(pages.note(str(error)))
        return None, html(visible=False)
    button = gr.Button("Which words spoke for it? (takes some seconds)", elem_id="sl-explain")
    return button, html(elem_id="sl-words")


def a_file(service: Service, screen: Screen) -> None:
    """Score a file, and give it back."""
    limits = service.limits
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            upload = gr.File(
                label="CSV, TSV, JSONL or Parquet",
                file_types=list(SUFFIXES),
                height=140,
                elem_id="sl-upload",
            )
            html(
                pages.note(f"Up to {limits.max_file_mb:g} MB and {limits.max_rows:,} rows. Deleted after half an hour.")
            )
            column = gr.Dropdown(
                [],
                label="Column of the texts",
                allow_custom_value=True,  # a program names it without having looked; a wrong name is told
                interactive=True,
                elem_id="sl-column",
            )
            below = gr.Slider(0, 1, value=0, step=0.05, label=_UNSURE)
            safe = gr.Checkbox(value=True, label=_SAFE)
            button = gr.Button("Score the file", variant="primary", elem_id="sl-score")
        with gr.Column(scale=6, min_width=300):
            summary = html(pages.note("The scored rows will stand here."), elem_id="sl-summary")
            download = gr.File(label="Scored table", interactive=False, visible="hidden", elem_id="sl-download")
            shown = html(elem_id="sl-preview")

    @telling
    def look_at(file: str | None) -> tuple[Any, Any, str, str]:
        if file is None:
            nothing = pages.note("The scored rows will stand here.")
            return gr.Dropdown(choices=[], value=None), gr.File(value=None, visible="hidden"), nothing, ""
        frame, columns, guess = service.columns(Path(file))
        found = f"{len(frame):,} rows in {Path(file).name}."
        choose = "" if guess is not None else " Choose the column of the texts."
        return (
            gr.Dropdown(choices=columns, value=guess),
            gr.File(value=None, visible="hidden"),
            pages.note(found + choose),
            "",
        )

    @telling
    def score(
        file: str, column: str | None, abstain_below: float = 0, spreadsheet: bool = True, progress: Any = _PROGRESS
    ) -> tuple[Any, str, str]:
        path = _there(file)
        table = service.score(
            path, column, abstain_below, lambda done, total: progress((done, total), desc="scoring", unit="rows")
        )
        kept, n_defused = spreadsheet_safe(table) if spreadsheet else (table, 0)
        target = Path(tempfile.mkdtemp(dir=path.parents[1])) / f"{path.stem}-scored.csv"
        write_table(kept, target)
        screen.upload_file_set.add(str(target))  # and is deleted with the uploads
        texts = column if column in table.columns else None
        return (
            str(target),
            pages.scored(table, abstain_below, n_defused, _rule(service)),
            pages.preview(table, texts),
        )

    upload.change(look_at, upload, [column, download, summary, shown], api_visibility="private")
    scored = button.click(
        score,
        [upload, column, below, safe],
        [download, summary, shown],
        api_name="score_file",
        api_description=(
            "Score an uploaded CSV, TSV, JSONL or Parquet file: its path, the column of the texts (None guesses), the "
            "confidence below which no label is given (0 always gives one), and whether cells that look like formulas "
            "get an apostrophe. Returns the scored CSV, and two pieces of HTML."
        ),
        concurrency_limit=2,
        concurrency_id="file",
    )
    # On its own, so that a program gets a path and nothing of how it is shown.
    scored.success(
        lambda: gr.File(visible=True), None, download, queue=False, show_progress="hidden", api_visibility="private"
    )


def _there(file: str | None) -> Path:
    if file is None:
        raise DataError("There is no file yet. Upload one first.")
    return Path(file)


def report(service: Service, report: str | None, tab: gr.Tab) -> None:
    """Say what was trained and measured."""
    if report is not None:
        with gr.Accordion("Evaluation report", open=True):
            inner = html(pages.note("Loading …"))
        # Put in when it is asked for: a report of a megabyte would slow down every visit.
        tab.select(lambda: pages.frame(report), None, inner, api_visibility="private", show_progress="hidden")
    html(pages.about(service.clf))
