"""Fields of secrets: keys and certificates in PEM, names in certificates, durations, and what Azure is told.

Pure. No message repeats a value.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final

from bannock.errors import InputError
from bannock.policy import _fields as fields
from bannock.policy.certificates import COMMON_NAME_MAX, CertificateBundle
from bannock.policy.private_keys import read_private_key
from bannock.policy.template import Template

if TYPE_CHECKING:
    from bannock.values import Secret

__all__ = [
    "azure_id",
    "certificate",
    "certificates",
    "common_name",
    "dns_name",
    "duration",
    "private_key",
    "store",
    "subject",
    "thumbprint",
    "token",
    "vault",
    "vault_secret",
]

_DNS_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)(?:\*\.)?(?:[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?"
)
_DURATION: Final = re.compile(r"(?:\s*[0-9]{1,6}\s*[A-Za-z]+)+\s*")
_PART: Final = re.compile(r"(?P<count>[0-9]+)\s*(?P<unit>[A-Za-z]+)")
_MONTH: Final = 30.44
_YEAR: Final = 365.25
#: Seconds in each unit; months and years are those of the Gregorian calendar on average.
_UNITS: Final = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
    **dict.fromkeys(("M", "month", "months"), round(_MONTH * 86_400)),
    **dict.fromkeys(("y", "year", "years"), round(_YEAR * 86_400)),
}
_DURATION_MAX: Final = dt.timedelta(days=round(1000 * _YEAR))
_AZURE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-]{0,127}")
_THUMBPRINT: Final = re.compile(r"(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})")
_VAULT: Final = re.compile(r"(?:https://)?(?P<host>[A-Za-z0-9\-.]{1,253}(?::[0-9]{1,5})?)/?")
#: What Azure Key Vault lets secrets be called, underscores aside, which our own names have and Azure refuses itself.
_VAULT_SECRET: Final = re.compile(r"[A-Za-z0-9\-_.~]{1,128}")


def private_key(value: Any) -> Secret:
    """Take a private key in PEM."""
    text = fields.secret_text(value)
    try:
        read_private_key(text.reveal())
    except InputError as error:
        raise fields.expected_unshown(_after_expected(error)) from None
    return text


def certificate(value: Any) -> Secret:
    """Take a certificate in PEM, with its chain or without."""
    text = fields.secret_text(value)
    try:
        bundle = CertificateBundle.from_pem(text.reveal())
    except InputError as error:
        raise fields.expected_unshown(_after_expected(error)) from None
    if bundle.private_key is not None:
        raise fields.expected_unshown(
            "a certificate alone; its private key is a secret of its own, named by private_key"
        )
    return text


def certificates(value: Any) -> str:
    """Take the certificates of authorities in PEM."""
    return certificate(value).reveal().decode("utf-8")


def common_name(value: Any) -> str:
    """Take the common name of a certificate."""
    what = f"a common name of 1 to {COMMON_NAME_MAX} characters"
    text = fields.require_text(value, what)
    if not 0 < len(text) <= COMMON_NAME_MAX or not text.isprintable():
        raise fields.expected(what)
    return text


def dns_name(value: Any) -> str:
    """Take a DNS name, which may begin with ``*.``."""
    what = "a DNS name such as db.example.com or *.example.com"
    text = fields.require_text(value, what)
    if not _DNS_NAME.fullmatch(text):
        raise fields.expected(what)
    return text


def subject(value: Any) -> tuple[str, str]:
    """Take one alternative name of a certificate: its kind, ``dns`` or ``ip``, and the name."""
    what = '"dns:NAME" or "ip:ADDRESS", in quotation marks'
    text = fields.require_text(value, what)
    kind, _, name = text.partition(":")
    try:
        match kind:
            case "dns":
                return kind, dns_name(name)
            # A zone ("%eth0") means something on one machine only.
            case "ip" if "%" not in name:
                return kind, str(ipaddress.ip_address(name))
            case _:
                raise fields.expected(what)
    except ValueError:
        raise fields.expected(what) from None


def duration(value: Any) -> dt.timedelta:
    """Take a duration such as ``1 year``, ``59d`` or ``1d 12h``.

    >>> duration("1 week 2days") == dt.timedelta(days=9)
    True
    """
    what = "a duration such as 90 days, 1 year or 36h"
    text = fields.require_text(value, what)
    parts = list(_PART.finditer(text)) if _DURATION.fullmatch(text) else []
    if not parts or any(part["unit"] not in _UNITS for part in parts):
        raise fields.expected(what)
    # Compared as a number: a sum of a document's length is more than the type of durations holds.
    seconds = sum(int(part["count"]) * _UNITS[part["unit"]] for part in parts)
    if not 0 < seconds <= _DURATION_MAX.total_seconds():
        raise fields.expected(f"{what}, more than nothing and at most 1000 years")
    return dt.timedelta(seconds=seconds)


def azure_id(value: Any) -> str:
    """Take the identifier of a tenant or an application."""
    what = "an identifier of Azure, such as e6c9c526-f1aa-4e0d-b207-50bad9a89d21"
    text = fields.require_text(value, what)
    if not _AZURE_ID.fullmatch(text):
        raise fields.expected(what)
    return text


def thumbprint(value: Any) -> str:
    """Take the thumbprint of a certificate, in upper case from here on."""
    what = "the thumbprint of a certificate, 40 hexadecimal digits"
    text = fields.require_text(value, what)
    if not _THUMBPRINT.fullmatch(text):
        raise fields.expected(what)
    return text.upper()


def vault(value: Any) -> str:
    """Take the address of an Azure Key Vault: its host, with a port where it has one."""
    what = "the address of a key vault, such as NAME.vault.azure.net"
    match = _VAULT.fullmatch(fields.require_text(value, what))
    if match is None:
        raise fields.expected(what)
    return match["host"]


def vault_secret(value: Any) -> str:
    """Take the name of a secret in a vault."""
    what = "the name of a secret in the vault"
    text = fields.require_text(value, what)
    if not _VAULT_SECRET.fullmatch(text):
        raise fields.expected(what)
    return text


def store(value: Any) -> Any:
    """Take ``!cas`` for None, and what ``!akv`` is the tag of."""
    match value:
        case "!cas" | "cas" | {"!cas": ""}:
            return None
        case {"!akv": inner, **others} | {"akv": inner, **others} if not others and isinstance(inner, dict):
            return inner
        case _:
            raise fields.expected("!cas, or !akv with vault and token")


def token(value: Any) -> str:
    """Take the reference to an ``aad-token`` secret, and give its name."""
    what = "$$SCONE::NAME$$ of a secret of kind aad-token"
    text = fields.require_text(value, what)
    try:
        template = Template.parse(text)
    except InputError:
        raise fields.expected(what) from None
    placeholders = list(template.placeholders)
    if len(template.parts) != 1 or len(placeholders) != 1 or placeholders[0].escape_json:
        raise fields.expected(what)
    if placeholders[0].format and not placeholders[0].format.startswith("."):
        raise fields.expected(what)
    # A token has no formats, so what looks like an old one (".key") is the end of its name.
    return placeholders[0].name + placeholders[0].format


def _after_expected(error: InputError) -> str:
    return error.message.removeprefix("expected ")
