"""What `penstock nats` prints and asks for, and who logs in as whom on a server of one's own."""

import re
from contextlib import AsyncExitStack

import pytest

from penstock.cli.main import main
from penstock.domain.errors import Rejected
from penstock.jetstream.access import USERS, permissions
from penstock.jetstream.own_cluster import users
from penstock.jetstream.refused import StartRefused
from penstock.service.access import open_connection, read_passwords
from penstock.service.settings import load_settings
from penstock.wire.names import Names


def test_the_printed_users_have_the_rights_of_the_embedded_server() -> None:
    """One list of rights serves both."""
    printed = users(["prod"])
    for rights in permissions(Names("prod")).values():
        for subjects in rights.values():
            assert all(f'"{subject}"' in printed for subject in subjects)
    assert set(re.findall(r"user: (\w+)", printed)) == {*USERS, "trigger"}


def test_the_printed_users_have_no_password() -> None:
    """So that the file can be checked in."""
    assert set(re.findall(r"password: (\S+)", users(["prod"]))) == {
        f"$NATS_{user.upper()}_PASSWORD" for user in (*USERS, "trigger")
    }


def test_users_of_several_environments_may_use_both(capsys: pytest.CaptureFixture[str]) -> None:
    """A server often has a staging environment as well."""
    main(["nats", "users", "staging", "prod"])
    printed = capsys.readouterr().out
    assert '"penstock.staging.events.>"' in printed
    assert '"penstock.prod.events.>"' in printed
    assert printed.count("user: ingest") == 1


def test_an_environment_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A dot in it would reach into other subjects."""
    with pytest.raises(SystemExit):
        main(["nats", "users", "prod.eu"])
    assert "prod.eu" in capsys.readouterr().err


def test_passwords_are_read_as_pairs() -> None:
    """They may contain all that a comma does not end."""
    settings = load_settings({"PENSTOCK_NATS_URL": "nats://n:4222", "PENSTOCK_NATS_PASSWORDS": "ingest=a=b, query=c"})
    assert read_passwords(settings) == {"ingest": "a=b", "query": "c"}


def test_a_password_without_a_user_is_refused() -> None:
    """Otherwise all services would log in as one."""
    with pytest.raises(Rejected, match="PENSTOCK_NATS_PASSWORDS must be user=password"):
        load_settings({"PENSTOCK_NATS_PASSWORDS": "secret"})


async def test_a_user_whose_password_is_missing_is_named() -> None:
    """Before anything is asked of the server."""
    settings = load_settings({"PENSTOCK_NATS_URL": "nats://127.0.0.1:1", "PENSTOCK_NATS_PASSWORDS": "ingest=a"})
    async with AsyncExitStack() as stack:
        with pytest.raises(StartRefused, match="nothing of the user 'query'"):
            await open_connection(stack, settings, read_passwords(settings), "query", "query")
