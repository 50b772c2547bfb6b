"""How the functions of the screen speak to whoever called them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any

import gradio as gr

from sentlora.errors import SentloraError


def told(error: SentloraError) -> gr.Error:
    """Return an error of the library as one that gradio shows in full."""
    # The message is shown as HTML, and may quote a text, a column or a file.
    return gr.Error(escape(str(error), quote=False), duration=None, title="Not done", print_exception=False)


def telling(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show the library's own errors with their message, and no other in detail."""

    @wraps(function)
    def speaking(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except SentloraError as error:
            raise told(error) from None

    return speaking


def html(value: str = "", **how: Any) -> gr.HTML:
    """Show HTML of our own, without the styles that gradio has for an author's prose."""
    return gr.HTML(value, apply_default_css=False, padding=False, **how)
