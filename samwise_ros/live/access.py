"""Who may look and command: by address, by origin and, beyond this machine, by token.

A page of any site that a person has open can send requests to their own machine. Two things give it
away: the browser names that page in `Origin`, and where the site's name was made to lead to this
machine (DNS rebinding), it stands in `Host`.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

# Nothing from elsewhere is loaded, nothing is framed, and the token's URL is told to nobody.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
                               "img-src 'self'; connect-src 'self'; base-uri 'none'; "
                               "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Access:
    """The rules for one page.

    Attributes:
        token: That a request has to show; empty: none, and `Host` has to be this machine.
        cookie: Name of the cookie that carries the token; one for each port, which cookies ignore.
    """

    token: str
    cookie: str

    @classmethod
    def at(cls, address: str, port: int) -> Access:
        """The rules for a page that listens on an IP address."""
        token = "" if ipaddress.ip_address(address).is_loopback else secrets.token_urlsafe(24)
        return cls(token, f"samwise_{port}")

    def refusal(self, headers: Mapping[str, str]) -> str:
        """Why a request may not have what it asks for; empty when it may.

        Args:
            headers: By name in lower case.
        """
        host = headers.get("host", "")
        if not self.token and _name_of(host) not in _LOCAL_NAMES:
            return f"this page is for this machine only, and {host[:100]!r} is not its name"
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return f"a page of {origin[:100]!r} has no business here"
        if self.token and not self._shown(headers):
            return ("this page needs a token: open the address with ?token=... that the program "
                    "printed when it started")
        return ""

    def fits(self, token: str) -> bool:
        """Whether this is the token."""
        return secrets.compare_digest(token.encode(), self.token.encode())

    def _shown(self, headers: Mapping[str, str]) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.fits(token.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return cookie is not None and self.fits(cookie.value)


def _name_of(host: str) -> str:
    """The name in a `Host` header, without port; empty when it is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
