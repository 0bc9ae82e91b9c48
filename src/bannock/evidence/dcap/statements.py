"""Intel's statements on processors and on its quoting enclaves: TCB info (version 3) and enclave identity. Pure.

Both are JSON whose exact bytes are signed (Intel's "SGX and TDX Provisioning Certification Service API", version 4).
What is not needed is not looked at: Intel adds names without a new version.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bannock.errors import EvidenceError
from bannock.evidence.dcap.certificates import CACHED

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EnclaveLevel", "ModuleIdentity", "PlatformLevel", "QeIdentity", "TcbInfo"]

#: The states that Intel tells of enclaves and modules, and those of processors.
_ENCLAVE_STATES: Final = frozenset({"UpToDate", "OutOfDate", "Revoked"})
_STATES: Final = _ENCLAVE_STATES | {
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDateConfigurationNeeded",
}
_COMPONENTS: Final = 16
_UINT16_MAX: Final = 0xFFFF
_ENTRIES_MAX: Final = 1024
_TCB_INFO_VERSION: Final = 3
_IDENTITY_VERSIONS: Final = {"QE": {2}, "TD_QE": {2, 3}}
_TEXT_MAX: Final = 80
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveLevel:
    """The state of an enclave or of a TDX module from a security version number on."""

    svn: int
    status: str
    date: datetime
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformLevel:
    """The state of processors whose parts have at least these security version numbers."""

    sgx: bytes
    pce_svn: int
    tdx: bytes
    status: str
    date: datetime
    advisories: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleIdentity:
    """Which TDX module is Intel's; levels are there for modules that have versions of their own."""

    signer: bytes
    attributes: bytes
    mask: bytes
    levels: tuple[EnclaveLevel, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TcbInfo:
    """What Intel says of one family of processors.

    Attributes:
        tee: ``SGX`` or ``TDX``.
        number: counts Intel's evaluations; a recovery from a flaw has a new one.
        levels: from the highest to the lowest, as Intel's own verifier sorts them.
        module: of TDX, the first module, which has no version.
        modules: of TDX, the others, by version.
    """

    tee: str
    issued: datetime
    until: datetime
    fmspc: bytes
    pce_id: bytes
    number: int
    levels: tuple[PlatformLevel, ...]
    module: ModuleIdentity | None
    modules: dict[int, ModuleIdentity]

    @classmethod
    @lru_cache(maxsize=CACHED)
    def parse(cls, text: str) -> TcbInfo:
        """Parse a TCB info.

        Raises:
            EvidenceError: it is anything else.
        """
        return _parsed(text, _tcb_info, "the TCB info")


@dataclass(frozen=True, slots=True, kw_only=True)
class QeIdentity:
    """What Intel says of its quoting enclaves of one kind.

    Attributes:
        kind: ``QE`` for SGX, ``TD_QE`` for TDX.
        levels: from the highest to the lowest.
    """

    kind: str
    issued: datetime
    until: datetime
    number: int
    misc_select: int
    misc_select_mask: int
    attributes: bytes
    attributes_mask: bytes
    signer: bytes
    product_id: int
    levels: tuple[EnclaveLevel, ...]

    @classmethod
    @lru_cache(maxsize=CACHED)
    def parse(cls, text: str) -> QeIdentity:
        """Parse an enclave identity.

        Raises:
            EvidenceError: it is anything else.
        """
        return _parsed(text, _qe_identity, "the identity of the quoting enclave")


def _parsed(text: str, build: Callable[[dict[str, Any]], _Value], what: str) -> _Value:
    try:
        document = json.loads(text)
        if not isinstance(document, dict):
            raise TypeError(document)
        return build(document)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise EvidenceError(f"{what} is malformed") from error


def _tcb_info(fields: dict[str, Any]) -> TcbInfo:
    tee = fields["id"]
    if tee not in {"SGX", "TDX"} or fields["version"] != _TCB_INFO_VERSION or fields["tcbType"] != 0:
        raise EvidenceError(f"a TCB info is one of SGX or TDX in version {_TCB_INFO_VERSION}")
    levels = [_platform_level(each, tee) for each in _list(fields["tcbLevels"])]
    levels.sort(key=lambda level: (level.sgx, level.pce_svn, level.tdx), reverse=True)
    return TcbInfo(
        tee=tee,
        issued=_date(fields["issueDate"]),
        until=_date(fields["nextUpdate"]),
        fmspc=_octets(fields["fmspc"], 6),
        pce_id=_octets(fields["pceId"], 2),
        number=_number(fields["tcbEvaluationDataNumber"], 1 << 32),
        levels=tuple(levels),
        module=_module(fields["tdxModule"]) if tee == "TDX" else None,
        modules={
            _module_version(each["id"]): _module(each) for each in _list(fields.get("tdxModuleIdentities") or [])
        },
    )


def _platform_level(fields: dict[str, Any], tee: str) -> PlatformLevel:
    tcb = fields["tcb"]
    return PlatformLevel(
        sgx=_components(tcb["sgxtcbcomponents"]),
        pce_svn=_number(tcb["pcesvn"], _UINT16_MAX),
        tdx=_components(tcb["tdxtcbcomponents"]) if tee == "TDX" else b"",
        status=_status(fields["tcbStatus"], _STATES),
        date=_date(fields["tcbDate"]),
        advisories=_advisories(fields),
    )


def _module(fields: dict[str, Any]) -> ModuleIdentity:
    return ModuleIdentity(
        signer=_octets(fields["mrsigner"], 48),
        attributes=_octets(fields["attributes"], 8),
        mask=_octets(fields["attributesMask"], 8),
        levels=_enclave_levels(fields.get("tcbLevels") or []),
    )


def _module_version(name: object) -> int:
    if not isinstance(name, str) or not name.upper().startswith("TDX_"):
        raise TypeError(name)
    return _octets(name[len("TDX_") :], 1)[0]


def _qe_identity(fields: dict[str, Any]) -> QeIdentity:
    kind = fields["id"]
    if fields["version"] not in _IDENTITY_VERSIONS.get(kind, set()):
        raise EvidenceError("an enclave identity is one of QE or TD_QE in version 2")
    return QeIdentity(
        kind=kind,
        issued=_date(fields["issueDate"]),
        until=_date(fields["nextUpdate"]),
        number=_number(fields["tcbEvaluationDataNumber"], 1 << 32),
        misc_select=int.from_bytes(_octets(fields["miscselect"], 4), "little"),
        misc_select_mask=int.from_bytes(_octets(fields["miscselectMask"], 4), "little"),
        attributes=_octets(fields["attributes"], 16),
        attributes_mask=_octets(fields["attributesMask"], 16),
        signer=_octets(fields["mrsigner"], 32),
        product_id=_number(fields["isvprodid"], _UINT16_MAX),
        levels=_enclave_levels(fields["tcbLevels"]),
    )


def _enclave_levels(entries: object) -> tuple[EnclaveLevel, ...]:
    levels = [
        EnclaveLevel(
            svn=_number(each["tcb"]["isvsvn"], _UINT16_MAX),
            status=_status(each["tcbStatus"], _ENCLAVE_STATES),
            date=_date(each["tcbDate"]),
            advisories=_advisories(each),
        )
        for each in _list(entries)
    ]
    return tuple(sorted(levels, key=lambda level: level.svn, reverse=True))


def _components(entries: object) -> bytes:
    svns = bytes(_number(each["svn"], 0xFF) for each in _list(entries))
    if len(svns) != _COMPONENTS:
        raise ValueError(entries)
    return svns


def _advisories(fields: dict[str, Any]) -> tuple[str, ...]:
    names = _list(fields.get("advisoryIDs") or [])
    for each in names:
        if not isinstance(each, str) or len(each) > _TEXT_MAX or not each.isprintable():
            raise TypeError(each)
    return tuple(names)


def _status(value: object, states: frozenset[str]) -> str:
    if not isinstance(value, str) or value not in states:
        raise TypeError(value)
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list) or len(value) > _ENTRIES_MAX:
        raise TypeError(value)
    return value


def _number(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise TypeError(value)
    return value


def _octets(value: object, count: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * count or not value.isalnum():
        raise TypeError(value)
    return bytes.fromhex(value)


def _date(value: object) -> datetime:
    if not isinstance(value, str):
        raise TypeError(value)
    return datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
