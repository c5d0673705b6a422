"""Signing secrets of `http` functions: read where the runner stands, and told to nobody."""

import os
from collections.abc import Mapping
from pathlib import Path

from standardwebhooks import Webhook

from penstock.domain.errors import Rejected
from penstock.domain.function.target import HttpTarget
from penstock.egress.signing import parse_secrets


def read_secrets(target: HttpTarget, function: str, environ: Mapping[str, str] = os.environ) -> list[Webhook]:
    """The secrets as they are now: a file that was changed counts at the next attempt.

    Raises Rejected `invalid_option` with what to do; it names the place and never the content.
    """
    if target.secret_env:
        text = environ.get(target.secret_env, "")
        if not text:
            raise Rejected(
                "invalid_option",
                f"{function} signs its requests with the secret in {target.secret_env}, which is not set for the "
                "runner. Set it, for example to the output of `openssl rand -base64 32`.",
            )
        return parse_secrets(text, f"{target.secret_env} of {function}")
    try:
        text = Path(target.secret_file).expanduser().read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Rejected(
            "invalid_option",
            f"{function} signs its requests with the secret in {target.secret_file}, which cannot be read ({reason}).",
        ) from None
    return parse_secrets(text, f"{target.secret_file} of {function}")
