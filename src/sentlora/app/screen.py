"""The screen: three tabs over a service, and the same functions for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from sentlora.app import look, pages, tabs
from sentlora.app.guard import Guard, refuse_addresses
from sentlora.app.limits import BYTES_PER_MB
from sentlora.app.service import Service
from sentlora.app.telling import html, telling, told
from sentlora.errors import DataError, SentloraError

_SECONDS_KEPT = 1800
_SWEEP_EVERY = 60


class Screen(gr.Blocks):
    """Blocks that start with nothing of the machine readable, and no more taken than the limits say."""

    def __init__(self, service: Service) -> None:
        """Set up an empty screen; uploads and results are deleted after half an hour."""
        super().__init__(title="sentlora", analytics_enabled=False, delete_cache=(_SWEEP_EVERY, _SECONDS_KEPT))
        self.service = service

    def launch(self, *args: Any, **kwargs: Any) -> Any:
        """Start the server, as ``gradio.Blocks.launch``; what is not given here is chosen for safety."""
        limits = self.service.limits
        guard = Middleware(Guard, limits.max_body_bytes, limits.max_file_bytes + BYTES_PER_MB)
        safe: dict[str, Any] = {
            "server_name": "127.0.0.1",
            "share": False,
            "allowed_paths": [],
            "max_file_size": limits.max_file_bytes,
            "app_kwargs": {"middleware": [guard]},
            "show_error": False,
            "enable_monitoring": False,
            "run_history": False,
            "ssr_mode": False,
            "pwa": False,
            "mcp_server": False,
            "footer_links": [],
            "theme": look.theme(),
            "css": look.CSS,
            "quiet": True,
        }
        return super().launch(*args, **{**safe, **kwargs})

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        """Read what a caller sent, where no file in it is an address; what does not fit is told, and fills no log."""
        try:
            refuse_addresses(inputs)
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except SentloraError as error:
            raise told(error) from None
        except gr.Error as error:
            error.print_exception = False
            raise
        except (TypeError, ValueError):
            number, names = len(block_fn.inputs), ", ".join(_named(one) for one in block_fn.inputs)
            fault = DataError(f"Expected {number} values that fit the function ({names}); found something else.")
            raise told(fault) from None


def build(service: Service, *, report: str | None = None, examples: Sequence[Any] | None = None) -> Screen:
    """Put the screen together.

    Args:
        service: What answers.
        report: An HTML page to show in the third tab, or None.
        examples: Texts to choose from, or mappings of fields; by default three of films where texts are plain.
    """
    if examples is None:
        examples = () if service.fields else tabs.EXAMPLES
    screen = Screen(service)
    with screen:
        html(pages.heading(service.clf))
        with gr.Tab("One text"):
            tabs.one_text(service, examples)
        with gr.Tab("A file"):
            tabs.a_file(service, screen)
        with gr.Tab("Report") as tab:
            tabs.report(service, report, tab)
        _functions(service)
    screen.queue(max_size=service.limits.queue)
    return screen


def _named(one: Any) -> str:
    return str(getattr(one, "label", None) or one.get_block_name())


def _functions(service: Service) -> None:
    """Offer the same to programs, as plain values."""

    @telling
    def predict(text: str, abstain_below: float = 0) -> dict:  # type: ignore[type-arg]
        return asdict(service.answer(text, abstain_below))

    @telling
    def predict_fields(fields: dict, abstain_below: float = 0) -> dict:  # type: ignore[type-arg]
        return asdict(service.answer(_mapping(fields), abstain_below))

    @telling
    def explain(text: str, label: str | None = None) -> dict:  # type: ignore[type-arg]
        return service.explain(text, label).to_dict()

    @telling
    def explain_fields(fields: dict, label: str | None = None) -> dict:  # type: ignore[type-arg]
        return service.explain(_mapping(fields), label).to_dict()

    one, words = (predict_fields, explain_fields) if service.fields else (predict, explain)
    what = f"the fields {', '.join(service.fields)}" if service.fields else "a text"
    gr.api(
        one,
        api_name="predict",
        api_description=f"Label one text: {what}, and the confidence below which no label is given (0: always one).",
        concurrency_limit=4,
        concurrency_id="text",
    )
    gr.api(
        words,
        api_name="explain",
        api_description=f"Say which words spoke for a label: {what}, and the label (None: the predicted one).",
        concurrency_limit=1,
        concurrency_id="words",
    )


def _mapping(fields: Any) -> Mapping[str, Any]:
    if not isinstance(fields, Mapping):
        raise DataError(f"Expected a mapping of fields to texts; found {type(fields).__name__}.")
    return fields
