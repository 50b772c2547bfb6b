"""Commands about data: recipes."""

from __future__ import annotations

from sentlora.cli.root import app


@app.command()
def recipes() -> None:
    """List the named datasets."""
    from rich.console import Console
    from rich.table import Table

    from sentlora.data.recipes import get_recipe, list_recipes

    table = Table("recipe", "labels", "reported on", "what it is")
    for name in list_recipes():
        recipe = get_recipe(name)
        labels = recipe.label_map
        table.add_row(name, ", ".join(labels.names) if labels else "-", recipe.eval_split, recipe.description)
    Console().print(table)
