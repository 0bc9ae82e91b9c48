"""What make-believe Intel says of its processors and enclaves: collateral in the genuine formats. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.evidence.dcap.quote import pem_of

if TYPE_CHECKING:
    from datetime import datetime

    from bannock.evidence.dcap.pck import PckIdentity
    from bannock.evidence.rehearsal.intel_certificates import IntelCertificates

__all__ = ["Silicon", "collateral_set", "qe_identity", "raw_signature", "tcb_info"]

_DATE: Final = "%Y-%m-%dT%H:%M:%SZ"
#: Of both statements: Intel counts its evaluations.
_EVALUATION: Final = 17
_TCB_DATE: Final = "2024-03-13T00:00:00Z"
_OUTDATED_DATE: Final = "2018-01-04T00:00:00Z"
_OUTDATED_ADVISORIES: Final = ["INTEL-SA-00586", "INTEL-SA-00614", "INTEL-SA-00837"]
_HARDENING_ADVISORIES: Final = ["INTEL-SA-00615"]
_CONFIGURATION_ADVISORIES: Final = ["INTEL-SA-00289"]
_COORDINATE: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Silicon:
    """Security version numbers of make-believe processors, and what signs for them.

    Attributes:
        current: CPUSVN of processors that are up to date.
        outdated: of those that are not.
        pce_svn: of the provisioning certification enclave.
        tee_tcb_svn: of the TDX module: SVN, version, late microcode.
        qe_svn, qe_product_ids, qe_signers: of the quoting enclaves, ``QE`` and ``TD_QE``.
    """

    current: bytes = bytes.fromhex("0b0b0303ffff01000000000000000000")
    outdated: bytes = bytes.fromhex("05050303ffff00000000000000000000")
    pce_svn: int = 13
    tee_tcb_svn: bytes = bytes.fromhex("05010300000000000000000000000000")
    qe_svn: int = 8
    qe_product_ids: tuple[int, int] = (1, 2)
    qe_attributes: bytes = bytes.fromhex("1100000000000000e700000000000000")


def tcb_info(
    tee: str, silicon: Silicon, machine: PckIdentity, *, state: str, issued: datetime, until: datetime
) -> str:
    """Write the TCB info of the make-believe family.

    Args:
        tee: ``SGX`` or ``TDX``.
        silicon: which numbers are up to date.
        machine: whose family it is.
        state: of processors that are up to date, in Intel's words.
        issued: when it was written.
        until: when it has to be written anew.
    """
    advisories = [
        *(_HARDENING_ADVISORIES if "SWHardening" in state else []),
        *(_CONFIGURATION_ADVISORIES if "Configuration" in state else []),
    ]
    levels = [
        _level(tee, silicon, silicon.current, _TCB_DATE, state, advisories),
        _level(tee, silicon, silicon.outdated, _OUTDATED_DATE, "OutOfDate", _OUTDATED_ADVISORIES),
    ]
    document: dict[str, Any] = {
        "id": tee,
        "version": 3,
        "issueDate": issued.strftime(_DATE),
        "nextUpdate": until.strftime(_DATE),
        "fmspc": machine.fmspc.hex().upper(),
        "pceId": machine.pce_id.hex().upper(),
        "tcbType": 0,
        "tcbEvaluationDataNumber": _EVALUATION,
    }
    if tee == "TDX":
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        svn, version = silicon.tee_tcb_svn[:2]
        level = {"tcb": {"isvsvn": svn}, "tcbDate": _TCB_DATE, "tcbStatus": "UpToDate"}
        document["tdxModule"] = module
        document["tdxModuleIdentities"] = [{"id": f"TDX_{version:02X}", **module, "tcbLevels": [level]}]
    return _json(document | {"tcbLevels": levels})


def _level(
    tee: str, silicon: Silicon, cpu_svn: bytes, date: str, status: str, advisories: list[str]
) -> dict[str, Any]:
    tcb: dict[str, Any] = {"sgxtcbcomponents": [{"svn": svn} for svn in cpu_svn], "pcesvn": silicon.pce_svn}
    if tee == "TDX":
        # The second number is the version of the module, and no level's business.
        svns = bytes([silicon.tee_tcb_svn[0], 0, *silicon.tee_tcb_svn[2:]])
        tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in svns]
    level: dict[str, Any] = {"tcb": tcb, "tcbDate": date, "tcbStatus": status}
    return level | {"advisoryIDs": advisories} if advisories else level


def qe_identity(kind: str, silicon: Silicon, signer: bytes, *, issued: datetime, until: datetime) -> str:
    """Write the identity of a quoting enclave, ``QE`` or ``TD_QE``, that a key signed."""
    return _json(
        {
            "id": kind,
            "version": 2,
            "issueDate": issued.strftime(_DATE),
            "nextUpdate": until.strftime(_DATE),
            "tcbEvaluationDataNumber": _EVALUATION,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": signer.hex().upper(),
            "isvprodid": silicon.qe_product_ids[kind == "TD_QE"],
            "tcbLevels": [{"tcb": {"isvsvn": silicon.qe_svn}, "tcbDate": _TCB_DATE, "tcbStatus": "UpToDate"}],
        }
    )


def collateral_set(
    certificates: IntelCertificates,
    signer_key: ec.EllipticCurvePrivateKey,
    *,
    root_crl: bytes,
    pck_crl: bytes,
    info: str,
    identity: str,
) -> str:
    """Put a set of collateral together, as dcap-qvl takes it."""
    root = certificates.root.public_bytes(Encoding.DER)
    signers = pem_of([certificates.signer.public_bytes(Encoding.DER), root])
    return _json(
        {
            "pck_crl_issuer_chain": pem_of([certificates.authority.public_bytes(Encoding.DER), root]),
            "root_ca_crl": root_crl.hex(),
            "pck_crl": pck_crl.hex(),
            "tcb_info_issuer_chain": signers,
            "tcb_info": info,
            "tcb_info_signature": raw_signature(signer_key, info.encode()).hex(),
            "qe_identity_issuer_chain": signers,
            "qe_identity": identity,
            "qe_identity_signature": raw_signature(signer_key, identity.encode()).hex(),
        }
    )


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Sign; give r and s, 32 bytes each."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256(), deterministic_signing=True)))
    return r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
