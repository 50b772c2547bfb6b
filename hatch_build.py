"""What the package says of its repository, filled in when it is built.

The release workflow names the repository as ``owner/name`` in ``SENTLORA_REPOSITORY``. Only then does the package get
links to it, and the README, which PyPI shows by itself, absolute ones in place of those that point to a file beside it.
So a fork that publishes under a name of its own does not point to somebody else's repository.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# The target of a markdown link, unless it is whole already or stays on the page.
_BESIDE = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?=\S)")


def links(repository: str) -> dict[str, str]:
    """Return the links of the page on PyPI for a repository ``owner/name``; none where it is not known."""
    if not repository:
        return {}
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise ValueError(f"Expected SENTLORA_REPOSITORY as owner/name; found {repository!r}.")
    source = f"https://github.com/{repository}"
    return {
        "Documentation": f"https://{owner.lower()}.github.io/{name}/",
        "Source": source,
        "Issues": f"{source}/issues",
        "Changelog": f"{source}/blob/main/CHANGELOG.md",
    }


def with_whole_links(text: str, repository: str, version: str) -> str:
    """Let the links of a README to files beside it point to those files in the repository, as of this version."""
    return _BESIDE.sub(f"https://github.com/{repository}/blob/v{version}/", text) if repository else text


class CustomMetadataHook(MetadataHookInterface):
    """Sets the fields that pyproject.toml calls dynamic, but for the version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Fill in ``urls`` and ``readme``."""
        repository = os.environ.get("SENTLORA_REPOSITORY", "")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        text = with_whole_links(text, repository, metadata["version"])
        metadata["urls"] = links(repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
