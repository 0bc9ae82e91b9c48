"""The configuration file of a CAS: TOML, every key optional, unknown keys refused.

::

    database = "/var/lib/bannock/cas/cas.db"     # or an URL: sqlite:////var/lib/bannock/cas/cas.db,
                                                 # postgresql://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full
    master_key = "/etc/bannock/cas-master.key"   # made at the first start; keep a copy, without it all is lost
                                                 # or a table: [master_key] file = "…" passphrase = "file:PATH"
    rollback_counter = "/etc/bannock/cas-master.key.counter"  # tells an older copy of the database from the newest
    provisioning = "optional"                    # or "required": nobody is served before there is an owner

    [api]
    listen = "0.0.0.0:8081"                      # for clients

    [enclave]
    listen = "0.0.0.0:18765"                     # for enclaves

    [attestation]
    las = "unix:/run/bannock/las.sock"           # who gives evidence of the CAS; without it, it does so itself

    [collateral]                                 # what vendors vouch for: docs/collateral.md
    pcs = "https://localhost:8081"               # Intel's service without it
    offline = false

    [tpm]
    roots = "/etc/bannock/tpm-roots"             # certificates of whom to trust to vouch for TPMs, and their CRLs

    [metrics]
    listen = "127.0.0.1:9464"                    # http://…/metrics for Prometheus; without it, nothing is counted

    [certificate]
    names = ["cas.example.org"]                  # beside localhost and cas; read at the first start
    addresses = ["127.0.0.1"]

    [audit_log]                                  # docs/audit-log.md
    path = "/var/log/cas/audit/cas_audit.log"    # beside the database without it; and the keys of the owner's section

    [azure]                                      # for aad-token secrets and key vaults; other clouds have others
    authority = "https://login.microsoftonline.com"
    scope = "https://vault.azure.net/.default"
    ca_file = "/etc/ssl/certs/ca-certificates.crt"  # without it, the authorities of the system

The spelling of SCONE's CAS is understood too: ``[database] path``, ``[api] api_listen`` and ``enclave_listen``.
"""

from __future__ import annotations

import ipaddress
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cas.audit.config import AUDIT_LOG_KEYS, AuditLogConfig
from bannock.cas.azure import AzureConfig
from bannock.cas.collateral_config import COLLATERAL_KEYS, CollateralConfig
from bannock.cas.engines import require_postgresql_url
from bannock.cas.master_key import MasterKeyFile, Passphrase, Plain
from bannock.cas.tpm import Tpm
from bannock.errors import InputError
from bannock.evidence.modes import Mode
from bannock.files import read_bounded
from bannock.net.address import Address
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.cas.master_key import Protection

__all__ = ["API_PORT", "ENCLAVE_PORT", "CasConfig", "load_config"]

API_PORT: Final = 8081
ENCLAVE_PORT: Final = 18765

#: As exporters of OpenTelemetry have it.
METRICS_PORT: Final = 9464

#: Keys of [api] in the spelling of SCONE's CAS, and the section whose ``listen`` they are here.
_PUBLIC_LISTEN: Final = {"api_listen": "api", "enclave_listen": "enclave"}
_DATABASE_NAME: Final = "cas.db"
_KEY_NAME: Final = "master.key"
_COLLATERAL_NAME: Final = "collateral"
_COUNTER_SUFFIX: Final = ".counter"
_LOOPBACK: Final = "127.0.0.1"
_API: Final = Address(_LOOPBACK, API_PORT)
_ENCLAVE: Final = Address(_LOOPBACK, ENCLAVE_PORT)
_CONFIG_BYTES_MAX: Final = 1 << 20
_SQLITE: Final = "sqlite:///"
_POSTGRESQL: Final = ("postgresql:", "postgresql+", "postgres:")
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(
        {
            "database",
            "master_key",
            "rollback_counter",
            "peers",
            "api",
            "enclave",
            "certificate",
            "audit_log",
            "azure",
            "provisioning",
            "attestation",
            "collateral",
            "tokens",
            "tpm",
            "metrics",
        }
    ),
    "api": frozenset({"listen"}),
    "enclave": frozenset({"listen"}),
    "master_key": frozenset({"file", "passphrase", "tpm", "pcrs", "counter"}),
    "attestation": frozenset({"las"}),
    "collateral": COLLATERAL_KEYS,
    "tokens": frozenset({"issuer"}),
    "tpm": frozenset({"roots"}),
    "metrics": frozenset({"listen"}),
    "certificate": frozenset({"names", "addresses"}),
    "azure": frozenset({"authority", "scope", "ca_file"}),
    "audit_log": frozenset({"path", *AUDIT_LOG_KEYS}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CasConfig:
    """How a CAS runs.

    Attributes:
        database: the SQLite file; its directory belongs to the CAS alone.
        postgresql: the URL of a PostgreSQL database that is used in place of the file.
        master_key: the file of the key that opens the database.
        rollback_counter: the file that tells an older copy of the database from the newest; None for one beside the
            master key.
        peers: where other replicas of this CAS are: one that has no counter yet asks them how new the database is.
        accept_rollback: whether an older copy is taken too, at this start; not for the file.
        protection: of the file of the master key.
        api: where clients reach it.
        enclave: where enclaves reach it.
        names: DNS names in its certificate, beside ``localhost`` and ``cas``.
        addresses: IP addresses in its certificate.
        provisioning_required: whether nobody is served before the CAS has an owner.
        mode: whether hardware has to vouch for the CAS, where it attests itself.
        las: address of the LAS that gives evidence of the CAS; None for the CAS itself.
        token_issuer: what it calls itself in tokens: the URL that its client interface has for relying parties; None
            for a name that is made of its key.
        collateral: where endorsements of vendors come from.
        tpm_roots: the directory of those who are trusted to vouch for TPMs; None for nobody.
        metrics: where it tells what it counts; None for nowhere.
        console: whether people get pages at ``/console`` of the client interface.
        audit_log: how the audit log is written as long as no owner says otherwise.
        azure: where its directory is, which gives tokens for key vaults.
        audit_path: the file that the audit log goes to, if it goes to one; None is beside the database.
    """

    database: Path
    master_key: Path
    api: Address = _API
    enclave: Address = _ENCLAVE
    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = (_LOOPBACK,)
    provisioning_required: bool = False
    mode: Mode = Mode.SIM
    las: str | None = None
    token_issuer: str | None = None
    collateral: CollateralConfig = field(default_factory=CollateralConfig)
    tpm_roots: Path | None = None
    metrics: Address | None = None
    console: bool = True
    audit_log: AuditLogConfig = field(default_factory=AuditLogConfig)
    audit_path: Path | None = None
    azure: AzureConfig = field(default_factory=AzureConfig)
    postgresql: Secret | None = None
    rollback_counter: Path | None = None
    peers: Address | None = None
    accept_rollback: bool = False
    protection: Protection = field(default_factory=Plain)

    @property
    def key_file(self) -> MasterKeyFile:
        """The file of the master key, and how it is protected."""
        return MasterKeyFile(path=self.master_key, protection=self.protection)

    @property
    def counter(self) -> Path:
        """The file that tells an older copy of the database from the newest."""
        return self.rollback_counter or self.master_key.with_name(self.master_key.name + _COUNTER_SUFFIX)

    @property
    def collateral_directory(self) -> Path:
        """Where endorsements are kept unless the section says; a directory beside the database."""
        return self.database.parent / _COLLATERAL_NAME

    @classmethod
    def in_directory(cls, directory: Path) -> CasConfig:
        """Give the defaults, with all files in one directory."""
        return cls(database=directory / _DATABASE_NAME, master_key=directory / _KEY_NAME)


def load_config(path: Path | None, *, home: Path) -> CasConfig:
    """Read a configuration file, or give the defaults without one.

    Args:
        path: of the file.
        home: the directory of database and key where the file does not say.

    Raises:
        InputError: it is not TOML, has a key that is not known, or a value that cannot be.
    """
    defaults = CasConfig.in_directory(home)
    if path is None:
        return defaults
    try:
        document = tomllib.loads(read_bounded(path, _CONFIG_BYTES_MAX).decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    try:
        return _build(document, defaults)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", hint=error.hint) from error


def _build(document: Mapping[str, object], defaults: CasConfig) -> CasConfig:
    document = _in_our_words(document)
    _require_known("", document)
    api, enclave, certificate = (_table(document, name) for name in ("api", "enclave", "certificate"))
    audit_log = dict(_table(document, "audit_log"))
    audit_path = _text(audit_log, "path", "-")
    audit_log.pop("path", None)
    addresses = _texts(certificate, "addresses", defaults.addresses)
    for address in addresses:
        _require_ip(address)
    url = _postgresql(document)
    key_file, protection = _master_key(document, defaults)
    counter = _text(document, "rollback_counter", "-")
    return CasConfig(
        database=defaults.database if url else _database(_text(document, "database", str(defaults.database))),
        postgresql=url,
        rollback_counter=Path(counter) if "rollback_counter" in document else None,
        peers=_peers(document),
        master_key=key_file,
        protection=protection,
        api=Address.parse(_text(api, "listen", str(defaults.api)), default_port=API_PORT),
        enclave=Address.parse(_text(enclave, "listen", str(defaults.enclave)), default_port=ENCLAVE_PORT),
        names=_texts(certificate, "names", defaults.names),
        addresses=addresses,
        provisioning_required=_choice(document, "provisioning", ("optional", "required")) == "required",
        las=_las(document),
        token_issuer=_issuer(document),
        collateral=CollateralConfig.from_mapping(_table(document, "collateral")),
        tpm_roots=_tpm_roots(document),
        metrics=_metrics(document),
        audit_log=AuditLogConfig.from_mapping(audit_log) if audit_log else defaults.audit_log,
        audit_path=None if audit_path == "-" else Path(audit_path),
        azure=_azure(document),
    )


def _in_our_words(document: Mapping[str, object]) -> Mapping[str, object]:
    """Put the spelling of SCONE's CAS into ours."""
    written = dict(document)
    database, api = written.get("database"), written.get("api")
    if isinstance(database, dict):
        if database.keys() != {"path"}:
            raise InputError("[database] has the key path, and no other")
        written["database"] = database["path"]
    if isinstance(api, dict):
        ours = {key: value for key, value in api.items() if key not in _PUBLIC_LISTEN}
        for theirs, section in _PUBLIC_LISTEN.items():
            if theirs in api:
                place = ours if section == "api" else dict(_table(written, section))
                if "listen" in place:
                    raise InputError(f"[api] {theirs} and [{section}] listen say the same: keep one of them")
                place["listen"] = api[theirs]
                written[section] = place
        written["api"] = ours
    return written


def _las(document: Mapping[str, object]) -> str | None:
    table = _table(document, "attestation")
    return _text(table, "las", "-") if "las" in table else None


def _peers(document: Mapping[str, object]) -> Address | None:
    return Address.parse(_text(document, "peers", "-"), default_port=API_PORT) if "peers" in document else None


def _issuer(document: Mapping[str, object]) -> str | None:
    table = _table(document, "tokens")
    if "issuer" not in table:
        return None
    issuer = _text(table, "issuer", "-").rstrip("/")
    if not issuer.startswith("https://") or "?" in issuer or "#" in issuer:
        raise InputError(f"[tokens] issuer is an address with https://, without query, found {issuer[:80]!r}")
    return issuer


def _tpm_roots(document: Mapping[str, object]) -> Path | None:
    table = _table(document, "tpm")
    return Path(_text(table, "roots", "-")) if "roots" in table else None


def _metrics(document: Mapping[str, object]) -> Address | None:
    table = _table(document, "metrics")
    if "listen" not in table:
        return None
    return Address.parse(_text(table, "listen", "-"), default_port=METRICS_PORT)


def _azure(document: Mapping[str, object]) -> AzureConfig:
    table, defaults = _table(document, "azure"), AzureConfig()
    authority = _text(table, "authority", defaults.authority).rstrip("/")
    if not authority.startswith("https://"):
        raise InputError(f"[azure] authority is an address with https://, found {authority[:80]!r}")
    return AzureConfig(
        authority=authority,
        scope=_text(table, "scope", defaults.scope),
        ca_file=Path(_text(table, "ca_file", "-")) if "ca_file" in table else None,
    )


def _require_known(table: str, document: Mapping[str, object]) -> None:
    for key in document:
        if key not in _KEYS[table]:
            where = f"[{table}] " if table else ""
            raise InputError(f"{where}{key} is not known, allowed: {', '.join(sorted(_KEYS[table]))}")


def _table(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise InputError(f"{name} is a table, [{name}]")
    _require_known(name, table)
    return table


def _text(document: Mapping[str, object], name: str, default: str) -> str:
    value = document.get(name, default)
    if not isinstance(value, str) or not value:
        raise InputError(f"{name} is a text in quotes")
    return value


def _choice(document: Mapping[str, object], name: str, allowed: tuple[str, ...]) -> str:
    value = _text(document, name, allowed[0])
    if value not in allowed:
        raise InputError(f"{name} is {' or '.join(allowed)}, found {value[:80]!r}")
    return value


def _texts(document: Mapping[str, object], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    values = document.get(name, list(default))
    if not isinstance(values, list) or not all(isinstance(value, str) and value.isascii() for value in values):
        raise InputError(f"{name} is a list of texts")
    return tuple(values)


def _database(text: str) -> Path:
    if text.startswith(_SQLITE):
        return Path(text.removeprefix(_SQLITE))
    if "://" in text:
        scheme = text.partition(":")[0]
        raise InputError(
            f"a database is a path or an URL sqlite:///PATH or postgresql://HOST/DATABASE, found one of {scheme!r}"
        )
    return Path(text)


def _postgresql(document: Mapping[str, object]) -> Secret | None:
    text = document.get("database")
    if not isinstance(text, str) or not text.startswith(_POSTGRESQL):
        return None
    url = Secret(text.encode("utf-8"))
    require_postgresql_url(url)
    return url


def _master_key(document: Mapping[str, object], defaults: CasConfig) -> tuple[Path, Protection]:
    """Read ``master_key = "FILE"``, or the table that says how the file is protected too."""
    if not isinstance(document.get("master_key"), dict):
        return Path(_text(document, "master_key", str(defaults.master_key))), defaults.protection
    table = _table(document, "master_key")
    path = Path(_text(table, "file", str(defaults.master_key)))
    if "passphrase" in table and "tpm" in table:
        raise InputError("[master_key] has a passphrase or a tpm, not both")
    if "passphrase" in table:
        return path, Passphrase(source=_text(table, "passphrase", ""))
    if "tpm" in table:
        pcrs = _text(table, "pcrs", "") if "pcrs" in table else None
        counter = _text(table, "counter", Tpm().counter)
        return path, Tpm(tcti=_text(table, "tpm", ""), pcrs=pcrs, counter=counter)
    return path, Plain()


def _require_ip(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise InputError(f"an IP address was expected, found {text[:80]!r}") from None
