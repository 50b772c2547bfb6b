"""Rows that a recipe has made: they carry along what made them, and their texts and ratings are settled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from datasets import Dataset

from sentlora.data.catalogue import Recipe, no_such_fields, same_ratings
from sentlora.data.lookup import get_recipe, list_recipes
from sentlora.data.prompts import Prompt
from sentlora.errors import DataError, LabelError
from sentlora.labels import LabelMap

_KEY = "sentlora"
_BY_NAME = 'Pass the recipe by its name, such as fit("{name}") or evaluate("{name}:{split}")'


@dataclass(frozen=True)
class Making:
    """How the rows of a recipe were made.

    Attributes:
        name: The recipe's name.
        eval_split: The split to report results on.
        prompt: What made their texts; None where they are plain.
        labels: What their ids mean; None where the classes were found in the data.
    """

    name: str
    eval_split: str
    prompt: Prompt | None = None
    labels: LabelMap | None = None

    @classmethod
    def by(cls, recipe: Recipe) -> Making:
        """Return how a recipe makes rows."""
        return cls(recipe.name, recipe.eval_split, recipe.parsed_prompt, recipe.label_map)

    @classmethod
    def of(cls, parts: Mapping[str, Any]) -> Making | None:
        """Find out how rows were made, from the first of their splits; None where no recipe made them."""
        first = next(iter(parts.values()), None)
        if not isinstance(first, Dataset):
            return None
        try:
            made = json.loads(first.info.description or "")[_KEY]
            prompt, labels = made["prompt"], made["labels"]
            return cls(
                made["name"],
                made["eval_split"],
                Prompt(prompt) if prompt else None,
                None if labels is None else LabelMap.from_dict(labels),
            )
        except (ValueError, TypeError, KeyError):  # a description of somebody else's
            name = first.info.dataset_name
            return cls.by(get_recipe(name)) if name is not None and name in list_recipes() else None

    def put_on(self, rows: Dataset) -> None:
        """Let rows carry this along, through selections and saves."""
        rows.info.dataset_name = self.name
        made = {
            "name": self.name,
            "eval_split": self.eval_split,
            "prompt": None if self.prompt is None else self.prompt.template,
            "labels": None if self.labels is None else self.labels.to_dict(),
        }
        rows.info.description = json.dumps({_KEY: made})

    def check(self, prompt: Prompt | None, labels: LabelMap | None, *, fields_required: bool = False) -> None:
        """Refuse what can no longer be done to rows that are made.

        Args:
            prompt: What the caller asks for. Another instruction is fine, and so is a plain prompt.
            labels: What the caller asks for.
            fields_required: Whether plain rows are refused where the prompt has fields.

        Raises:
            DataError: If the prompt would make other texts.
            LabelError: If the labels are other ratings.
        """
        by_name = _BY_NAME.format(name=self.name, split=self.eval_split)
        if prompt is not None and not prompt.is_plain:
            if self.prompt is None or self.prompt.is_plain:
                if fields_required:
                    raise no_such_fields(self.name, prompt)
            elif prompt.parts != self.prompt.parts:
                raise DataError(
                    f"These rows of {self.name!r} were made by the recipe's own prompt, {self.prompt.template!r}; "
                    f"{prompt.template!r} has other fields, or other words in front of them. {by_name}, or rows of "
                    "load_recipe(replace(recipe, prompt=...))."
                )
        own = self.labels
        if labels is not None and labels.bins and own is not None and own.bins and not same_ratings(own, labels):
            raise LabelError(
                f"These rows of {self.name!r} were labelled by the recipe's own ratings, {own}; found other ones, "
                f"{labels}. {by_name}, or rows of load_recipe(replace(recipe, labels=...))."
            )


def are_prepared(parts: Mapping[str, Any]) -> bool:
    """Tell whether all splits are as a recipe leaves them, with the columns text and label only."""
    return all(isinstance(part, Dataset) and set(part.column_names) == {"text", "label"} for part in parts.values())


def labels_of_rows(made: Making, parts: Mapping[str, Any]) -> LabelMap | None:
    """Return the labels as the recipe writes them, which know more than the names: ratings, values of the source."""
    found = made.labels
    features = [part.features["label"] for part in parts.values()]
    same = found is not None and all(getattr(feature, "names", None) == list(found.names) for feature in features)
    return found if same else None
