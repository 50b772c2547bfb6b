"""What is said in several files of a release is the same in each; workflows are pinned and may do little."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import sys
import tarfile
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import sentlora

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SOURCE = sorted((ROOT / "src").rglob("*.py"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
YAML = sorted((ROOT / ".github").rglob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
FOR_DEVELOPERS = {"docs", "dev", "all"}

# What a job may be allowed beyond reading the code, and the job that needs it.
ALLOWED = {
    ("docs.yml", "deploy"): {"pages", "id-token"},
    ("live-hub.yml", "report"): {"issues"},
    ("release.yml", "attest"): {"id-token", "attestations"},
    ("release.yml", "publish"): {"id-token"},
    ("release.yml", "rehearse"): {"id-token"},
    ("release.yml", "github-release"): {"contents"},
}


def unpinned(text: str) -> Iterator[str]:
    """Yield the lines that use an action without a commit, or without the version that the commit is."""
    for line in re.findall(r"^\s*-?\s*uses:.*$", text, re.MULTILINE):
        used = line.split("uses:", 1)[1].strip()
        if not used.startswith("./") and not re.fullmatch(r"[\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used):
            yield used


def pins(text: str) -> Iterator[tuple[str, str]]:
    yield from re.findall(r"uses: ([\w.-]+/[\w.-]+)\S*@(.+)$", text, re.MULTILINE)


def read(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in WORKFLOWS:
        yield from ((path.name, name, job) for name, job in read(path)["jobs"].items())


def load(path: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The workflows


def test_the_workflows_are_there() -> None:
    found = {path.stem for path in WORKFLOWS}
    assert found >= {"tests", "lint", "docs", "release", "live-hub", "security"}


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.relative_to(ROOT / ".github").as_posix())
def test_each_action_is_pinned_to_a_commit_and_says_its_version(path: Path) -> None:
    assert list(unpinned(path.read_text(encoding="utf-8"))) == []


def test_an_action_has_the_same_pin_everywhere() -> None:
    seen: dict[str, set[str]] = {}
    for path in YAML:
        for action, pin in pins(path.read_text(encoding="utf-8")):
            seen.setdefault(action, set()).add(pin)
    assert {action: found for action, found in seen.items() if len(found) > 1} == {}
    assert "pypa/gh-action-pypi-publish" in seen


@pytest.mark.parametrize(
    "used", ["actions/checkout@v7", "actions/checkout@main # v7.0.0", f"actions/checkout@{'a' * 40}", "docker://x"]
)
def test_an_action_without_a_pin_is_found(used: str) -> None:
    assert list(unpinned(f"steps:\n  - uses: {used}\n")) == [used]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_the_code_and_no_more(path: Path) -> None:
    assert read(path)["permissions"] == {"contents": "read"}


def test_a_job_may_do_more_only_where_it_must() -> None:
    given = {(file, name): set(job["permissions"]) for file, name, job in jobs() if "permissions" in job}
    assert given == ALLOWED


def test_each_job_has_a_time_limit_and_each_workflow_a_group() -> None:
    assert [(file, name) for file, name, job in jobs() if not 0 < job.get("timeout-minutes", 0) <= 90] == []
    assert [path.name for path in WORKFLOWS if "group" not in read(path)["concurrency"]] == []


def test_no_checkout_leaves_its_token_behind() -> None:
    steps = [(file, name, step) for file, name, job in jobs() for step in job["steps"]]
    checkouts = [found for found in steps if found[2].get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) >= 8
    assert [found for found in checkouts if found[2].get("with", {}).get("persist-credentials") is not False] == []


def test_no_expression_is_pasted_into_a_script() -> None:
    # What a title or a branch name says would be run. Values go through the environment.
    scripts = [step["run"] for _, _, job in jobs() for step in job["steps"] if "run" in step]
    assert [script for script in scripts if "${{" in script] == []


def test_only_a_tag_is_published_and_what_publishes_builds_nothing() -> None:
    workflow = read(ROOT / ".github/workflows/release.yml")
    assert workflow[True]["push"] == {"tags": ["v*"]}
    publish = workflow["jobs"]["publish"]
    assert publish["if"] == "github.event_name == 'push'"
    assert publish["environment"]["name"] == "pypi"
    assert {"build", "install"} <= set(publish["needs"])
    assert [step["uses"].split("@")[0] for step in publish["steps"]] == [
        "actions/download-artifact",
        "pypa/gh-action-pypi-publish",
    ]
    assert "password" not in publish["steps"][-1]["with"]


def test_a_release_is_made_without_a_cache() -> None:
    for name in ("release.yml",):
        assert "cache:" not in (ROOT / ".github/workflows" / name).read_text(encoding="utf-8")
        assert "./.github/actions/install" not in (ROOT / ".github/workflows" / name).read_text(encoding="utf-8")


# What is said in several places


def test_the_tests_run_on_each_python_of_the_classifiers() -> None:
    classified = [
        found[1]
        for line in PROJECT["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line))
    ]
    tests = read(ROOT / ".github/workflows/tests.yml")["jobs"]
    assert tests["test"]["strategy"]["matrix"]["python"] == classified
    assert tests["lowest"]["strategy"]["matrix"]["python"] == [classified[0], classified[-1]]
    low, high = (int(version.split(".")[1]) for version in (classified[0], classified[-1]))
    assert PROJECT["project"]["requires-python"] == f">=3.{low},<3.{high + 1}"
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py3{low}"
    assert PROJECT["tool"]["mypy"]["python_version"] == f"3.{low}"


def test_the_version_has_one_place() -> None:
    assert "version" in PROJECT["project"]["dynamic"]
    assert "version" not in PROJECT["project"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/sentlora/__init__.py"
    written = [path.name for path in SOURCE if re.search(r"^__version__\s*=", path.read_text("utf-8"), re.MULTILINE)]
    assert written == ["__init__.py"]
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?(\.dev\d+)?", sentlora.__version__)


def test_the_citation_and_the_changelog_know_the_version() -> None:
    assert str(read(ROOT / "CITATION.cff")["version"]) == sentlora.__version__
    assert f"## [{sentlora.__version__}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def extras_named() -> Iterator[tuple[str, str]]:
    """Yield (file, extra) for each extra that the library tells somebody to install."""
    for path in SOURCE:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        for group in re.findall(r"sentlora\[([\w,-]+)\]", text):
            yield from ((name, extra) for extra in group.split(","))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "MissingExtraError":
                assert isinstance(node.args[1], ast.Constant), f"{name}:{node.lineno}: write the extra out"
                yield name, node.args[1].value


def test_an_extra_that_a_message_names_exists() -> None:
    named = list(extras_named())
    assert {extra for _, extra in named} >= {"demo", "plot", "quant", "text"}
    assert [(file, extra) for file, extra in named if extra not in EXTRAS] == []


def test_all_holds_every_extra_for_users() -> None:
    (everything,) = EXTRAS["all"]
    found = re.fullmatch(r"sentlora\[(.+)\]", everything)
    assert found is not None
    assert sorted(found[1].split(",")) == sorted(set(EXTRAS) - FOR_DEVELOPERS)


def test_the_workflows_install_what_the_makefile_does() -> None:
    found = re.search(r'-e "\.\[(.+)\]"', (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert found is not None
    # A new extra of the Makefile's line goes into these two files as well.
    assert read(ROOT / ".github/workflows/tests.yml")["env"]["EXTRAS"] == found[1]
    assert read(ROOT / ".github/actions/install/action.yml")["inputs"]["extras"]["default"] == found[1]
    assert set(found[1].split(",")) <= set(EXTRAS)


def test_contributing_names_each_target_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(targets) > 5
    assert [target for target in targets if target != "help" and f"`make {target}`" not in page] == []


def test_every_file_of_the_sdist_exists() -> None:
    include = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in include if not name.startswith("/") or not (ROOT / name[1:]).exists()] == []


# The scripts


@pytest.fixture
def check_dist() -> types.ModuleType:
    return load("scripts/check_dist.py")


def make_dist(folder: Path, *, wheel: dict[str, str], sdist: dict[str, str], sdist_version: str = "1.0.0") -> None:
    with zipfile.ZipFile(folder / "sentlora-1.0.0-py3-none-any.whl", "w") as archive:
        for name, text in wheel.items():
            archive.writestr(name, text)
    with tarfile.open(folder / f"sentlora-{sdist_version}.tar.gz", "w:gz") as archive:
        for name, text in sdist.items():
            info = tarfile.TarInfo(f"sentlora-{sdist_version}/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))


@pytest.fixture
def good(check_dist: types.ModuleType) -> dict[str, dict[str, str]]:
    wheel = [name.format(info="sentlora-1.0.0.dist-info") for name in check_dist.IN_WHEEL]
    return {"wheel": dict.fromkeys(wheel, "x"), "sdist": dict.fromkeys(check_dist.IN_SDIST, "x")}


def test_good_distributions_pass(check_dist, good, tmp_path: Path) -> None:
    make_dist(tmp_path, **good)
    assert list(check_dist.faults(tmp_path)) == []


def test_what_is_missing_is_named(check_dist, good, tmp_path: Path) -> None:
    del good["wheel"]["sentlora/py.typed"], good["sdist"]["hatch_build.py"]
    make_dist(tmp_path, **good)
    assert list(check_dist.faults(tmp_path)) == [
        "sentlora-1.0.0-py3-none-any.whl lacks sentlora/py.typed.",
        "sentlora-1.0.0.tar.gz lacks hatch_build.py.",
    ]


@pytest.mark.parametrize(
    "junk", ["tests/data/rows.parquet", "src/a/__pycache__/b.pyc", "site/index.html", "m.safetensors"]
)
def test_what_does_not_belong_in_it_is_named(check_dist, good, tmp_path: Path, junk: str) -> None:
    good["sdist"][junk] = "x"
    make_dist(tmp_path, **good)
    assert list(check_dist.faults(tmp_path)) == [f"sentlora-1.0.0.tar.gz holds {junk}, which does not belong in it."]


def test_a_stranger_in_site_packages_is_named(check_dist, good, tmp_path: Path) -> None:
    good["wheel"]["tests/conftest.py"] = "x"
    make_dist(tmp_path, **good)
    assert list(check_dist.faults(tmp_path)) == [
        "sentlora-1.0.0-py3-none-any.whl would put 'tests' into site-packages."
    ]


def test_two_versions_are_told_apart(check_dist, good, tmp_path: Path) -> None:
    make_dist(tmp_path, **good, sdist_version="1.0.1")
    assert "are not of the same version" in next(check_dist.faults(tmp_path))
    assert "found 0 and 0" in next(check_dist.faults(tmp_path / "nowhere"))


def test_a_large_file_is_named(check_dist, good, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(check_dist.MAX_BYTES, "wheel", 10)
    make_dist(tmp_path, **good)
    assert next(iter(check_dist.faults(tmp_path))).endswith("bytes; a wheel may have 10.")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "src/sentlora").mkdir(parents=True)
    (tmp_path / "src/sentlora/__init__.py").write_text('"""Doc."""\n__version__ = "1.2.0"\n')
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.2.0\n")
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## [1.2.0] - 2026-01-31\n\n### Added\n\n- A thing.\n\n## [1.1.0] - 2025-12-01\n\n- Old.\n"
    )
    return tmp_path


def test_release_notes_are_the_section_of_the_version(repository: Path) -> None:
    assert load("scripts/release_notes.py").notes(repository, "v1.2.0") == "### Added\n\n- A thing."


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("src/sentlora/__init__.py", '"1.2.0"', '"1.3.0"', "__init__.py must have the version '1.2.0'; found '1.3.0'"),
        ("CITATION.cff", "\nversion: 1.2.0", "", "CITATION.cff must have the version '1.2.0'; found None"),
        ("CHANGELOG.md", "2026-01-31", "unreleased", "needs the heading '## [1.2.0] - YYYY-MM-DD'"),
        ("CHANGELOG.md", "[1.2.0]", "[1.2]", "found 'no heading of this version'"),
        ("CHANGELOG.md", "### Added\n\n- A thing.\n", "", "says nothing about 1.2.0"),
    ],
)
def test_what_is_not_ready_is_not_released(repository: Path, name: str, old: str, new: str, words: str) -> None:
    module = load("scripts/release_notes.py")
    path = repository / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(module.NotReadyError, match=re.escape(words)):
        module.notes(repository, "v1.2.0")


def test_the_first_example_of_the_readme_is_found() -> None:
    block = load("scripts/first_example.py").first_block((ROOT / "README.md").read_text(encoding="utf-8"))
    assert "from sentlora import" in block
    assert "```" not in block


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    # hatchling is there when a package is built, and need not be in an environment for tests.
    interface = types.ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    monkeypatch.setitem(sys.modules, "hatchling.metadata.plugin.interface", interface)
    return load("hatch_build.py")


def metadata_of(hook: types.ModuleType, root: Path) -> dict[str, Any]:
    made = hook.CustomMetadataHook()
    made.root = str(root)
    metadata = {"version": "1.2.0"}
    made.update(metadata)
    return metadata


README = "[a](docs/a.md) ![b](docs/b.png) [c](https://c.org/x) [d](#ten-lines) [e](mailto:e@c.org)\n"


def test_links_lead_to_the_repository_that_publishes(hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text(README)
    monkeypatch.setenv("SENTLORA_REPOSITORY", "Me/sentlora")
    metadata = metadata_of(hook, tmp_path)
    assert metadata["urls"]["Source"] == "https://github.com/Me/sentlora"
    assert metadata["urls"]["Documentation"] == "https://me.github.io/sentlora/"
    at = "https://github.com/Me/sentlora/blob/v1.2.0/docs"
    assert metadata["readme"]["text"] == README.replace("(docs", f"({at}")


def test_without_a_repository_nothing_is_made_up(hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text(README)
    monkeypatch.delenv("SENTLORA_REPOSITORY", raising=False)
    assert metadata_of(hook, tmp_path) == {
        "version": "1.2.0",
        "urls": {},
        "readme": {"content-type": "text/markdown", "text": README},
    }


@pytest.mark.parametrize("repository", ["sentlora", "me/", "https://github.com/me/sentlora"])
def test_a_repository_is_an_owner_and_a_name(hook, repository: str) -> None:
    with pytest.raises(ValueError, match="Expected SENTLORA_REPOSITORY as owner/name; found"):
        hook.links(repository)
