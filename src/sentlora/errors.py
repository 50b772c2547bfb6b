"""The exceptions of sentlora.

Every exception inherits from :class:`SentloraError` and also from the standard class
that users already catch for such a fault, so ``except ValueError`` keeps working.
"""

from __future__ import annotations

from sklearn.exceptions import NotFittedError as _SklearnNotFittedError


class SentloraError(Exception):
    """Any error that sentlora raises on purpose."""


class DataError(SentloraError, ValueError):
    """The texts, labels, columns or files handed in cannot be used as they are."""


class LabelError(DataError):
    """A label is missing, hidden, or outside the label map."""


class RecipeError(SentloraError, ValueError):
    """A named dataset is unknown, or none of its sources can be reached."""


class ConfigError(SentloraError, ValueError):
    """A setting has a value that cannot work."""


class TargetError(ConfigError):
    """A LoRA target names no module of this architecture."""


class BackboneError(SentloraError, OSError):
    """A base model or its tokenizer could not be loaded."""


class AdapterFolderError(SentloraError, ValueError):
    """An adapter folder is incomplete, altered, or not one that sentlora wrote."""


class HubError(SentloraError, OSError):
    """The Hub could not be reached, refused what was asked, or holds something else than expected.

    Attributes:
        passing: Whether the same may succeed later: there was no answer, too many requests, or a fault of the Hub.
    """

    passing: bool = False


class CheckpointError(SentloraError, OSError):
    """A checkpoint could not be written, or none that is whole can be read."""


class NotFittedError(SentloraError, _SklearnNotFittedError):
    """The classifier was asked for results before ``fit`` or ``load``."""


class NonFiniteLossError(SentloraError, ArithmeticError):
    """The training loss became NaN or infinite."""


class ProcessError(SentloraError, RuntimeError):
    """Processes that train a model together lost each other, or do different things."""


class MissingExtraError(SentloraError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        """Build the one message that every optional dependency shares.

        Args:
            package: The package that could not be imported.
            extra: The extra of sentlora that installs it.
            purpose: What needs the package, as the start of a sentence.
        """
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f'Install it with: pip install "sentlora[{extra}]"'
        )
        self.package = package
        self.extra = extra
        self.purpose = purpose

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:
        # Workers of a grid search send their errors home by pickle, which only knows the message.
        return type(self), (self.package, self.extra, self.purpose)
