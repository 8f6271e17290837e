"""The page to try a served reader on: one HTML file, which needs nothing from elsewhere and may run nothing else.

Its Content-Security-Policy names the one script and the one style sheet in it by their hashes (W3C, "Content Security
Policy Level 3", section 2.3.1).
"""

import base64
import hashlib
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

FILE = Path(__file__).with_name("reader.html")
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}


def content_security_policy(html: str) -> str:
    """Return the policy that lets the page run its own script, look as it does, and talk to its own server only."""
    script, style = (_digest(html, element) for element in ("script", "style"))
    allowed = {
        "default-src": "'none'",
        "script-src": f"'sha256-{script}'",
        "style-src": f"'sha256-{style}'",
        "img-src": "blob: data:",  # the picture that was chosen; the icon
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{directive} {sources}" for directive, sources in allowed.items())


def _digest(html: str, element: str) -> str:
    """Return the SHA-256, in base64, of what is inside the only element of this name."""
    (content,) = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def get(request: Request) -> Response:
    """GET /: the page."""
    html = FILE.read_text("utf-8")
    headers = HEADERS | {"Content-Security-Policy": content_security_policy(html)}
    return Response(html, headers=headers, media_type="text/html")
