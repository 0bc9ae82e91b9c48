"""What a browser sends because somebody else's page says so, and why it is refused.

A browser that has a client's certificate shows it whatever page makes the request. A form on any web site could then
post a session in the name of who looks at it: the interface takes documents under any content type. Browsers tell by
themselves where a request comes from (W3C, Fetch Metadata Request Headers; RFC 6454 for ``Origin``), and no page can
change that. Programs send none of these headers, so nothing changes for them. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bannock.errors import DeniedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Scope

__all__ = ["refuse_other_sites"]

_OWN: Final = frozenset({b"same-origin", b"none"})
#: A link, whose answer is a page of its own.
_FOLLOWED: Final = (b"navigate", b"document")
_READS: Final = frozenset({"GET", "HEAD"})


def refuse_other_sites(scope: Scope) -> None:
    """Refuse a request that a browser sends for a page of another site.

    A link that somebody follows is let through: the answer is shown to who followed it, and to no page.

    Raises:
        DeniedError: it is such a request.
    """
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    reads = scope["method"] in _READS
    site = headers.get(b"sec-fetch-site")
    if site is None:
        origin = headers.get(b"origin")
        if origin is None or origin.rpartition(b"//")[2].lower() == headers.get(b"host", b"").lower():
            return
    else:
        how = headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest")
        if site in _OWN or (reads and how == _FOLLOWED):
            return
    raise DeniedError(
        "a page of another web site asks for this, with your certificate",
        hint="if you mean it, ask by scone or another program, and not from that page",
    )
