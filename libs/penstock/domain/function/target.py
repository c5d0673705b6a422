"""Functions that are no Python code of the app: a URL that is called, or a command that is started.

A target names its secret, and never holds it: declarations are facts, and everybody may read them.
"""

import re
from urllib.parse import urlsplit

import msgspec

from penstock.domain.errors import Rejected
from penstock.domain.limits import command_chars_max, command_words_max, url_chars_max

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_PLAIN = re.compile(r"[\x21-\x7e]+")


class HttpTarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="http"):
    """A web address; the secret that signs requests stands in an environment variable or a file of the runner's."""

    url: str
    secret_env: str = ""
    secret_file: str = ""


class CommandTarget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="command"):
    """An executable with its arguments. No shell reads them."""

    command: list[str]


Target = HttpTarget | CommandTarget


def shown_url(url: str) -> str:
    """The URL as people may see it: its query may hold what only the receiver should know."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def validate_target(target: Target, where: str) -> None:
    """Raises Rejected `invalid_option` naming what is wrong with the target of the function `where`."""
    match target:
        case HttpTarget():
            _validate_url(target.url, where)
            _validate_secret(target, where)
        case CommandTarget():
            _validate_command(target.command, where)


def _validate_url(url: str, where: str) -> None:
    if len(url) > url_chars_max:
        raise _wrong(f"url of {where} is longer than {url_chars_max} characters.")
    if not _PLAIN.fullmatch(url):
        raise _wrong(f"url of {where} may hold visible ASCII only: write names as xn--... and spaces as %20.")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise _wrong(f"url of {where} is no URL: {error}.") from None
    if parts.scheme not in ("http", "https"):
        raise _wrong(f"url of {where} must begin with https:// (or http://), not with {parts.scheme!r:.20}.")
    if not parts.hostname:
        raise _wrong(f"url of {where} names no host; write https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise _wrong(f"url of {where} holds credentials, which everybody would see; requests are signed instead.")
    if parts.fragment:
        raise _wrong(f"url of {where} has a fragment (#...), which is never sent; leave it out.")


def _validate_secret(target: HttpTarget, where: str) -> None:
    if bool(target.secret_env) == bool(target.secret_file):
        raise _wrong(
            f"{where} needs secret_env=... (a variable of the runner's) or secret_file=...: "
            "requests are signed, so that the receiver can tell them from anybody else's."
        )
    if target.secret_env and not _VARIABLE.fullmatch(target.secret_env):
        raise _wrong(f"secret_env of {where} must be the name of an environment variable, and is not.")
    if "\0" in target.secret_file:
        raise _wrong(f"secret_file of {where} is no path.")


def _validate_command(command: list[str], where: str) -> None:
    if not command or not command[0].strip():
        raise _wrong(f"The command of {where} is empty; give a list such as ['./thumb', '--size', '100'].")
    if len(command) > command_words_max or sum(map(len, command)) > command_chars_max:
        raise _wrong(f"The command of {where} has more than {command_words_max} words or {command_chars_max} letters.")
    if any("\0" in word for word in command):
        raise _wrong(f"The command of {where} holds a NUL character, which no program can be given.")


def _wrong(sentence: str) -> Rejected:
    # Nothing that might be a secret by mistake is repeated in these sentences.
    return Rejected("invalid_option", sentence)
