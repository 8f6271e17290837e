"""The error for what a user can mend; any other error is a bug of ours."""


class InputError(ValueError):
    """Say what is wrong with a file, a parameter or a request: the value received, and what is allowed."""
