"""The error for what a user can mend, any other being a bug of ours; and messages without passwords."""

import re

PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s]+@")  # of a URI, user:password@host


class InputError(ValueError):
    """Say what is wrong with a file, a parameter or a request: the value received, and what is allowed."""


def mask_passwords(message: object) -> str:
    """Return a message with *** for the password of each URI in it."""
    return PASSWORD.sub(r"\1***@", str(message))
