"""Settings from the environment: what is wrong is named, what follows from another setting follows."""

import pytest

from penstock.domain.errors import Rejected
from penstock.service.settings import listed, load_settings, unknown_variables


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PENSTOCK_NATS_PORT", "many"), ("PENSTOCK_HTTP_PORT", "70000"), ("PENSTOCK_GRACE", "soon"),
        ("PENSTOCK_ENV", "Prod"), ("PENSTOCK_SYNC_PROCESSES", "2.5"),
        ("PENSTOCK_SYNC_PROCESSES", "0"), ("PENSTOCK_ASYNC_PROCESSES", "-1"), ("PENSTOCK_GRACE", "-0.1"),
        ("PENSTOCK_GRACE", "nan"), ("PENSTOCK_NATS_REPLICAS", "2"), ("PENSTOCK_LOG_LEVEL", "loud"),
        ("PENSTOCK_LOG_FORMAT", "xml"), ("PENSTOCK_NETLIFY_ORIGINS", "shop.example.com"),
        ("PENSTOCK_NETLIFY_ORIGINS", "*, https://shop.example.com/"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named_by_its_variable(variable: str, value: str) -> None:
    """Nobody has to guess which of the environment's variables was meant."""
    with pytest.raises(Rejected) as refusal:
        load_settings({variable: value})
    assert variable in refusal.value.detail


def test_the_least_and_the_listed_values_of_settings_are_taken() -> None:
    """The edge itself is fine."""
    environ = {"PENSTOCK_SYNC_PROCESSES": "1", "PENSTOCK_GRACE": "0", "PENSTOCK_NATS_REPLICAS": "5"}
    settings = load_settings({**environ, "PENSTOCK_LOG_LEVEL": "error", "PENSTOCK_LOG_FORMAT": "json"})
    assert (settings.sync_processes, settings.grace, settings.nats_replicas) == (1, 0, 5)


def test_a_setting_that_is_a_list_has_commas() -> None:
    """Blanks around them do not matter."""
    settings = load_settings({"PENSTOCK_NETLIFY_ORIGINS": "https://a.example, http://localhost:3000,"})
    assert listed(settings.netlify_origins) == {"https://a.example", "http://localhost:3000"}
    assert load_settings({"PENSTOCK_NETLIFY_ORIGINS": "*"}).netlify_origins == "*"
    assert listed("") == frozenset()


def test_clients_follow_the_http_port() -> None:
    """Who moves the port need not say so twice."""
    assert load_settings({"PENSTOCK_HTTP_PORT": "9000"}).url == "http://127.0.0.1:9000"
    assert load_settings({}).url == "http://127.0.0.1:8700"
    assert load_settings({"PENSTOCK_HTTP_HOST": "0.0.0.0"}).url == "http://127.0.0.1:8700"
    assert load_settings({"PENSTOCK_HTTP_HOST": "::1"}).url == "http://[::1]:8700"
    elsewhere = {"PENSTOCK_HTTP_PORT": "9000", "PENSTOCK_URL": "https://penstock.example"}
    assert load_settings(elsewhere).url == "https://penstock.example"


def test_addresses_in_tokens_follow_the_url_of_clients() -> None:
    """Unless people outside reach it under another one."""
    assert load_settings({"PENSTOCK_HTTP_PORT": "9000"}).public_url == "http://127.0.0.1:9000"
    assert load_settings({"PENSTOCK_URL": "http://inside:80"}).public_url == "http://inside:80"
    both = {"PENSTOCK_URL": "http://inside:80", "PENSTOCK_PUBLIC_URL": "https://penstock.example"}
    assert load_settings(both).public_url == "https://penstock.example"


def test_a_misspelt_variable_is_named_with_the_one_that_was_meant() -> None:
    """A variable with our prefix that is no setting has no effect, which nobody should have to find out."""
    environ = {"PENSTOCK_HTTP_PRT": "1", "PENSTOCK_ENV": "dev", "PATH": "/bin", "PENSTOCK_XYZZY_Q": "1"}
    assert unknown_variables(environ) == ["PENSTOCK_HTTP_PRT (did you mean PENSTOCK_HTTP_PORT?)", "PENSTOCK_XYZZY_Q"]
