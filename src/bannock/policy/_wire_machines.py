"""The wire form of rules for machines: which of those that vouch for a LAS are trusted.

Pure. As :mod:`bannock.policy._wire`. The names below a platform are those of
:attr:`~bannock.policy.claims.Claims.machine`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Final, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from bannock.policy import _fields as fields
from bannock.policy._wire_base import Bindable, Model

__all__ = ["MachineWire", "SnpWire", "TdxWire", "TpmWire"]

_PCR: Final = re.compile(r"[0-9]|1[0-9]|2[0-3]")
_HEX: Final = re.compile(r"(?:0x)?(?P<digits>[0-9A-Fa-f]+)")


def _digits(count: int) -> Callable[[Any], str]:
    """Give a parser of exactly so many hexadecimal digits; a vendor's tool may write 0x before them."""

    def parse(value: Any) -> str:
        what = f"{count} hexadecimal digits"
        match = _HEX.fullmatch(fields.require_text(value, what))
        if match is None or len(match["digits"]) != count:
            raise fields.expected(what)
        return match["digits"].lower()

    return parse


def _product(value: Any) -> str:
    """Take the name of a generation of processors, however it is written."""
    text = value.lower() if isinstance(value, str) else value
    return fields.one_of("milan", "genoa", "turin")(text)


def _pcr(value: Any) -> str:
    text = fields.require_text(value, "the number of a PCR")
    if not _PCR.fullmatch(text):
        raise fields.expected("the number of a PCR, from 0 to 23")
    return text


_Hex16: TypeAlias = Annotated[
    list[Bindable[Annotated[str, BeforeValidator(_digits(16))]]], BeforeValidator(fields.as_list), Field(min_length=1)
]
_Hex32: TypeAlias = Annotated[
    list[Bindable[Annotated[str, BeforeValidator(_digits(32))]]], BeforeValidator(fields.as_list), Field(min_length=1)
]
_Hex64: TypeAlias = Annotated[
    list[Bindable[Annotated[str, BeforeValidator(_digits(64))]]], BeforeValidator(fields.as_list), Field(min_length=1)
]
_Hex96: TypeAlias = Annotated[
    list[Bindable[Annotated[str, BeforeValidator(_digits(96))]]], BeforeValidator(fields.as_list), Field(min_length=1)
]
_Products: TypeAlias = Annotated[
    list[Bindable[Annotated[str, BeforeValidator(_product)]]], BeforeValidator(fields.as_list), Field(min_length=1)
]
_Levels: TypeAlias = Annotated[
    list[Bindable[Annotated[str, BeforeValidator(fields.one_of("0", "1", "2", "3"))]]],
    BeforeValidator(fields.as_list),
    Field(min_length=1),
]
#: Security version numbers of firmware are bytes.
_Byte: TypeAlias = Annotated[int, BeforeValidator(fields.number), Field(le=0xFF)]
_Index: TypeAlias = Annotated[str, BeforeValidator(_pcr)]


class TdxWire(Model):
    """What a trust domain has to be."""

    slips: ClassVar[Mapping[str, str]] = {"measurement": "mrtd", "mr_td": "mrtd"}

    mrtd: _Hex96 | None = None
    rtmr0: _Hex96 | None = None
    rtmr1: _Hex96 | None = None
    rtmr2: _Hex96 | None = None
    rtmr3: _Hex96 | None = None
    mrconfigid: _Hex96 | None = None
    mrowner: _Hex96 | None = None
    mrownerconfig: _Hex96 | None = None
    mrseam: _Hex96 | None = None
    mrsignerseam: _Hex96 | None = None
    td_attributes: _Hex16 | None = None
    xfam: _Hex16 | None = None

    @model_validator(mode="after")
    def _names_its_firmware(self) -> Self:
        if self.mrtd is None:
            raise PydanticCustomError(
                fields.CONFLICT, "expected mrtd: whatever else is measured, its firmware measures"
            )
        return self


class MinimumTcbWire(Model):
    """``minimum_tcb``: how old the firmware of an AMD processor may be."""

    slips: ClassVar[Mapping[str, str]] = {"boot_loader": "bootloader", "ucode": "microcode"}

    bootloader: Bindable[_Byte] | None = None
    tee: Bindable[_Byte] | None = None
    snp: Bindable[_Byte] | None = None
    microcode: Bindable[_Byte] | None = None
    fmc: Bindable[_Byte] | None = None


class SnpWire(Model):
    """What an SEV-SNP guest has to be."""

    slips: ClassVar[Mapping[str, str]] = {"mrenclave": "measurement", "launch_measurement": "measurement"}

    measurement: _Hex96 | None = None
    host_data: _Hex64 | None = None
    id_key_digest: _Hex96 | None = None
    author_key_digest: _Hex96 | None = None
    family_id: _Hex32 | None = None
    image_id: _Hex32 | None = None
    guest_svn: Bindable[Annotated[int, BeforeValidator(fields.number)]] | None = None
    policy: _Hex16 | None = None
    vmpl: _Levels = ["0"]
    product: _Products | None = None
    minimum_tcb: Bindable[MinimumTcbWire] | None = None

    @model_validator(mode="after")
    def _names_its_software(self) -> Self:
        if self.measurement is None and self.id_key_digest is None and self.author_key_digest is None:
            raise PydanticCustomError(
                fields.CONFLICT, "expected measurement, or id_key_digest or author_key_digest of whoever signed it"
            )
        keys = [*(self.id_key_digest or ()), *(self.author_key_digest or ())]
        if self.measurement is None and any(isinstance(key, str) and not key.strip("0") for key in keys):
            # That is what a guest has whom nobody signed.
            raise PydanticCustomError(
                fields.CONFLICT, "expected measurement beside a digest of zeros, which names nobody"
            )
        return self


class PcrsWire(Model):
    """``pcrs``: the registers of a TPM, by the hash of their bank."""

    sha256: Bindable[dict[_Index, _Hex64]] = {}
    sha384: Bindable[dict[_Index, _Hex96]] = {}

    @model_validator(mode="after")
    def _some_register(self) -> Self:
        if self.sha256 == {} and self.sha384 == {}:
            raise PydanticCustomError(fields.CONFLICT, "expected at least one PCR, such as sha256: {4: DIGEST}")
        return self


class TpmWire(Model):
    """What a machine with a TPM has to have booted."""

    slips: ClassVar[Mapping[str, str]] = {"pcr": "pcrs"}

    pcrs: Bindable[PcrsWire]
    secure_boot: Bindable[Annotated[str, BeforeValidator(fields.one_of("true"))]] | None = None


class MachineWire(Model):
    """One entry of ``machines``: a platform, and what a machine of it has to be."""

    slips: ClassVar[Mapping[str, str]] = {"snp": "sev-snp", "sev_snp": "sev-snp", "sev": "sev-snp"}

    tdx: Bindable[TdxWire] | None = None
    sev_snp: Bindable[SnpWire] | None = Field(default=None, alias="sev-snp")
    tpm: Bindable[TpmWire] | None = None

    @model_validator(mode="after")
    def _one_platform(self) -> Self:
        if sum(each is not None for each in (self.tdx, self.sev_snp, self.tpm)) != 1:
            raise PydanticCustomError(
                fields.CONFLICT, "expected one of tdx, sev-snp and tpm; machines of another platform are another entry"
            )
        return self
