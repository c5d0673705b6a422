"""Half characters in JSON: what JavaScript leaves of a string that was cut in the middle of one.

`JSON.stringify` writes them as escapes, which no strict reader takes; Defer took what it was sent.
"""

import re

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_UNREADABLE = rb"\ufffd"
"""The sign for a character that cannot be read, which such a half becomes wherever text is written as bytes."""


def without_halves(body: bytes) -> bytes:
    """The same JSON with the sign for an unreadable character in place of each half; pairs stay."""
    return _ESCAPE.sub(lambda found: _UNREADABLE if found[1] else found[0], body)
