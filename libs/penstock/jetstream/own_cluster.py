"""The users of Penstock as a piece of configuration for a NATS server or cluster of one's own."""

from collections.abc import Sequence

from penstock.jetstream.access import merged_permissions
from penstock.wire.names import Names

HEAD = """\
# The users of Penstock and what each of them may do. `penstock nats users {environments}` wrote this; do not edit it.
# Passwords come from the environment of the server. Each must begin with a letter: the server reads numbers as such.
"""


def password_variable(user: str) -> str:
    """The variable in the environment of the server from which it takes the user's password."""
    return f"NATS_{user.upper()}_PASSWORD"


def users(environments: Sequence[str]) -> str:
    """An `authorization` block without any secret, for `include` in the configuration of the server."""
    lines = [HEAD.format(environments=" ".join(environments)), "authorization {", "  users = ["]
    for user, rights in merged_permissions([Names(each) for each in environments]).items():
        lines += ["    {", f"      user: {user}", f"      password: ${password_variable(user)}", "      permissions {"]
        for side, subjects in rights.items():
            lines += [f"        {side} {{ allow: ["]
            lines += [f'          "{subject}"' for subject in subjects]
            lines += ["        ] }"]
        lines += ["      }", "    }"]
    return "\n".join([*lines, "  ]", "}", ""])
