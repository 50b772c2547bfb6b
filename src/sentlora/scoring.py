"""The part of the classifier that scores files of any size: `predict_file`."""

from __future__ import annotations

from pathlib import Path

from sentlora import processes
from sentlora.data.file_texts import CHUNK_ROWS, find_texts_of_file
from sentlora.inference.decision import check_abstention
from sentlora.inference.file_scoring import score_file
from sentlora.inference.fitted import FittedClassifier
from sentlora.inference.tables import check_output


class Scoring(FittedClassifier):
    """The part of a classifier that reads rows from a file and writes them to another, with their predictions."""

    def predict_file(
        self,
        path: str | Path,
        output: str | Path,
        *,
        column: str | None = None,
        abstain_below: float | None = None,
        resume: bool = False,
        chunk_rows: int = CHUNK_ROWS,
    ) -> int:
        """Write a file of rows with their predictions, in bounded memory however large it is.

        All texts are checked before the first is scored. The rows are written to ``OUTPUT.unfinished``, part by part,
        and get their name when they are complete. What was written before a run was cut off stays there, and
        ``resume=True`` goes on behind it.

        Args:
            path: Ends in .csv, .tsv, .jsonl, .parquet, or .json, which alone is read whole.
            output: Where the rows go: .csv, .tsv, .jsonl or .parquet. They keep their columns, and get ``prediction``,
                ``confidence``, the probability of the prediction, and ``p_LABEL`` for each label.
            column: The column of the texts. Default: the fields of the prompt, ``text_column``, or the column that is
                known by its name.
            abstain_below: Leave ``prediction`` empty where the confidence is below this.
            resume: Go on where a run was cut off, as long as the file, the classifier and these options are the same;
                where none was, begin.
            chunk_rows: Rows that are held in memory at a time, and lost at most when a run is cut off.

        Returns:
            The number of rows.

        Raises:
            NotFittedError: Before ``fit`` or ``load``.
            DataError: If the file cannot be read or some texts are no strings; names the rows.
            ConfigError: If the output cannot be, or is unfinished and ``resume`` is not set, or was made with
                something else.

        Examples:
            >>> clf = SentimentLoRA.load("imdb-lora")  # doctest: +SKIP
            >>> clf.predict_file("reviews.csv", "scored.csv", column="review")  # doctest: +SKIP
            1000000
        """
        self.check_fitted()
        processes.check_alone("predict_file")
        check_output(Path(output), Path(path))
        if abstain_below is not None:
            check_abstention(abstain_below)
        named = column if column is not None else self.text_column
        found = find_texts_of_file(
            path, named, self.prompt_, self.columns_, chunk_rows=chunk_rows, verbose=self.verbose
        )
        return score_file(self, found, output, abstain_below=abstain_below, resume=resume, chunk_rows=chunk_rows)
