"""What a comparison runs: the modes, and the grid of settings that LoRA is tried with."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentlora.augmentation import Augmentation
from sentlora.comparison.preparation import Steps, preparations, require
from sentlora.data.augment import check_ready
from sentlora.errors import ConfigError
from sentlora.settings import Settings
from sentlora.training.arguments import resolve_settings

BASELINES = ("majority", "tfidf")
MODES = (*BASELINES, "head", "lora", "full")

# What the grid varies -> the argument of `compare` that says how.
_COMPARED = {
    "adapter": "modes",
    "variant": "variants",
    "r": "r",
    "alpha": "alphas",
    "targets": "targets",
    "scheduler": "schedulers",
    "seed": "seeds",
}
_ABOUT_MATRICES = ("variant", "r", "alpha", "dropout", "targets", "layers", "rank_pattern")
# Settings that came later than the first rows; left out where they say this, so that such rows are found again.
_LATER = {"augment": None, "precision": "auto"}
_TIMES_RANK = re.compile(r"(\d+(?:\.\d+)?)r")


@dataclass(frozen=True)
class Run:
    """One row to measure.

    Attributes:
        mode: One of ``MODES``.
        seed: What initialisation, dropout and the order of rows depend on; None where nothing does.
        settings: The settings, as plain JSON values; none for a baseline.
        preprocess: The steps by which TF-IDF has its texts prepared; None where it takes them as they are.
    """

    mode: str
    seed: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Steps = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; without ``preprocess`` where there is none, as before there was any."""
        found = {"mode": self.mode, "seed": self.seed, "settings": dict(self.settings)}
        return found if self.preprocess is None else {**found, "preprocess": list(self.preprocess)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Run:
        """Read what :meth:`to_dict` wrote.

        Raises:
            KeyError: If something is missing.
        """
        steps = tuple(data["preprocess"]) if "preprocess" in data else None
        return cls(data["mode"], data["seed"], dict(data["settings"]), steps)


@dataclass(frozen=True)
class Grid:
    """What was asked for; each of the choices is tried with each of the others.

    Attributes:
        modes: What to compare, of ``MODES``.
        r: Ranks of LoRA.
        targets: Targets of LoRA; each is what ``SentimentLoRA(targets=...)`` takes.
        variants: Kinds of LoRA.
        alphas: Scalings of LoRA; a number, or a multiple of the rank such as ``"2r"``.
        schedulers: Shapes of the learning rate, for all modes that are trained.
        preprocess: Preparations of the texts for TF-IDF, see :mod:`sentlora.comparison.preparation`; None is TF-IDF
            as it is.
        seeds: How many seeds, from 0.
        settings: What all of them share.

    Raises:
        ConfigError: If a mode is unknown, a list is empty, or a setting or a preparation cannot work.
        MissingExtraError: If a preparation needs a package that is not installed.
    """

    modes: tuple[str, ...] = MODES
    r: tuple[int | None, ...] = (None,)
    targets: tuple[str | Sequence[str] | None, ...] = (None,)
    variants: tuple[str | None, ...] = (None,)
    alphas: tuple[float | str | None, ...] = (None,)
    schedulers: tuple[str | None, ...] = (None,)
    preprocess: tuple[str | None, ...] | None = None
    seeds: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all that can be checked without data and without a model."""
        for name in ("modes", "r", "targets", "variants", "alphas", "schedulers", "preprocess"):
            choices = getattr(self, name)
            if choices is None:
                continue
            if not choices:
                raise ConfigError(f"{name} must name at least one thing to compare; found none.")
            object.__setattr__(self, name, tuple(choices))
        unknown = [mode for mode in self.modes if mode not in MODES]
        if unknown:
            raise ConfigError(f"modes must be of {', '.join(map(repr, MODES))}; found {unknown[0]!r}.")
        if isinstance(self.seeds, bool) or not isinstance(self.seeds, int) or self.seeds < 1:
            raise ConfigError(f"seeds must be a whole number of at least 1; found {self.seeds!r}.")
        for name, argument in _COMPARED.items():
            if name in self.settings:
                raise ConfigError(f"settings holds {name!r}, which is compared; pass {argument}= instead.")
        self._check_preparations()
        self.runs()
        check_ready(Augmentation.of(self.settings.get("augment")))  # once, in place of an error in every row

    def _check_preparations(self) -> None:
        for steps in preparations(self.preprocess):
            require(steps)
        if self.preprocess is not None and "tfidf" not in self.modes:
            raise ConfigError(
                "preprocess= prepares the texts for TF-IDF alone, and 'tfidf' is not among the modes. Add it to "
                "modes, or leave preprocess out."
            )

    def runs(self, recipe: Mapping[str, Any] | None = None, rows: tuple[int, int] | None = None) -> list[Run]:
        """Return what to measure, in order: all of the first seed, then all of the next.

        Args:
            recipe: The recipe's settings, which count where nothing else was asked for.
            rows: How many rows there are to train on and to validate; what depends on them is settled by these.

        Raises:
            ConfigError: If a setting cannot work.
        """
        Settings.resolve(self.settings)  # a misspelled name is told even where only baselines are compared
        found: dict[str, Run] = {}
        for seed in range(self.seeds):
            for mode in self.modes:
                for run in self._runs_of(mode, seed, recipe or {}, rows):
                    found.setdefault(json.dumps(run.to_dict(), sort_keys=True), run)
        return list(found.values())

    def _runs_of(self, mode: str, seed: int, recipe: Mapping[str, Any], rows: tuple[int, int] | None) -> Iterator[Run]:
        if mode in BASELINES:
            prepared = preparations(self.preprocess) if mode == "tfidf" else (None,)
            yield from (Run(mode, preprocess=steps) for steps in prepared)
            return
        if mode != "lora":
            recipe = {name: value for name, value in recipe.items() if name not in _ABOUT_MATRICES}
        for choice, alpha in self._choices(mode):
            own: dict[str, Any] = dict.fromkeys(Settings.__dataclass_fields__)
            own |= {**self.settings, **choice, "adapter": mode, "seed": seed}
            # The prompt made the texts of the frozen rows, which carry it along.
            own |= {"prompt": None} if mode == "lora" else dict.fromkeys(("prompt", *_ABOUT_MATRICES))
            settings = resolve_settings(own, {**recipe, "prompt": None})
            if alpha is not None:
                settings = dataclasses.replace(settings, alpha=_scaled(alpha, settings.r))
            if rows is not None:
                settings = settings.settled_for(*rows)
            written = settings.to_dict()
            said = {name: value for name, value in written.items() if (name, value) not in _LATER.items()}
            yield Run(mode, seed, said)

    def _choices(self, mode: str) -> Iterator[tuple[dict[str, Any], float | str | None]]:
        if mode != "lora":
            yield from (({"scheduler": scheduler}, None) for scheduler in self.schedulers)
            return
        grid = itertools.product(self.variants, self.targets, self.r, self.alphas, self.schedulers)
        for variant, targets, r, alpha, scheduler in grid:
            choice = {"variant": variant, "targets": targets, "scheduler": scheduler}
            # Vectors have no rank and no scaling, so one row stands for all of them.
            yield ({**choice, "r": None}, None) if variant == "ia3" else ({**choice, "r": r}, alpha)


def _scaled(alpha: float | str, r: int) -> float:
    if isinstance(alpha, str):
        found = _TIMES_RANK.fullmatch(alpha.strip())
        if found is None:
            raise ConfigError(f"alphas must be numbers, or multiples of the rank such as '2r'; found {alpha!r}.")
        alpha = float(found[1]) * r
    return int(alpha) if isinstance(alpha, float) and alpha.is_integer() else alpha  # 16 and 16.0 are one row
