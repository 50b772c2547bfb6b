"""The file that keeps a study: opened with care, resumed only for what it was made for."""

from __future__ import annotations

import json
import logging
import os
import socket
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil

from sentlora.errors import ConfigError, MissingExtraError

DEFAULT_NAME = "sweep"
_SQLITE = b"SQLite format 3\x00"
_FINGERPRINT, _PROCESS = "fingerprint", "process"
# Fewer trials than this tell nothing about the middle of all.
_TRIALS_BEFORE_PRUNING = 5


def require_optuna(purpose: str = "A sweep") -> None:
    """Raise a MissingExtraError where Optuna is not installed."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("optuna", "sweep", purpose) from error


def open_study(storage: str | Path | None, name: str | None, fingerprint: Mapping[str, Any]) -> Any:
    """Open a study, or begin one.

    Args:
        storage: The SQLite file, which is made where it is not there; None keeps the study in memory.
        name: The study in it.
        fingerprint: What its trials depend on besides what they try, in parts by name.

    Returns:
        The Optuna study.

    Raises:
        ConfigError: If the file is none that keeps studies, or the study was made for something else.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    how: dict[str, Any] = {
        "direction": "maximize",
        "pruner": optuna.pruners.MedianPruner(n_startup_trials=_TRIALS_BEFORE_PRUNING),
    }
    if storage is None:
        study = optuna.create_study(study_name=name or DEFAULT_NAME, **how)
    else:
        path = check_study_file(storage)
        try:
            study = optuna.create_study(
                storage=f"sqlite:///{path}", study_name=name or DEFAULT_NAME, load_if_exists=True, **how
            )
            _check_fingerprint(study, path, fingerprint)
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
            raise _unreadable(path, str(error).strip().splitlines()[0]) from error
    study.set_user_attr(_FINGERPRINT, _as_json(fingerprint))
    return study


def check_study_file(storage: str | Path) -> Path:
    """Find out whether a file can keep studies, without a change to it.

    Args:
        storage: The file; it need not be there.

    Returns:
        Its absolute path.

    Raises:
        ConfigError: If it cannot.
    """
    if "://" in str(storage):
        raise ConfigError(f"storage must be the path of an SQLite file, such as 'sweep.db'; found {str(storage)!r}.")
    path = Path(storage).expanduser().absolute()
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise ConfigError(f"storage must be the path of an SQLite file; {str(storage)!r} {what}.")
    if not path.exists() or path.stat().st_size == 0:
        return path
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise _unreadable(path, "it is no SQLite file")
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise _unreadable(path, str(error)) from error
    if tables and "studies" not in tables:
        raise _unreadable(path, f"it holds other tables, such as {min(tables)!r}")
    return path


def _unreadable(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{str(path)!r} cannot be read as a file of studies: {reason}. It was left as it is. Name another file in "
        "storage=, or move this one away to begin anew."
    )


def _check_fingerprint(study: Any, path: Path, fingerprint: Mapping[str, Any]) -> None:
    kept = study.user_attrs.get(_FINGERPRINT)
    if kept is None and not study.get_trials(deepcopy=False):
        return
    here, there = _as_json(fingerprint), kept or {}
    other = [_difference(part, there.get(part), here[part]) for part in here if there.get(part) != here[part]]
    if other:
        raise ConfigError(
            f"The study {study.study_name!r} in {str(path)!r} was made with other {', '.join(other)}; its trials "
            "cannot be compared with new ones. Give this sweep another name=, or another storage=."
        )


def _difference(part: str, there: Any, here: Any) -> str:
    if not isinstance(there, dict) or not isinstance(here, dict):
        return part
    names = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)]
    return f"{part} ({'; '.join(f'{name}: {there.get(name)} there, {here.get(name)} here' for name in names[:3])})"


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, sort_keys=True, default=str))


def mark_process(trial: Any) -> None:
    """Note in a trial which process runs it."""
    trial.set_user_attr(_PROCESS, [socket.gethostname(), os.getpid(), psutil.Process().create_time()])


def fail_abandoned(study: Any) -> int:
    """Mark the trials as failed whose process is gone; those of a process that still runs are left alone.

    Returns:
        How many there were.
    """
    from optuna.trial import TrialState

    gone = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not _runs(trial.user_attrs.get(_PROCESS))
    ]
    for trial in gone:
        study.tell(trial.number, state=TrialState.FAIL)
    return len(gone)


def _runs(process: Any) -> bool:
    if process is None:
        return False
    host, pid, created = process
    if host != socket.gethostname():
        return True  # nothing can be known about it from here
    try:
        return bool(psutil.Process(pid).create_time() == created)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own lines away: each trial is reported in one of ours."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    alembic = logging.getLogger("alembic")
    before, alembic.disabled = alembic.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
        alembic.disabled = before
