"""The report of an enclave: what was measured, and what it is bound to. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from bannock.errors import EvidenceError, InputError
from bannock.policy.canonical import canonical_json
from bannock.values import Measurement

if TYPE_CHECKING:
    from bannock.values import KeyHash

__all__ = ["NONCE_BYTES", "REPORT_DATA_BYTES", "Report", "report_data"]

NONCE_BYTES: Final = 32
#: As in the REPORTDATA of SGX and TDX and of SEV-SNP reports.
REPORT_DATA_BYTES: Final = 64
_EXPORTER_BYTES: Final = 32
_INSTANCE_BYTES: Final = 32
_CONTEXT: Final = b"bannock attestation 1\0"
_MAX_BYTES: Final = 4096
_UINT16_MAX: Final = 0xFFFF


def report_data(nonce: bytes, exporter: bytes, enclave_key: KeyHash) -> bytes:
    """Return the 64 bytes that bind a report to one attestation.

    Args:
        nonce: 32 bytes of the verifier, used once.
        exporter: 32 bytes that only the two ends of the TLS connection know (RFC 8446, 7.5).
        enclave_key: the key that the enclave showed in this connection.

    Raises:
        InputError: nonce or exporter are of another length.
    """
    if len(nonce) != NONCE_BYTES or len(exporter) != _EXPORTER_BYTES:
        raise InputError(f"nonce and exporter have 32 bytes, found {len(nonce)} and {len(exporter)}")
    return hashlib.sha512(_CONTEXT + nonce + exporter + enclave_key.value).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a platform says of an enclave.

    Attributes:
        measurement, signer: MRENCLAVE and MRSIGNER.
        product_id, svn: ISVPRODID and ISVSVN, 16 bits each.
        debug: whether a debugger may look into it.
        data: the 64 bytes that it is bound to (:func:`report_data`).
        instance: 32 bytes that name one start of the enclave on its host; None where the platform tells none.
    """

    measurement: Measurement
    signer: Measurement
    product_id: int
    svn: int
    debug: bool
    data: bytes
    instance: bytes | None = None

    def __post_init__(self) -> None:
        if len(self.data) != REPORT_DATA_BYTES:
            raise InputError(f"report data has {REPORT_DATA_BYTES} bytes, found {len(self.data)}")
        if self.instance is not None and len(self.instance) != _INSTANCE_BYTES:
            raise InputError(f"an instance has {_INSTANCE_BYTES} bytes, found {len(self.instance)}")
        for what, number in (("product id", self.product_id), ("security version number", self.svn)):
            if not 0 <= number <= _UINT16_MAX:
                raise InputError(f"a {what} is from 0 to {_UINT16_MAX}, found {number}")

    def to_json(self) -> bytes:
        """Return the one canonical form (RFC 8785), which is what is signed."""
        return canonical_json(
            {
                "mrenclave": str(self.measurement),
                "mrsigner": str(self.signer),
                "product_id": self.product_id,
                "svn": self.svn,
                "debug": self.debug,
                "report_data": self.data.hex(),
                "instance": None if self.instance is None else self.instance.hex(),
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Parse a report.

        Raises:
            EvidenceError: it is anything but what :meth:`to_json` gives.
        """
        if len(data) > _MAX_BYTES:
            raise EvidenceError(f"a report has at most {_MAX_BYTES} bytes, found {len(data)}")
        try:
            fields = json.loads(data)
            report = cls(
                measurement=Measurement.from_hex(fields["mrenclave"]),
                signer=Measurement.from_hex(fields["mrsigner"]),
                product_id=_integer(fields["product_id"]),
                svn=_integer(fields["svn"]),
                debug=fields["debug"] is True,
                data=bytes.fromhex(fields["report_data"]),
                instance=None if fields["instance"] is None else bytes.fromhex(fields["instance"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError) as error:
            raise EvidenceError("the report is malformed") from error
        if report.to_json() != data:
            raise EvidenceError("the report is not in its canonical form")
        return report


def _integer(value: object) -> int:
    if type(value) is not int:
        raise TypeError(value)
    return value
