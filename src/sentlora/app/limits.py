"""How much the screen takes from whoever opens it."""

from __future__ import annotations

from dataclasses import dataclass

from sentlora.errors import ConfigError, DataError

BYTES_PER_MB = 1_000_000
MAX_COLUMNS = 200


@dataclass(frozen=True)
class Limits:
    """How long a text, how large a file and how many callers there may be.

    Attributes:
        max_chars: Characters of a single text; of all its fields together, where it has fields.
        max_file_mb: Size of an uploaded file, in megabytes of 1,000,000 bytes.
        max_rows: Rows of an uploaded file.
        queue: Callers that may wait at a time; the next one is told that the queue is full.

    Raises:
        ConfigError: If one of them is no number above 0.

    Examples:
        >>> Limits(max_chars=500).max_rows
        20000
    """

    max_chars: int = 20_000
    max_file_mb: float = 10
    max_rows: int = 20_000
    queue: int = 20

    def __post_init__(self) -> None:
        """Check each number."""
        for name in ("max_chars", "max_rows", "queue"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} must be a whole number from 1 on; found {value!r}.")
        size = self.max_file_mb
        if not isinstance(size, int | float) or isinstance(size, bool) or not 0 < size < float("inf"):
            raise ConfigError(f"max_file_mb must be a number of megabytes above 0, such as 10; found {size!r}.")

    @property
    def max_file_bytes(self) -> int:
        """The size of an uploaded file, in bytes."""
        return int(self.max_file_mb * BYTES_PER_MB)

    @property
    def max_body_bytes(self) -> int:
        """The size of a request that is no upload: several texts of the full length, however they are encoded."""
        # A character takes up to 12 bytes in JSON; and a text that is too long should still be told so in words.
        return max(8 * BYTES_PER_MB, 24 * self.max_chars)

    def check_text(self, n_chars: int) -> None:
        """Refuse a text that is too long.

        Raises:
            DataError: If it has more than ``max_chars`` characters.
        """
        if n_chars > self.max_chars:
            raise DataError(
                f"The text has {n_chars:,} characters; this screen takes up to {self.max_chars:,}. Shorten it, or put "
                "it into a file."
            )

    def check_size(self, n_bytes: int) -> None:
        """Refuse a file that is too large.

        Raises:
            DataError: If it has more than ``max_file_mb`` megabytes.
        """
        if n_bytes > self.max_file_bytes:
            found = f"{n_bytes / BYTES_PER_MB:,.1f} MB"
            raise DataError(f"The file has {found}; this screen takes up to {self.max_file_mb:g} MB. {_ELSEWHERE}")

    def check_shape(self, n_rows: int, n_columns: int) -> None:
        """Refuse a table that is too long or too wide.

        Raises:
            DataError: If it has more than ``max_rows`` rows, or more than 200 columns.
        """
        if n_rows > self.max_rows:
            raise DataError(f"The file has {n_rows:,} rows; this screen takes up to {self.max_rows:,}. {_ELSEWHERE}")
        if n_columns > MAX_COLUMNS:
            raise DataError(
                f"The file has {n_columns:,} columns; this screen takes up to {MAX_COLUMNS}. Leave out all but the "
                "texts and what names their rows."
            )


_ELSEWHERE = "Split it, or score it on the command line: sentlora predict ADAPTER --file FILE."
