"""The call that `penstock up` proposes."""

from penstock import App
from penstock.cli.sample import sample_call
from penstock.domain.function.options import FunctionSpec


def specs_of(app: App) -> list[FunctionSpec]:
    return [function.spec for function in app.functions.values()]


def test_the_proposed_call_fits_the_parameters() -> None:
    """What can be left out is left out, and a function that an event starts comes last."""
    app = App("shop")

    @app.function(on="order.*")
    def audit() -> None: ...

    @app.function
    def greet(name: str, times: int, loud: bool = False) -> None: ...

    assert sample_call(specs_of(app)) == ("greet", '["name", 1]')


def test_a_function_whose_arguments_cannot_be_guessed_is_not_proposed_before_others() -> None:
    """Alone it is named, and its arguments are left to whoever reads."""
    app = App("shop")

    @app.function
    def charge(*, order: int) -> None: ...

    assert sample_call(specs_of(app)) == ("charge", "[...]")

    @app.function
    def tidy() -> None: ...

    assert sample_call(specs_of(app)) == ("tidy", "[]")


def test_without_functions_nothing_is_proposed() -> None:
    """An app may begin empty."""
    assert sample_call([]) is None
