"""The CASes that were attested here, and the LAS: whether they answer, and are what they were."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from bannock import __version__
from bannock.doctor.finding import Finding, State
from bannock.errors import BannockError, PeerError
from bannock.evidence.las_client import LasClient
from bannock.net.client import connect
from bannock.policy.claims import SIMULATED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bannock.net.address import Address
    from bannock.values import KeyHash

__all__ = ["KnownService", "look_at_cas", "look_at_las"]

_SECONDS: Final = 5.0
_SKEW_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownService:
    """A CAS that was attested here.

    Attributes:
        name: as its user calls it.
        address: of its client interface.
        key: that it has to have.
        platform: what protected it when it was attested; empty where that was not kept.
        is_default: whether commands use it that name none.
    """

    name: str
    address: Address
    key: KeyHash
    platform: str
    is_default: bool


def look_at_las(address: str, *, named: bool) -> Iterator[Finding]:
    """Ask the LAS.

    Args:
        address: of it.
        named: whether somebody has said that there is one.
    """
    try:
        platform = LasClient(address, timeout=_SECONDS).platform()
    except BannockError as error:
        yield Finding(
            what="las",
            state=State.PROBLEM if named else State.WARNING,
            found=f"{error.message}{'' if named else ' (programs need one to run here)'}",
            hint="bannock las serve, or the image `las`; SCONE_LAS_ADDR names another one",
        )
        return
    yield Finding(what="las", state=State.OK, found=f"at {address}, platform {platform}")


def look_at_cas(known: Sequence[KnownService], now: float) -> Iterator[Finding]:
    """Ask every CAS that was attested here.

    Args:
        known: the CASes.
        now: the time, in seconds of Unix.
    """
    if not known:
        yield Finding(
            what="cas", state=State.OK, found="none was attested here", hint="to use one: scone cas attest ADDRESS"
        )
    for service in known:
        yield from _look_at(service, now)


def _look_at(service: KnownService, now: float) -> Iterator[Finding]:
    what = f"cas {service.name}"
    begun = time.monotonic()
    try:
        with connect(
            service.address.host, service.address.port, None, expected_peer=service.key, timeout=_SECONDS
        ) as connection:
            answer = connection.request("GET", "/v1/attest")
            seconds = time.monotonic() - begun
            date = {name.lower(): value for name, value in answer.headers.items()}.get("date", "")
            statement = _statement(connection.request_json("GET", "/v1/attest"))
    except BannockError as error:
        changed = isinstance(error, PeerError)
        yield Finding(
            what=what,
            state=State.PROBLEM if service.is_default or changed else State.WARNING,
            found=error.message,
            hint=f"find out who answers there before anything else: scone cas attest {service.name} --explain"
            if changed
            else error.hint or "start it, or attest another one: scone cas attest ADDRESS",
        )
        return
    yield _version(what, service, str(statement.get("version", "")), seconds)
    if service.platform.startswith(SIMULATED) or service.platform == "sim":
        yield Finding(
            what=what,
            state=State.WARNING,
            found=f"it ran on platform {service.platform}: whoever rules its host reads its secrets",
            hint="for more than tests, a CAS on sgx, tdx or sev-snp",
        )
    if statement.get("provisioned") is False:
        yield Finding(
            what=what, state=State.WARNING, found="nobody owns it", hint="become its owner: scone cas provision"
        )
    if (ahead := _ahead(date, now)) is not None and abs(ahead) > _SKEW_SECONDS:
        yield Finding(
            what=what,
            state=State.WARNING,
            found=f"its clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this one",
            hint="set the one that is wrong, or certificates and evidence may be refused",
        )


def _version(what: str, service: KnownService, version: str, seconds: float) -> Finding:
    plain = version if version.isprintable() and version else "unknown"
    default = ", the default one" if service.is_default else ""
    return Finding.judged(
        what, f"at {service.address}{default}: version {plain}, answers in {seconds * 1000:.0f} ms",
        good=plain == __version__, hint=f"this command is version {__version__}: bring the older one up to date",
    )  # fmt: skip


def _statement(answer: object) -> Mapping[str, Any]:
    statement = answer.get("statement") if isinstance(answer, dict) else None
    return statement if isinstance(statement, dict) else {}


def _ahead(date: str, now: float) -> float | None:
    try:
        return parsedate_to_datetime(date).timestamp() - now
    except (TypeError, ValueError):
        return None
