"""The part of the classifier that shows itself: in a notebook, and on a screen in a browser."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sklearn import get_config

from sentlora.describing import fragment
from sentlora.inference.fitted import FittedClassifier


class Showing(FittedClassifier):
    """The part of a classifier that is looked at."""

    # In place of scikit-learn's diagram, and like it not there with sklearn.set_config(display="text").
    @property
    def _repr_html_(self) -> Callable[[], str]:
        if get_config()["display"] != "diagram":
            raise AttributeError("_repr_html_ is there with scikit-learn's setting display='diagram' alone.")
        shown: Any = self
        return partial(fragment, shown)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle = {"text/plain": repr(self)}
        return {**bundle, "text/html": self._repr_html_()} if hasattr(self, "_repr_html_") else bundle

    def demo(
        self,
        *,
        launch: bool = True,
        host: str = "127.0.0.1",
        port: int | None = None,
        share: bool = False,
        report: str | Path | None = None,
        examples: Sequence[Any] | None = None,
        max_chars: int = 20_000,
        max_file_mb: float = 10,
        max_rows: int = 20_000,
        queue: int = 20,
        wait: bool = True,
    ) -> Any:
        """Open a screen in a browser: one text with its probabilities and its words, a file, and what was measured.

        It shows the classifier as it is now; what is trained or set later needs another one. It listens on this machine
        alone, asks no other host for anything, and deletes what is uploaded after half an hour.

        Args:
            launch: Start the server. False only builds the screen; its ``launch()`` has the same safe defaults.
            host: Where it listens; ``"0.0.0.0"`` lets in whoever reaches this machine. There is no login.
            port: At which port. Default: the first free one from 7860 on.
            share: Ask gradio for a public address, through its servers.
            report: A page that ``report.save("report.html")`` wrote, to be shown.
            examples: Texts to choose from, or dicts of fields where the prompt has fields. Default: three of films,
                where it has none.
            max_chars: Characters of a single text.
            max_file_mb: Size of an uploaded file, in megabytes.
            max_rows: Rows of an uploaded file.
            queue: Callers that may wait at a time.
            wait: Come back only when the server is stopped, as with Ctrl+C. A notebook never waits.

        Returns:
            The screen, a ``gradio.Blocks``; ``close()`` ends its server.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            MissingExtraError: If gradio is not installed.
            ConfigError: If nothing can listen there, the report cannot be read, or a limit is no number above 0.

        Examples:
            >>> clf = SentimentLoRA.load("imdb-lora")  # doctest: +SKIP
            >>> clf.demo()  # doctest: +SKIP
        """
        self.check_fitted()
        # The one import that points down the stairs: docs/architecture.md says why.
        from sentlora.app.limits import Limits
        from sentlora.app.serving import serve

        shown: Any = self
        limits = Limits(max_chars=max_chars, max_file_mb=max_file_mb, max_rows=max_rows, queue=queue)
        return serve(
            shown,
            launch=launch,
            host=host,
            port=port,
            share=share,
            report=report,
            examples=examples,
            limits=limits,
            wait=wait,
        )
