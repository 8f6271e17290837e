"""What text may be written into XML."""

import re

FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, section 2.2


def allowed(text: str) -> str:
    """Return a text with U+FFFD for each character that XML cannot hold."""
    return FORBIDDEN.sub("\ufffd", text)
