"""What a browser with a client's certificate is made to send by a page of another site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.cas.browsers import refuse_other_sites
from bannock.errors import DeniedError

if TYPE_CHECKING:
    from starlette.types import Scope

_LINK = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def _asked(method: str, **headers: str) -> Scope:
    named = {"host": "cas:8081", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return {
        "type": "http",
        "method": method,
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "HEAD"])
def test_another_site_asks(method: str, site: str) -> None:
    """Neither to change something nor to fetch something into its own page."""
    with pytest.raises(DeniedError, match="another web site"):
        refuse_other_sites(_asked(method, sec_fetch_site=site, sec_fetch_mode="no-cors", sec_fetch_dest="image"))
    with pytest.raises(DeniedError, match="another web site"):
        refuse_other_sites(_asked(method, sec_fetch_site=site))


def test_a_link_is_followed_and_a_form_is_not() -> None:
    """Both are navigations; only the one that reads is let through, and not into a frame."""
    refuse_other_sites(_asked("GET", **_LINK))
    with pytest.raises(DeniedError):
        refuse_other_sites(_asked("POST", **_LINK))
    with pytest.raises(DeniedError):
        refuse_other_sites(_asked("GET", **{**_LINK, "sec-fetch-dest": "iframe"}))


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://cas", "https://cas:8081.evil.example"])
def test_browsers_that_tell_the_origin_alone(origin: str) -> None:
    """Older ones."""
    for method in ("POST", "GET"):
        with pytest.raises(DeniedError):
            refuse_other_sites(_asked(method, origin=origin))


def test_programs_and_the_own_site() -> None:
    """They send nothing of it, or what is right."""
    refuse_other_sites(_asked("POST"))
    refuse_other_sites(_asked("POST", origin="https://CAS:8081"))
    refuse_other_sites(_asked("POST", sec_fetch_site="same-origin", sec_fetch_mode="cors", sec_fetch_dest="empty"))
    refuse_other_sites(_asked("GET", sec_fetch_site="none", sec_fetch_mode="navigate", sec_fetch_dest="document"))
