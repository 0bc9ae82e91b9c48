"""Who signed an enclave is the LAS's to find out, and not the enclave's to say."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from bannock.errors import BannockError, DeniedError
from bannock.evidence.envelope import Envelope
from bannock.evidence.las_client import LasClient
from bannock.evidence.report import Report
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.signer import NO_SIGNER
from bannock.identity.sigstruct import Attributes, SigStruct
from bannock.las.service import EmbeddedLas
from bannock.values import Measurement

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHELL: Final = EnclaveManifest(binary="/bin/sh", settings={})
_DATA: Final = bytes(64)


@pytest.fixture
def client(private_path: Path) -> Iterator[LasClient]:
    """A client of a LAS."""
    with EmbeddedLas(private_path) as las:
        yield LasClient(las.address)


def _report_of(evidence: bytes) -> Report:
    return Report.from_json(Envelope.from_json(evidence).report)


def test_signature_gives_signer_product_and_version(client: LasClient) -> None:
    """If it holds, and is for what was measured; without one, nobody signed."""
    plain, tree = client.report(_SHELL, _DATA)
    report = _report_of(plain)
    assert (report.signer, report.product_id, report.svn, report.debug) == (NO_SIGNER, 0, 0, False)
    key = rsa.generate_private_key(3, 3072)
    signed = SigStruct(
        measurement=tree.root, product_id=7, svn=9, date=dt.date(2026, 3, 1), attributes=Attributes(5, 3)
    ).sign(key)
    report = _report_of(client.report(replace(_SHELL, sigstruct=signed.to_bytes()), _DATA)[0])
    assert (report.signer, report.product_id, report.svn, report.debug) == (signed.signer, 7, 9, False)
    other = signed.of(Measurement(b"\x01" * 32)).sign(key)
    with pytest.raises(DeniedError, match="signed for another enclave"):
        client.report(replace(_SHELL, sigstruct=other.to_bytes()), _DATA)
    for changed in (
        replace(signed, svn=10),
        replace(signed, modulus=bytes([signed.modulus[0] ^ 6]) + signed.modulus[1:]),
    ):
        with pytest.raises(BannockError, match="SIGSTRUCT"):
            client.report(replace(_SHELL, sigstruct=changed.to_bytes()), _DATA)
    with pytest.raises(BannockError, match="SIGSTRUCT"):
        client.report(replace(_SHELL, sigstruct=signed.to_bytes()[:-1]), _DATA)
