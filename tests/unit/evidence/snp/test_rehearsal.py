"""A make-believe AMD: its reports go through the verifier of genuine ones, and are never taken for genuine."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import DeniedError, EvidenceError, InputError
from bannock.evidence.attester import KeyAttester
from bannock.evidence.quotes import SnpQuote
from bannock.evidence.rehearsal import amd_chain
from bannock.evidence.rehearsal.amd import AmdVendor
from bannock.evidence.rehearsal.amd_chain import MadeChain
from bannock.evidence.rehearsal.knobs import Rehearsal
from bannock.evidence.report import Report
from bannock.evidence.snp.certificates import VendorCertificate, built_in_roots
from bannock.evidence.snp.report import AttestationReport
from bannock.evidence.snp.verifier import verify_snp
from bannock.evidence.verifier import verify
from bannock.policy.claims import SIMULATED
from bannock.policy.decide import decide_enclave
from bannock.policy.session import Toleration
from bannock.values import Measurement
from tests.unit.evidence.snp.samples import appraise
from tests.unit.policy.documents import parse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bannock.evidence.appraisal import PlatformAppraisal
    from bannock.policy.session import Session

_AT: Final = datetime(2026, 3, 1, tzinfo=UTC)
_DATA: Final = bytes(range(64))
_GUEST: Final = hashlib.sha384(b"a make-believe guest").hexdigest()
_REPORT: Final = Report(
    measurement=Measurement(b"\xaa" * 32), signer=Measurement(bytes(32)), product_id=0, svn=0, debug=False, data=_DATA
)


@pytest.fixture(scope="module", params=["Milan", "Genoa", "Turin"])
def made(request: pytest.FixtureRequest) -> MadeChain:
    """What a vendor of each line has made."""
    return MadeChain.make(os.urandom, _AT, request.param)


@pytest.fixture(scope="module")
def genoa() -> MadeChain:
    """What a vendor has made."""
    return MadeChain.make(os.urandom, _AT, "Genoa")


def _vendor(made: MadeChain, at: datetime = _AT, **knobs: bool) -> AmdVendor:
    return AmdVendor(os.urandom, at, Rehearsal(**knobs), chain=made)


def _appraise(vendor: AmdVendor, report: bytes | None = None, at: datetime = _AT) -> PlatformAppraisal:
    known = vendor.endorsements()
    return appraise(report or vendor.snp_report(_DATA), *known.certificates, at=at, crls=known.crls)


def test_every_line_goes_through_the_verifier(made: MadeChain) -> None:
    """All but the root is in order, in each version of the report and each order of TCB versions."""
    vendor = _vendor(made)
    machine = {"host_data": "ab" * 32, "vmpl": "2", "guest_svn": "7", "policy": "30000", "measurement": "0c" * 48}
    found = _appraise(vendor, vendor.snp_report(_DATA, machine))
    assert not found.genuine
    assert found.report_data == _DATA
    assert not found.weaknesses
    assert not found.debug
    line = found.machine["product"]
    assert {name: found.machine[name] for name in machine} == machine | {"policy": "0000000000030000"}
    assert ("tcb_fmc" in found.machine) is (line == "Turin")
    assert found.machine_id is not None
    assert min(found.bounds).what == f"list of revoked certificates of ARK-{line} (nextUpdate)"
    report = AttestationReport.from_bytes(vendor.snp_report(_DATA))
    assert report.version == {"Milan": 2, "Genoa": 3, "Turin": 5}[line]
    assert (report.mitigations is not None) is (line == "Turin")
    assert "make-believe" in "".join(found.findings[0].lines())


def test_every_bit_of_a_report_counts(made: MadeChain) -> None:
    """No bit of a report of any version can change."""
    vendor = _vendor(made)
    report, known = vendor.snp_report(_DATA), vendor.endorsements()
    for bit in range(0, len(report) * 8, 29):
        flipped = bytearray(report)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EvidenceError):
            appraise(bytes(flipped), *known.certificates, at=_AT, crls=known.crls)


def test_every_byte_of_what_vouches_counts(genoa: MadeChain) -> None:
    """No byte of a certificate can change; a list that was changed is none, and that is told."""
    vendor = _vendor(genoa)
    report, known = vendor.snp_report(_DATA), vendor.endorsements()
    for index, encoded in enumerate(known.certificates):
        for place in range(0, len(encoded), 11):
            flipped = bytearray(encoded)
            flipped[place] ^= 1 << place % 8
            certificates = [*known.certificates[:index], bytes(flipped), *known.certificates[index + 1 :]]
            with pytest.raises(EvidenceError):
                appraise(report, *certificates, at=_AT, crls=known.crls)
    for place in range(0, len(known.crls[0]), 5):
        flipped = bytearray(known.crls[0])
        flipped[place] ^= 1 << place % 8
        found = appraise(report, *known.certificates, at=_AT, crls=(bytes(flipped),))
        assert found.weaknesses == {"revocation-unknown"}


def test_knobs(genoa: MadeChain) -> None:
    """Each knob shows what it is for."""
    with pytest.raises(
        EvidenceError, match=r"list of revoked certificates of ARK-Genoa is past its date.* 2025-03-01"
    ):
        _appraise(_vendor(genoa, expired_collateral=True))
    with pytest.raises(EvidenceError, match=r"SEV-Genoa of the SEV-SNP chain was revoked by ARK-Genoa on 2026-02-28"):
        _appraise(_vendor(genoa, revoked=True))
    found = _appraise(_vendor(genoa, debug=True))
    assert found.debug
    old, new = _appraise(_vendor(genoa, outdated_tcb=True)), _appraise(_vendor(genoa))
    assert int(old.machine["tcb_snp"]) < int(new.machine["tcb_snp"])
    assert old.machine_id == new.machine_id


def test_revocation_is_for_ever(genoa: MadeChain) -> None:
    """A list that revokes counts, even where a newer one does not say so; a list of the future does not yet."""
    report = _vendor(genoa).snp_report(_DATA)
    known = _vendor(genoa).endorsements()
    revoking = _vendor(genoa, revoked=True, at=_AT - timedelta(days=30)).endorsements().crls
    for crls in (known.crls + revoking, revoking + known.crls):
        with pytest.raises(EvidenceError, match="revoked by ARK-Genoa"):
            appraise(report, *known.certificates, at=_AT, crls=crls)
    later = _vendor(genoa, revoked=True, at=_AT + timedelta(days=30)).endorsements().crls
    appraise(report, *known.certificates, at=_AT, crls=(*known.crls, *later))


def test_newest_list_counts(genoa: MadeChain) -> None:
    """A list that is due does not hold up one that is current."""
    vendor = _vendor(genoa)
    due = _vendor(genoa, expired_collateral=True).endorsements().crls
    known = vendor.endorsements()
    found = appraise(vendor.snp_report(_DATA), *known.certificates, at=_AT, crls=due + known.crls)
    assert min(found.bounds).until == _AT + timedelta(days=364)


def test_lists_of_others_do_not_count(genoa: MadeChain) -> None:
    """A list of another root of the same name neither revokes nor vouches."""
    vendor, other = _vendor(genoa), AmdVendor(os.urandom, _AT, Rehearsal(revoked=True))
    known = vendor.endorsements()
    found = appraise(vendor.snp_report(_DATA), *known.certificates, at=_AT, crls=other.endorsements().crls)
    assert found.weaknesses == {"revocation-unknown"}


def test_make_believe_root_of_the_genuine_name_is_not_genuine(genoa: MadeChain) -> None:
    """What counts is which root it is, and not what it calls itself, nor what it is sent along with."""
    vendor = _vendor(genoa)
    known = vendor.endorsements()
    genuine = [root.encoded for root in built_in_roots().values()]
    root = VendorCertificate.from_der(known.certificates[2])
    assert root.name == built_in_roots()["Genoa"].name
    for certificates in ((*known.certificates, *genuine), (*genuine, *known.certificates)):
        assert not appraise(vendor.snp_report(_DATA), *certificates, at=_AT, crls=known.crls).genuine


def test_roots_of_whoever_verifies_are_not_amd(genoa: MadeChain) -> None:
    """Who trusts a root for TPMs does not thereby take it for AMD's, nor does it complete a chain."""
    vendor = _vendor(genoa)
    known, quote = vendor.endorsements(), SnpQuote(key=b"", report=vendor.snp_report(_DATA))
    trusting = dataclasses.replace(known, roots=known.certificates[1:])
    assert not verify_snp(quote, trusting, _AT).genuine
    with pytest.raises(EvidenceError, match="SEV-VCEK does not verify"):
        verify_snp(quote, dataclasses.replace(trusting, certificates=known.certificates[:1]), _AT)


def test_many_certificates_of_one_name(genoa: MadeChain) -> None:
    """Others of the same name, whatever they are, neither stand in the way nor are waited for without end."""
    vendor = _vendor(genoa)
    known = vendor.endorsements()
    certificates = [_again(genoa).public_bytes(Encoding.DER) for _ in range(20)]
    assert not appraise(vendor.snp_report(_DATA), *certificates, *known.certificates, at=_AT, crls=known.crls).genuine


def _again(made: MadeChain) -> x509.Certificate:
    """Give another intermediate of the same name that vouches for nothing that there is."""
    key, pss = ec.generate_private_key(ec.SECP384R1()), padding.PSS(padding.MGF1(SHA384()), 48)
    return (
        x509.CertificateBuilder()
        .subject_name(made.intermediate.subject)
        .issuer_name(made.root.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(_AT - timedelta(days=1))
        .not_valid_after(_AT + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(made.root_key, SHA384(), rsa_padding=pss)
    )


def test_line_is_vouched_for_by_its_own_root(genoa: MadeChain) -> None:
    """The root of one line of processors does not vouch for chips of another."""
    key, root_key = genoa.intermediate_key.public_key(), genoa.root_key
    intermediate = amd_chain._authority(amd_chain._certificate("SEV-Milan", "ARK-Genoa", key, _AT), root_key)
    vendor = _vendor(dataclasses.replace(genoa, line="Milan", intermediate=intermediate))
    with pytest.raises(EvidenceError, match="of line Milan is vouched for by ARK-Milan, found 'ARK-Genoa'"):
        _appraise(vendor)


def test_root_vouches_for_itself(genoa: MadeChain) -> None:
    """What calls itself a root, and is signed by somebody else, is none."""
    stranger = rsa.generate_private_key(65537, 3072)
    builder = amd_chain._certificate("ARK-Genoa", "ARK-Genoa", genoa.root_key.public_key(), _AT)
    vendor = _vendor(dataclasses.replace(genoa, root=amd_chain._authority(builder, stranger)))
    with pytest.raises(EvidenceError, match="SEV-Genoa does not verify under any root"):
        _appraise(vendor)


def test_short_keys_vouch_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """AMD has no keys that short; whoever finds one out could sign with it."""
    monkeypatch.setattr(amd_chain, "_RSA_BITS", 2048)
    with pytest.raises(EvidenceError, match="SEV-VCEK does not verify"):
        _appraise(AmdVendor(os.urandom, _AT))


def test_list_of_the_future_says_nothing_yet(genoa: MadeChain) -> None:
    """A list that is not in force yet is none: the verdict is for a time."""
    vendor, later = _vendor(genoa), _vendor(genoa, at=_AT + timedelta(days=30)).endorsements().crls
    known = vendor.endorsements()
    found = appraise(vendor.snp_report(_DATA), *known.certificates, at=_AT, crls=later)
    assert found.weaknesses == {"revocation-unknown"}


def test_chain_needs_every_link(genoa: MadeChain) -> None:
    """Without intermediate or root, or with those of another vendor, there is no chain."""
    vendor, other = _vendor(genoa), AmdVendor(os.urandom, _AT).endorsements().certificates
    key, intermediate, root = vendor.endorsements().certificates
    report = vendor.snp_report(_DATA)
    for certificates, match in (
        ((key,), "SEV-VCEK does not verify"),
        ((key, root), "SEV-VCEK does not verify"),
        ((key, other[1], other[2]), "SEV-VCEK does not verify"),
        ((key, intermediate), "SEV-Genoa does not verify under any root"),
        ((key, intermediate, other[2]), "SEV-Genoa does not verify under any root"),
        ((other[0], *other[1:]), "no certificate SEV-VCEK"),
        ((intermediate, root), "no certificate SEV-VCEK"),
    ):
        with pytest.raises(EvidenceError, match=match):
            appraise(report, *certificates, at=_AT)


def test_chip_issues_no_certificates(genoa: MadeChain) -> None:
    """An intermediate that may not issue certificates vouches for nothing, whoever signed it."""
    vendor = _vendor(genoa)
    key, _, _ = vendor.endorsements().certificates
    pss = padding.PSS(padding.MGF1(SHA384()), 48)
    issuer = x509.load_der_x509_certificate(key).issuer
    root_name = x509.load_der_x509_certificate(vendor.endorsements().certificates[2]).subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(root_name)
        .public_key(vendor._chain.intermediate_key.public_key())
        .serial_number(5)
        .not_valid_before(_AT - timedelta(days=1))
        .not_valid_after(_AT + timedelta(days=9))
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    weak = builder.sign(vendor._chain.root_key, SHA384(), rsa_padding=pss).public_bytes(Encoding.DER)
    with pytest.raises(EvidenceError, match="SEV-Genoa of the chain may not issue"):
        appraise(vendor.snp_report(_DATA), key, weak, vendor.endorsements().certificates[2], at=_AT)


@pytest.mark.parametrize(
    ("place", "content", "match"),
    [
        (0x00, b"\x01\0\0\0", "versions 2, 3, 4, 5 are known, found 1"),
        (0x00, b"\x06\0\0\0", "versions 2, 3, 4, 5 are known, found 6"),
        (0x30, b"\xff\xff\xff\xff", "the hypervisor asked"),
        (0x30, b"\x04\0\0\0", "VMPL .* is 0 to 3, found 4"),
        (0x34, b"\x02", "algorithm 2"),
        (0x48, b"\x02", "masks the key of its chip"),
        (0x48, b"\x1c", "masks the key of its chip"),
        (0x48, b"\x08", "VCEK or VLEK"),
        (0x48, b"\x20", "VCEK or VLEK"),
        (0x0A, b"\x00", "bit 17"),
        (0x38, b"\x00", "the reported TCB version .* is not above the current"),
        (0x1E0, b"\xff", "the committed TCB version .* is not above the current"),
        (0x18A + 1, b"\x01", "reserved bytes 0x18b to 0x1a0"),
        (0x188, b"\x1a", "is for line Genoa, the report is from a processor of family 0x1a"),
        (0x1A0, bytes(64), "of a masked chip"),
        (0x184, b"\x01", "no certificate SEV-VCEK"),
    ],
)
def test_reports_that_a_chip_signs_and_nobody_takes(genoa: MadeChain, place: int, content: bytes, match: str) -> None:
    """Signed as it may be: what a report says of itself has to be what such a report says."""
    vendor = _vendor(genoa)
    report = bytearray(vendor.snp_report(_DATA))
    report[place : place + len(content)] = content
    with pytest.raises(EvidenceError) as refused:
        _appraise(vendor, _signed(vendor, report))
    assert re.search(match, "\n".join((refused.value.message, *refused.value.reasons)))


def test_warnings(genoa: MadeChain) -> None:
    """A migration agent, shared cores and memory whose aliases nobody looked for are told."""
    vendor = _vendor(genoa)
    report = bytearray(vendor.snp_report(_DATA, {"policy": f"{1 << 16 | 1 << 17 | 1 << 18:x}"}))
    report[0x40] = 1
    report[0x160:0x180] = b"\x07" * 32
    report[0x1F0] = 1
    told = "\n".join(_appraise(vendor, _signed(vendor, report)).warnings)
    for what in (
        "allows a migration agent",
        "is bound to the guest: 0707",
        "SMT is on",
        "AMD-SB-3015",
        "older firmware than it reports: bootloader 1,",
    ):
        assert what in told


def _signed(vendor: AmdVendor, report: bytearray) -> bytes:
    signature = vendor._chain.chip_key.sign(bytes(report[:0x2A0]), ec.ECDSA(SHA384()))
    r, s = decode_dss_signature(signature)
    report[0x2A0:0x2E8], report[0x2E8:0x330] = r.to_bytes(72, "little"), s.to_bytes(72, "little")
    return bytes(report)


def test_nothing_accepts_the_make_believe_root_but_a_session_that_tolerates_simulation(genoa: MadeChain) -> None:
    """Whatever else a session tolerates, it does not take evidence that ends in another root than AMD's."""
    vendor = _vendor(genoa)
    attester = KeyAttester(Ed25519PrivateKey.generate(), vendor.quote)
    found = verify(attester.attest(_REPORT).to_json(), expected_report_data=_DATA, at=_AT)
    assert (found.claims.platform, found.claims.rehearses) == (SIMULATED, "sev-snp")
    assert "make-believe vendor" in found.warnings[0]
    others = [each for each in Toleration if each is not Toleration.SIMULATION]
    subsets = itertools.chain.from_iterable(itertools.combinations(others, n) for n in range(len(others) + 1))
    for subset in subsets:
        with pytest.raises(DeniedError) as refused:
            decide_enclave(_session(subset), "main", found.claims)
        assert any("(platform, sim)" in reason for reason in refused.value.reasons)


def _session(tolerate: Iterable[str]) -> Session:
    rules = f"mode: hardware, ignore_advisories: '*', machines: [{{sev-snp: {{measurement: {_GUEST}}}}}]"
    return parse(
        attestation=f"mrenclaves: [{'aa' * 32}]",
        rest=f"security: {{attestation: {{{rules}, tolerate: [{', '.join(tolerate)}]}}}}",
    )


def test_what_is_kept_is_private_and_strict(genoa: MadeChain) -> None:
    """What is kept makes the same vendor again; anything else is refused without a word of what is in it."""
    kept = _vendor(genoa).to_json()
    again = AmdVendor.from_json(kept, os.urandom, _AT)
    assert again.to_json() == kept
    assert again.endorsements().certificates[1:] == _vendor(genoa).endorsements().certificates[1:]
    fields = json.loads(kept)
    assert not any(key in repr(genoa) for key in fields["keys"])
    wrong: list[bytes] = [b"", b"[]", b"{}", b"[" * 9999, kept[:-1]]
    for name, value in (
        ("format", "x"),
        ("line", "Rome"),
        ("keys", fields["keys"][2:] * 3),
        ("keys", fields["keys"][:2]),
        ("keys", ["AAAA"] * 3),
        ("certificates", ["", ""]),
        ("chip", "00"),
        ("issued", "yesterday"),
    ):
        wrong.append(json.dumps(fields | {name: value}).encode())
    for data in wrong:
        with pytest.raises(InputError, match="make-believe AMD"):
            AmdVendor.from_json(data, os.urandom, _AT)


@pytest.mark.parametrize(
    "machine",
    [
        {"measurement": "00" * 49},
        {"measurement": "no"},
        {"vmpl": "-1"},
        {"vmpl": "0x1"},
        {"policy": "f" * 17},
        {"tcb_snp": "3"},
        {"product": "Milan"},
    ],
)
def test_guests_that_are_none(genoa: MadeChain, machine: dict[str, str]) -> None:
    """A guest says what guests say; product and TCB version are the chip's to say."""
    with pytest.raises(InputError, match="make-believe guest"):
        _vendor(genoa).snp_report(_DATA, machine)
    with pytest.raises(InputError, match="64 bytes"):
        _vendor(genoa).snp_report(b"")
