"""What the owner of a CAS configures, as against whoever operates it: TOML, JSON or YAML, unknown keys refused. Pure.

::

    [api_identity]                     # what the certificate of the CAS says; its key stays the same
    common_name = "cas"
    alt_names = ["cas", "localhost"]
    country_name = "DE"
    org_name = "Example Ltd"
    state_or_province = "Saxony"
    locality = "Dresden"
    email = "info@example.com"

    [audit_log]                        # docs/audit-log.md
    mode = "signed"

    [ias]                              # credentials of attestation services
    spid = "…"
    linkable_quotes = true
    sp_key = "…"                       # or identity = "PEM private key and certificate"
    base_url = "https://…"

    [dcap]
    subscription_key = "…"
"""

from __future__ import annotations

import difflib
import enum
import json
import re
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import yaml

from bannock.cas.audit.config import AuditLogConfig
from bannock.errors import InputError
from bannock.net.tls import Identity
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ApiIdentity", "ConfigFormat", "DcapClient", "IasClient", "OwnerConfig"]

_CHARACTERS_MAX: Final = 256 << 10
_VALUE_CHARACTERS_MAX: Final = 1024
_ALT_NAMES_MAX: Final = 256
_HEX_16: Final = re.compile("[0-9a-fA-F]{32}")
_NAME: Final = re.compile(r"[A-Za-z0-9.:_*-]{1,253}")
_COUNTRY: Final = re.compile("[A-Z]{2}")

_SECTIONS: Final = ("api_identity", "audit_log", "ias", "dcap")
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "api_identity": frozenset(
        {"common_name", "alt_names", "country_name", "org_name", "state_or_province", "locality", "email"}
    ),
    "ias": frozenset({"spid", "linkable_quotes", "sp_key", "identity", "base_url", "base_uri"}),
    "dcap": frozenset({"subscription_key"}),
}


class ConfigFormat(enum.StrEnum):
    """How a configuration is written."""

    TOML = "toml"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiIdentity:
    """What the certificate says that a CAS shows; ``alt_names`` are DNS names and IP addresses."""

    common_name: str
    alt_names: tuple[str, ...]
    country_name: str | None = None
    org_name: str | None = None
    state_or_province: str | None = None
    locality: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IasClient:
    """How to ask the attestation service for EPID quotes: with a key of a subscription, or a certificate."""

    spid: str
    linkable_quotes: bool
    credential: Secret | Identity
    base_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DcapClient:
    """How to ask for the endorsements of DCAP quotes."""

    subscription_key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerConfig:
    """The configuration; a section that is not there is None."""

    api_identity: ApiIdentity | None = None
    audit_log: AuditLogConfig | None = None
    ias: IasClient | None = None
    dcap: DcapClient | None = None

    @classmethod
    def parse(cls, text: str, form: ConfigFormat) -> Self:
        """Parse a configuration.

        Raises:
            InputError: it is not of that format, or has a key that is not known or a value that cannot be; all that
                is wrong is told, and no value of a credential.
        """
        return cls.from_mapping(_document(text, form))

    @classmethod
    def from_mapping(cls, document: Mapping[str, Any]) -> Self:
        """Make it of a parsed document.

        Raises:
            InputError: as :meth:`parse`.
        """
        sections = dict(document)
        issues: list[str] = []
        if "api" in sections:  # the older spelling, [api.identity]
            older = sections.pop("api")
            if not isinstance(older, dict) or older.keys() != {"identity"} or "api_identity" in sections:
                issues.append("api: only api.identity is known, once")
            else:
                sections["api_identity"] = older["identity"]
        issues.extend(_unknown("", name, _SECTIONS) for name in sections if name not in _SECTIONS)
        built: dict[str, Any] = {}
        for name in _SECTIONS:
            if name in sections:
                try:
                    built[name] = _section(name, sections[name])
                except InputError as error:
                    issues.extend(error.reasons or (error.message,))
        if issues:
            raise InputError("the owner's configuration is not usable", reasons=issues)
        return cls(**built)


def _document(text: str, form: ConfigFormat) -> Mapping[str, Any]:
    if len(text) > _CHARACTERS_MAX:
        raise InputError(f"the owner's configuration has at most {_CHARACTERS_MAX} characters")
    try:
        match form:
            case ConfigFormat.TOML:
                document: object = tomllib.loads(text)
            case ConfigFormat.JSON:
                document = json.loads(text)
            case ConfigFormat.YAML:
                document = yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        # What the libraries say may quote a credential, but for the place.
        raise InputError(f"the owner's configuration is not {form.upper()}{_place(error)}") from None
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise InputError(f"the owner's configuration has the sections {', '.join(_SECTIONS)}, found none")
    return document


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f", at line {mark.line + 1} column {mark.column + 1}"
    if isinstance(error, json.JSONDecodeError):
        return f", at line {error.lineno} column {error.colno}"
    found = re.search(r"\(at (line \d+, column \d+|end of document)\)$", str(error))
    return f", at {found[1]}" if found else ""


def _section(name: str, section: object) -> object:
    if not isinstance(section, dict):
        raise InputError(f"{name} is a section with keys")
    if name == "audit_log":
        return AuditLogConfig.from_mapping(section)
    fields = _Fields(name, section)
    match name:
        case "api_identity":
            built: object = _api_identity(fields)
        case "ias":
            built = _ias(fields)
        case _:
            built = DcapClient(subscription_key=Secret(fields.text("subscription_key", required=True).encode()))
    fields.finish()
    return built


def _api_identity(fields: _Fields) -> ApiIdentity:
    common_name = fields.text("common_name", required=True)
    country = fields.text("country_name") or None
    if country is not None and not _COUNTRY.fullmatch(country):
        fields.issue("country_name", "is two capital letters (ISO 3166)")
    return ApiIdentity(
        common_name=common_name,
        alt_names=fields.names("alt_names") or (common_name,),
        country_name=country,
        org_name=fields.text("org_name") or None,
        state_or_province=fields.text("state_or_province") or None,
        locality=fields.text("locality") or None,
        email=fields.text("email") or None,
    )


def _ias(fields: _Fields) -> IasClient:
    spid = fields.text("spid", required=True)
    if spid and not _HEX_16.fullmatch(spid):
        fields.issue("spid", "is 32 hexadecimal digits")
    key, pem = fields.text("sp_key"), fields.text("identity", limit=_CHARACTERS_MAX)
    if bool(key) == bool(pem):
        fields.issue("sp_key", "or identity is needed, and one of them alone")
    credential: Secret | Identity = Secret(key.encode("utf-8"))
    if pem:
        try:
            credential = Identity.from_pem("".join(f"{line.strip()}\n" for line in pem.splitlines()).encode("utf-8"))
        except InputError:
            fields.issue("identity", "is a PEM private key (PKCS #8, elliptic curve) and its PEM certificate")
    url = fields.text("base_url") or fields.text("base_uri")
    if url and (urlsplit(url).scheme != "https" or not urlsplit(url).hostname):
        fields.issue("base_url", "is an URL https://…")
    return IasClient(
        spid=spid, linkable_quotes=fields.flag("linkable_quotes"), credential=credential, base_url=url or None
    )


class _Fields:
    """Takes the keys of one section apart, and remembers all that is wrong."""

    def __init__(self, name: str, section: Mapping[Any, object]) -> None:
        self._name = name
        self._section = section
        known = _KEYS[name]
        self._issues = [_unknown(f"{name}.", str(key), known) for key in section if key not in known]

    def issue(self, key: str, rule: str) -> None:
        self._issues.append(f"{self._name}.{key} {rule}")

    def text(self, key: str, *, required: bool = False, limit: int = _VALUE_CHARACTERS_MAX) -> str:
        value = self._section.get(key)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not value or len(value) > limit or (required and not value.isprintable()):
            self.issue(key, f"is a text of 1 to {limit} characters" if value is not None else "is missing")
            return ""
        return value

    def flag(self, key: str) -> bool:
        value = self._section.get(key)
        if not isinstance(value, bool):
            self.issue(key, "is true or false")
        return value is True

    def names(self, key: str) -> tuple[str, ...]:
        values = self._section.get(key, [])
        if (
            not isinstance(values, list)
            or len(values) > _ALT_NAMES_MAX
            or not all(isinstance(value, str) and _NAME.fullmatch(value) for value in values)
        ):
            self.issue(key, "is a list of DNS names and IP addresses")
            return ()
        return tuple(values)

    def finish(self) -> None:
        if self._issues:
            raise InputError(self._issues[0], reasons=self._issues)


def _unknown(prefix: str, key: str, known: frozenset[str] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    advice = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(sorted(known))}"
    shown = "".join(character if character.isprintable() else "?" for character in key[:80])
    return f"{prefix}{shown} is not known; {advice}"
