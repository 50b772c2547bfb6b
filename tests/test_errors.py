from __future__ import annotations

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
        (errors.NotFittedError, sklearn.exceptions.NotFittedError),
        (errors.NotFittedError, ValueError),
        (errors.NotFittedError, AttributeError),
        (errors.NonFiniteLossError, ArithmeticError),
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
