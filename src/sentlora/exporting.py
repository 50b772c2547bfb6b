"""The part of the classifier that is handed to other programs: `export`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from datasets import Dataset

from sentlora import processes
from sentlora.data.recipes import Recipe
from sentlora.errors import ConfigError, DataError
from sentlora.fitting import read_rows
from sentlora.inference.export import ExportReport, Sample, check_request
from sentlora.keeping import Keeping
from sentlora.sharing.merged_folder import export_folder


class Exporting(Keeping):
    """The part of a classifier that writes its merged model, for programs that know no adapters."""

    def export(
        self,
        path: str | Path,
        *,
        format: str = "transformers",
        quantize: str | None = None,
        texts: Any = None,
        tolerance: float | Literal["default"] | None = "default",
        overwrite: bool = False,
    ) -> ExportReport:
        """Write the merged model with its tokenizer as a folder of its own, whole or not at all.

        With ``format="transformers"``, ``pipeline("text-classification", path)`` gives the same scores and label names
        without sentlora and peft; ``truncation=True`` cuts long texts. With ``format="onnx"`` the folder holds one
        graph from token ids to a score per label, of any batch and length; of a text-to-text model the scores of its
        label words. ``load`` finds out by itself what a folder holds, and an ONNX graph is run by ONNX Runtime on the
        CPU behind the same ``predict``, ``evaluate`` and ``calibrate``.

        An adapter that was trained with ``quantization`` is merged into the weights in full precision, so its scores
        change a little.

        Args:
            path: The folder. An exported model of the same classes and base model that is there is replaced.
            format: ``transformers`` or ``onnx``, which needs ``pip install "sentlora[onnx]"``.
            quantize: ``int8`` holds the weights of the matrix products of an ONNX graph in 8 bits, by output channel,
                and rounds what they are multiplied with as it comes; embeddings and head stay as they are. The logits
                of a text then depend a little on those that share its batch.
            texts: What to compare the exported model with this classifier on: texts as in :meth:`predict`, or labelled
                rows, which also show what it costs in accuracy: a DataFrame or Dataset with a column of labels, a file,
                ``"imdb:test"``. None draws texts of random words.
            tolerance: Write nothing where the two are further apart: by the largest difference of a logit (default
                0.001), or for ``int8`` by the share of texts that get another label (default 0.02, and what chance
                adds to it in a small sample; none on random words). None writes it in any case.
            overwrite: Replace an exported model of other classes or of another base model, too.

        Returns:
            The largest difference of a logit, labels that changed, and the accuracies before and after.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            AdapterFolderError: If something else is in the way.
            BackboneError: If the base model of a quantised one cannot be loaded.
            ConfigError: If a value cannot be, a model that writes its answers (``decode="generate"``) is to be a
                graph, or the difference is above the tolerance.
            DataError: If texts or labels cannot be used as they are.
            MissingExtraError: If onnx or onnxruntime is not installed.

        Examples:
            >>> clf = SentimentLoRA.load("imdb-lora")  # doctest: +SKIP
            >>> print(clf.export("imdb-onnx", format="onnx", quantize="int8", texts="imdb:test"))  # doctest: +SKIP
        """
        self.check_fitted()
        check_request(format, quantize, tolerance)
        if self._exported == "onnx":
            raise ConfigError(
                "This classifier was loaded from an ONNX graph, of which no other format can be made. Export the "
                "adapter folder that it comes from, or copy the folder as it is."
            )

        def write() -> ExportReport:
            return export_folder(
                path,
                self._model,
                self._objective,
                self._config(),
                format=format,
                quantize=quantize,
                sample=self._sample(texts),
                tolerance=tolerance,
                overwrite=overwrite,
                verbose=self.verbose,
            )

        return processes.on_first("export", write)

    def _sample(self, texts: Any) -> Sample | None:
        if texts is None:
            return None
        if not self._is_labelled(texts):
            sample = Sample(self._texts(texts))
        else:
            named: dict[str, Any] = {"labels": self.labels_, "prompt": self.prompt_, "usual": self.columns_}
            rows = read_rows(self, texts, split="test", **named).rows_to_report_on()
            sample = Sample(rows["text"][:], np.asarray(rows["label"][:], dtype=np.int64))
        if not sample.texts:
            raise DataError(
                "Expected texts to compare the exported model on; found none. Leave texts= out, or add some."
            )
        return sample

    def _is_labelled(self, texts: Any) -> bool:
        """Tell labelled rows from texts; a string is the name of a file, a recipe or a data set."""
        if isinstance(texts, pd.DataFrame):
            usual = {*self.columns_.labels, *([] if self.label_column is None else [self.label_column.lower()])}
            return any(str(name).lower() in usual for name in texts.columns)
        return isinstance(texts, str | Path | Dataset | Recipe | Mapping)
