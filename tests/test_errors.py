from __future__ import annotations

import pickle

import pytest
import sklearn.exceptions

import sentlora
from sentlora import errors


@pytest.mark.parametrize(
    ("error", "standard"),
    [
        (errors.DataError, ValueError),
        (errors.LabelError, ValueError),
        (errors.LabelError, errors.DataError),
        (errors.RecipeError, ValueError),
        (errors.ConfigError, ValueError),
        (errors.TargetError, errors.ConfigError),
        (errors.BackboneError, OSError),
        (errors.AdapterFolderError, ValueError),
        (errors.HubError, OSError),
        (errors.NotFittedError, sklearn.exceptions.NotFittedError),
        (errors.NotFittedError, ValueError),
        (errors.NotFittedError, AttributeError),
        (errors.NonFiniteLossError, ArithmeticError),
        (errors.ProcessError, RuntimeError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_each_is_also_the_class_that_users_catch(error: type, standard: type) -> None:
    assert issubclass(error, standard)
    assert issubclass(error, errors.SentloraError)


def test_every_exception_of_the_module_is_ours() -> None:
    found = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    assert len(found) >= 11
    assert all(issubclass(error, errors.SentloraError) for error in found)


def test_every_exception_is_a_public_name() -> None:
    found = {name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__}
    assert found <= set(sentlora.__all__)
    assert all(getattr(sentlora, name) is getattr(errors, name) for name in found)


def test_a_missing_extra_says_what_needs_it_and_how_to_install_it() -> None:
    error = errors.MissingExtraError("matplotlib", "plot", "EvaluationReport.plot()")
    assert str(error) == (
        "EvaluationReport.plot() needs the package 'matplotlib', which is not installed. "
        'Install it with: pip install "sentlora[plot]"'
    )
    assert (error.package, error.extra) == ("matplotlib", "plot")


def test_an_error_comes_home_from_another_process() -> None:
    """A grid search with several jobs sends its errors by pickle."""
    error = errors.MissingExtraError("matplotlib", "plot", "EvaluationReport.plot()")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.MissingExtraError
    assert str(again) == str(error)
    assert (again.package, again.extra, again.purpose) == ("matplotlib", "plot", "EvaluationReport.plot()")


@pytest.mark.parametrize(
    "kind",
    [value for value in vars(errors).values() if isinstance(value, type) and value is not errors.MissingExtraError],
)
def test_every_other_error_keeps_its_message_when_pickled(kind: type[Exception]) -> None:
    again = pickle.loads(pickle.dumps(kind("what is wrong")))
    assert type(again) is kind
    assert str(again) == "what is wrong"
