"""The named datasets by their names: the built-in ones, and those that other packages announce."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points

from sentlora.data.built_in import BUILT_IN
from sentlora.data.catalogue import Recipe
from sentlora.errors import RecipeError

ENTRY_POINT_GROUP = "sentlora.recipes"


def list_recipes() -> list[str]:
    """Return the names of all recipes: the built-in ones and those that installed packages announce.

    Examples:
        >>> "imdb" in list_recipes()
        True
    """
    return sorted({*BUILT_IN, *_announced()})


def get_recipe(name: str) -> Recipe:
    """Return a recipe by its name. A built-in recipe goes before an announced one of the same name.

    Args:
        name: One of :func:`list_recipes`.

    Raises:
        RecipeError: If there is no such recipe, with the names that come near.

    Examples:
        >>> get_recipe("sst2").eval_split
        'validation'
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    announced = _announced()
    if name in announced:
        recipe = announced[name].load()
        if not isinstance(recipe, Recipe):
            raise RecipeError(
                f"The entry point {announced[name].value!r} of the group {ENTRY_POINT_GROUP!r} should be a Recipe; "
                f"found {type(recipe).__name__}."
            )
        return recipe
    names = list_recipes()
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise RecipeError(f"There is no recipe {name!r}. {hint}The recipes are: {', '.join(names)}.")


def _announced() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
