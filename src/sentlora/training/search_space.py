"""What a search may try: choices and ranges by the names of settings, each checked before anything is trained."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentlora.errors import ConfigError
from sentlora.settings import Settings
from sentlora.training.trials import shown

ALPHA_RATIO = "alpha_ratio"
_WHOLE = ("r", "batch_size", "max_length", "early_stopping", "epochs")
_NOT_SEARCHED = {
    "seed": "the best of several seeds is luck, and also decides which rows validate",
    "decode": "validation compares the scores of the labels, whatever decodes them later",
}
_OTHER_NAMES = {"rank": "r", "lr": "learning_rate", "lora_alpha": "alpha", "target_modules": "targets"}
_MOST_COMBINATIONS = 1000
_FORMS = "a list of choices, (low, high) or (low, high, 'log')"

# What a default search of LoRA tries. Ranks and ratios span what the papers of LoRA and its variants use.
DEFAULT_SPACE: dict[str, Any] = {
    "r": [4, 8, 16, 32, 64],
    ALPHA_RATIO: [0.5, 1, 2, 4],
    "dropout": (0.0, 0.2),
    "learning_rate": (1e-4, 2e-3, "log"),
    "targets": ["attention", "attention-all", "all-linear"],
}


@dataclass(frozen=True)
class Choices:
    """Values to choose from."""

    values: tuple[Any, ...]

    def holds(self, value: Any) -> bool:
        """Tell whether a value is one of the choices."""
        return any(_same(value, choice) for choice in self.values)

    def keys(self) -> list[Any]:
        """Return what stands for each value in a study, which keeps numbers, strings and None only."""
        return [
            value if isinstance(value, (bool, int, float, str, type(None))) else repr(value) for value in self.values
        ]

    def key_of(self, value: Any) -> Any:
        """Return what stands for a value."""
        return next(key for key, choice in zip(self.keys(), self.values, strict=True) if _same(value, choice))

    def value_of(self, key: Any) -> Any:
        """Return the value that ``key`` stands for."""
        return next(choice for own, choice in zip(self.keys(), self.values, strict=True) if _same(own, key))

    def ends(self) -> tuple[Any, ...]:
        """Return the values to check: all of them."""
        return self.values

    def to_json(self) -> Any:
        """Return the choices as JSON values."""
        return self.keys()


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def holds(self, value: Any) -> bool:
        """Tell whether a value lies in the range."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        return self.low <= value <= self.high

    def key_of(self, value: Any) -> Any:
        """Return the value: a study keeps numbers as they are."""
        return value

    def value_of(self, key: Any) -> Any:
        """Return the value."""
        return key

    def ends(self) -> tuple[Any, ...]:
        """Return the values to check: whatever allows both ends of a range allows what lies between."""
        return self.low, self.high

    def to_json(self) -> Any:
        """Return the range as JSON values."""
        return {"low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class SearchSpace:
    """The dimensions of a search by name, or a function of the Optuna trial that returns the settings to try.

    Attributes:
        dimensions: By the name of a setting, or ``alpha_ratio``. Empty where there is a function.
        function: Called with the Optuna trial.
    """

    dimensions: Mapping[str, Choices | Range]
    function: Callable[[Any], Mapping[str, Any]] | None = None

    @classmethod
    def of(cls, space: Any = None) -> SearchSpace:
        """Read a search space as a user writes it.

        Args:
            space: A mapping from the name of a setting to a list of choices, ``(low, high)`` or
                ``(low, high, "log")``; a function of the Optuna trial; or None for the default.

        Raises:
            ConfigError: If a name is unknown, or what stands there is no choice and no range.

        Examples:
            >>> SearchSpace.of({"r": [4, 8], "learning_rate": (1e-4, 1e-3, "log")}).dimensions["r"]
            Choices(values=(4, 8))
        """
        if isinstance(space, SearchSpace):
            return space
        if callable(space):
            return cls({}, space)
        space = DEFAULT_SPACE if space is None else space
        if not isinstance(space, Mapping) or not space:
            raise ConfigError(f"space must map names of settings to {_FORMS}; found {space!r}.")
        for name in space:
            check_name(name)
        if "alpha" in space and ALPHA_RATIO in space:
            raise ConfigError(f"alpha and {ALPHA_RATIO} both set alpha; keep one of them in the search space.")
        return cls({name: _dimension(name, value) for name, value in space.items()})

    def call(self, trial: Any) -> dict[str, Any]:
        """Let the user's function choose.

        Args:
            trial: The Optuna trial.

        Returns:
            What to try, by the names of settings.

        Raises:
            ConfigError: If it returns what is no setting.
        """
        params = None if self.function is None else self.function(trial)
        if not isinstance(params, Mapping) or not params:
            raise ConfigError(
                "The function of the search space must return the settings to try, such as "
                f"{{'r': trial.suggest_int('r', 4, 64)}}; it returned {params!r}."
            )
        for name in params:
            check_name(name)
        return dict(params)

    def distributions(self) -> dict[str, Any]:
        """Return the dimensions as Optuna's distributions."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        found: dict[str, Any] = {}
        for name, dimension in self.dimensions.items():
            if isinstance(dimension, Choices):
                found[name] = CategoricalDistribution(dimension.keys())
            elif dimension.whole:
                found[name] = IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
            else:
                found[name] = FloatDistribution(dimension.low, dimension.high, log=dimension.log)
        return found

    def read(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Turn what was drawn into values of the settings."""
        return {name: self.dimensions[name].value_of(key) for name, key in drawn.items()}

    def write(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Turn values of the settings into what could have been drawn."""
        return {name: dimension.key_of(params[name]) for name, dimension in self.dimensions.items()}

    def holds(self, params: Mapping[str, Any]) -> bool:
        """Tell whether settings could have been drawn; of a function that is not known."""
        return self.function is None and all(dim.holds(params[name]) for name, dim in self.dimensions.items())

    def names(self) -> tuple[str, ...]:
        """Return the names of the dimensions; of a function they are not known before it is called."""
        return tuple(self.dimensions)

    def combinations(self) -> list[dict[str, Any]] | None:
        """Return everything that can be drawn; None where that is endless, or too much to write down."""
        values = [dimension.values for dimension in self.dimensions.values() if isinstance(dimension, Choices)]
        if len(values) < max(1, len(self.dimensions)) or math.prod(map(len, values)) > _MOST_COMBINATIONS:
            return None
        return [dict(zip(self.dimensions, drawn, strict=True)) for drawn in itertools.product(*values)]

    def to_json(self) -> Any:
        """Return the space as JSON values; of a function its name."""
        if self.function is not None:
            return getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return {name: dimension.to_json() for name, dimension in sorted(self.dimensions.items())}

    def check(self, resolve: Callable[[Mapping[str, Any]], Settings]) -> None:
        """Refuse a space that holds settings which cannot work.

        Args:
            resolve: Makes Settings of what could be drawn, and raises a ConfigError where that cannot be.

        Raises:
            ConfigError: If it does; names the settings.
        """
        for params in self._corners():
            _check(params, resolve)

    def _corners(self) -> Iterator[dict[str, Any]]:
        ends = {name: dimension.ends() for name, dimension in self.dimensions.items()}
        # One by one first: a message that names a single setting says more.
        for name, values in ends.items():
            yield from ({name: value} for value in values)
        if len(ends) > 1 and math.prod(len(values) for values in ends.values()) <= _MOST_COMBINATIONS:
            for combination in itertools.product(*ends.values()):
                yield dict(zip(ends, combination, strict=True))


def _check(params: Mapping[str, Any], resolve: Callable[[Mapping[str, Any]], Settings]) -> None:
    try:
        resolve(params)
    except ConfigError as error:
        tried = ", ".join(f"{name}={value!r}" for name, value in params.items())
        raise ConfigError(f"The search space holds {tried}, which cannot work: {error}") from error


def as_settings(params: Mapping[str, Any], r: int) -> dict[str, Any]:
    """Turn what was drawn into parameters of a classifier: ``alpha_ratio`` times the rank is ``alpha``.

    Args:
        params: What was drawn.
        r: The rank, where it was not drawn.

    Examples:
        >>> as_settings({"r": 32, "alpha_ratio": 0.5, "dropout": 0.1}, r=8)
        {'r': 32, 'dropout': 0.1, 'alpha': 16}
    """
    found = {name: value for name, value in params.items() if name != ALPHA_RATIO}
    if ALPHA_RATIO in params:
        if not isinstance(params[ALPHA_RATIO], (int, float)) or not isinstance(found.get("r", r), int):
            raise ConfigError(f"{ALPHA_RATIO} must be a number above 0; found {params[ALPHA_RATIO]!r}.")
        alpha = params[ALPHA_RATIO] * found.get("r", r)
        found["alpha"] = int(alpha) if alpha == int(alpha) else alpha
    return found


def from_settings(settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """Return the values that settings have, by the names of a space.

    Examples:
        >>> from_settings(Settings(r=8, alpha=16), ["r", "alpha_ratio"])
        {'r': 8, 'alpha_ratio': 2.0}
    """
    return {name: settings.alpha / settings.r if name == ALPHA_RATIO else getattr(settings, name) for name in names}


def check_name(name: Any) -> None:
    """Refuse a name that is no setting, or none that can be searched.

    Raises:
        ConfigError: With the nearest name, or the reason.
    """
    if name in _NOT_SEARCHED:
        raise ConfigError(f"{name} cannot be searched: {_NOT_SEARCHED[name]}. Leave it out of the search space.")
    known = [*(setting.name for setting in dataclasses.fields(Settings)), ALPHA_RATIO]
    if name in known:
        return
    near = [_OTHER_NAMES[name]] if name in _OTHER_NAMES else difflib.get_close_matches(str(name), known, n=1)
    hint = (
        f"Did you mean {near[0]!r}?"
        if near
        else f"The names are: {', '.join(sorted(set(known) - set(_NOT_SEARCHED)))}."
    )
    raise ConfigError(f"Unknown setting {name!r} in the search space. {hint}")


def parse_space(texts: Sequence[str]) -> dict[str, Any] | None:
    """Read a search space as it is typed on a command line.

    Args:
        texts: ``NAME=CHOICE,CHOICE``, ``NAME=LOW:HIGH`` or ``NAME=LOW:HIGH:log``. Choices that hold commas
            themselves are parted by ``|``.

    Returns:
        The space; None where there are no texts.

    Raises:
        ConfigError: If a text is none of these, or a name comes twice.

    Examples:
        >>> parse_space(["r=4,8", "learning_rate=1e-4:2e-3:log", "targets=query,value|all-linear"])
        {'r': [4, 8], 'learning_rate': (0.0001, 0.002, 'log'), 'targets': ['query,value', 'all-linear']}
    """
    space: dict[str, Any] = {}
    for text in texts:
        name, found, values = text.partition("=")
        name = name.strip()
        if not found or not values.strip():
            raise ConfigError(f"--space must be NAME=4,8,16 or NAME=LOW:HIGH or NAME=LOW:HIGH:log; found {text!r}.")
        if name in space:
            raise ConfigError(f"--space names {name} twice; write all its choices into one.")
        ends = [_parsed(part) for part in values.split(":")]
        if len(ends) > 1 and all(isinstance(end, (int, float)) for end in ends[:2]):
            space[name] = tuple(ends)
        else:
            space[name] = [_parsed(part) for part in values.split("|" if "|" in values else ",")]
    return space or None


def _parsed(text: str) -> Any:
    text = text.strip()
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        number = float(text)
    except ValueError:
        return text
    return int(text) if text.lstrip("+-").isdecimal() else number


def _dimension(name: str, value: Any) -> Choices | Range:
    if hasattr(value, "tolist"):  # numpy's
        value = value.tolist()
    if isinstance(value, list):
        return _choices(name, value)
    if not isinstance(value, tuple):
        raise ConfigError(f"{name} in the search space must be {_FORMS}; found {value!r}.")
    numbers = value[:2]
    log = value[2:] == ("log",)
    fits = len(numbers) == 2 and all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers)
    if not fits or not (log or len(value) == 2):
        raise ConfigError(
            f"{name} in the search space must be {_FORMS}; found the tuple {value!r}. Write choices as a list."
        )
    low, high = numbers
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"{name} in the search space needs low < high; found {value!r}.")
    if log and low <= 0:
        raise ConfigError(f"{name} in the search space: a 'log' range needs a low above 0; found {value!r}.")
    whole = name in _WHOLE and all(isinstance(n, int) for n in numbers)
    return Range(low, high, log=log, whole=whole)


def _choices(name: str, values: list[Any]) -> Choices:
    if not values:
        raise ConfigError(f"{name} in the search space is an empty list; give at least one choice.")
    plain = [value.tolist() if hasattr(value, "tolist") else value for value in values]
    for i, value in enumerate(plain):
        if any(_same(value, other) for other in plain[:i]):
            raise ConfigError(f"{name} in the search space has the choice {shown(value)} twice; keep one.")
    return Choices(tuple(plain))


def _same(one: Any, other: Any) -> bool:
    # True equals 1 to Python, and means something else here.
    return bool(isinstance(one, bool) == isinstance(other, bool) and one == other)
