"""Genuine reports of AMD's chips: what they prove, and that nothing about them can be changed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import EvidenceError
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SimQuote, SnpQuote
from bannock.evidence.snp.certificates import built_in_intermediates, built_in_roots
from bannock.evidence.snp.report import REPORT_BYTES, AttestationReport
from bannock.evidence.snp.tcb import Tcb, line_of_cpuid
from bannock.evidence.snp.verifier import REVOCATION_UNKNOWN, verify_snp
from tests.unit.evidence.snp.samples import AT, DIRECTORY, SAMPLES, appraise, read


def _der(name: str) -> bytes:
    return x509.load_pem_x509_certificate(read(name)).public_bytes(Encoding.DER)


def test_report_of_a_chip() -> None:
    """The report of version 2 is signed by a chip that AMD vouches for; all that it says comes out."""
    found = appraise(read("milan-v2.report"), read("milan-v2.vcek.der"))
    assert (found.platform, found.genuine, found.debug) == ("sev-snp", True, False)
    assert found.report_data.hex().startswith("ec6c52d7533cc2c4f45be7849cf112ab")
    assert found.machine == {
        "measurement": "a1f3930413247bb38cfc171579ea3c12d5fe4901f0c792f63fd75d98f1ef827c"
        "23500644e0e692e6be917f9050d3d38c",
        "host_data": "00" * 32,
        "family_id": "01" + "00" * 15,
        "image_id": "02" + "00" * 15,
        "id_key_digest": "0356215882a825279a85b300b0b742931d113bf7e32dde2e50ffde7ec743ca49"
        "1ecdd7f336dc28a6e0b2bb57af7a44a3",
        "author_key_digest": "00" * 48,
        "guest_svn": "4",
        "vmpl": "0",
        "policy": "000000000003001f",
        "product": "Milan",
        "tcb_bootloader": "3",
        "tcb_tee": "0",
        "tcb_snp": "8",
        "tcb_microcode": "115",
    }
    chip = read("milan-v2.report")[0x1A0:0x1E0]
    assert found.machine_id == hashlib.sha256(b"sev-snp\0" + chip).hexdigest()
    assert found.tcb.level == "bootloader 3, tee 0, snp 8, microcode 115"
    assert {each.what for each in found.bounds} == {
        "certificate SEV-VCEK (notAfter)",
        "certificate SEV-Milan (notAfter)",
        "certificate ARK-Milan (notAfter)",
    }
    assert min(found.bounds).until == datetime(2030, 1, 24, 17, 58, 26, tzinfo=UTC)
    told = " ".join(found.warnings)
    assert "firmware is provisional: TCB version 03000000000008ce runs" in told
    assert "SMT" in told
    assert "FAILED" not in "".join(found.findings[0].lines())


def test_report_of_a_cloud() -> None:
    """The report of version 3 is signed by a key of a cloud: it names no chip, but its privilege level."""
    found = appraise(read("milan-v3-vlek.report"), read("milan-v3-vlek.vlek.der"))
    assert found.genuine
    assert found.machine_id is None
    assert found.machine["vmpl"] == "1"
    assert found.machine["tcb_microcode"] == "217"
    assert "cc-us-east-2.amazonaws.com" in found.findings[0].detail
    assert "aliases" not in " ".join(found.warnings)


def test_debug_is_told() -> None:
    """A guest whose policy allows debugging is one that the host looks into; it is told, not refused."""
    found = appraise(read("milan-debug-policy.report"), read("milan-debug-policy.vcek"))
    assert found.debug
    assert "debugging" in found.warnings[0]


def test_unknown_revocation_is_a_weakness() -> None:
    """Without a list of revoked certificates nobody knows; what is not known does not pass for good."""
    found = appraise(read("milan-v2.report"), read("milan-v2.vcek.der"))
    assert found.weaknesses == {REVOCATION_UNKNOWN}
    assert "no list of revoked certificates of ARK-Milan is at hand" in found.warnings[-1]


def test_certificate_with_a_broken_signature_is_refused() -> None:
    """A certificate that is not for the chip of the report is not taken; the reasons say what it is for."""
    with pytest.raises(EvidenceError, match="no certificate SEV-VCEK of chip c38427a30d4c7af9") as refused:
        appraise(read("milan-v2.report"), read("broken.vcek.der"))
    assert refused.value.reasons == (
        "a certificate at hand is for TCB version 000000000000001e (bootloader 0, tee 0, snp 0, microcode 30)",
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_every_bit_of_a_report_counts(name: str) -> None:
    """No single bit of a report can change: not of what is signed, of the signature, or of what is reserved."""
    report, certificate = read(name), read(SAMPLES[name])
    for bit in range(0, REPORT_BYTES * 8, 5):
        flipped = bytearray(report)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EvidenceError):
            appraise(bytes(flipped), certificate)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_byte_of_a_certificate_counts(name: str) -> None:
    """No byte of the certificate of the signing key can change."""
    report, certificate = read(name), read(SAMPLES[name])
    for place in range(0, len(certificate), 3):
        flipped = bytearray(certificate)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(EvidenceError):
            appraise(report, bytes(flipped))


@pytest.mark.parametrize("length", [0, 1, 4, 671, 672, REPORT_BYTES - 1, REPORT_BYTES + 1, 1 << 16])
def test_length_is_exact(length: int) -> None:
    """A report that is cut short, or has anything behind it, is refused for its length."""
    report = (read("milan-v2.report") * 60)[:length]
    with pytest.raises(EvidenceError, match=f"1184 bytes, found {length}"):
        appraise(report, read("milan-v2.vcek.der"))


@pytest.mark.parametrize(
    ("name", "at", "match"),
    [
        ("milan-v3-vlek.report", datetime(2025, 12, 11, tzinfo=UTC), r"SEV-VLEK .* is good from .* to 2025-12-10"),
        ("milan-v3-vlek.report", datetime(2024, 12, 1, tzinfo=UTC), "SEV-VLEK .* is good from 2024-12-10"),
        ("milan-v2.report", datetime(2023, 1, 1, tzinfo=UTC), "SEV-VCEK .* is good from 2023-01-24"),
        ("milan-v2.report", datetime(2030, 2, 1, tzinfo=UTC), "SEV-VCEK .* it is 2030-02-01"),
    ],
)
def test_dates_of_the_chain(name: str, at: datetime, match: str) -> None:
    """A chain is good between its dates alone."""
    with pytest.raises(EvidenceError, match=match):
        appraise(read(name), read(SAMPLES[name]), at=at)


def test_certificates_of_others_are_passed_over() -> None:
    """What else is at hand (other chips, roots, what is no certificate) neither helps nor hinders."""
    others = [path.read_bytes() for path in sorted(DIRECTORY.glob("*.der")) if "milan-v2" not in path.name]
    others += [_der(path.name) for path in sorted(DIRECTORY.glob("a*k-*.pem"))]
    found = appraise(read("milan-v2.report"), b"", b"\x30\x80", *others, read("milan-v2.vcek.der"))
    assert found.genuine
    with pytest.raises(EvidenceError, match="no certificate SEV-VCEK"):
        appraise(read("milan-v2.report"), *others)


def test_key_of_a_cloud_is_none_of_a_chip() -> None:
    """A report that says that a chip signed it does not take the key of a cloud, nor the other way round."""
    for report, certificate in (
        ("milan-v2.report", "milan-v3-vlek.vlek.der"),
        ("milan-v3-vlek.report", "milan-v2.vcek.der"),
    ):
        with pytest.raises(EvidenceError, match="no certificate"):
            appraise(read(report), read(certificate))


def test_quote_of_another_platform_is_refused() -> None:
    """The verifier takes SEV-SNP quotes alone."""
    with pytest.raises(EvidenceError, match="found one of sim"):
        verify_snp(SimQuote(key=b""), Endorsements(), AT)


def test_built_in_certificates_are_those_of_the_samples() -> None:
    """What is built in is what AMD publishes, byte for byte; each intermediate is signed by one of the roots."""
    roots = built_in_roots()
    assert {root.encoded for root in roots.values()} == {
        _der(f"ark-{line}.pem") for line in ("milan", "genoa", "turin")
    }
    for line, root in roots.items():
        assert root.name == f"ARK-{line}"
        assert root.issued(root)
    for intermediate in built_in_intermediates():
        issuers = [root for root in roots.values() if root.issued(intermediate)]
        assert len(issuers) == 1
        assert intermediate.name.removeprefix("SEV-").removeprefix("VLEK-") == issuers[0].name.removeprefix("ARK-")


def test_no_dates_are_taken_from_now() -> None:
    """The verdict at a time is the same whenever it is asked for: time is an argument."""
    first, second = (
        appraise(read("milan-v2.report"), read("milan-v2.vcek.der"), at=AT + timedelta(days=d)) for d in (0, 9)
    )
    assert first.machine == second.machine
    assert first.bounds == second.bounds


@pytest.mark.parametrize(
    ("family", "model", "line"),
    [
        (0x19, 0x01, "Milan"),
        (0x19, 0x11, "Genoa"),
        (0x19, 0xA0, "Genoa"),
        (0x1A, 0x02, "Turin"),
        (0x1A, 0x50, None),
        (0x17, 1, None),
    ],
)
def test_lines_of_processors(family: int, model: int, line: str | None) -> None:
    """Family and model tell the line; a processor that is not known is of none."""
    assert line_of_cpuid(family, model) == line


def test_tcb_versions_in_both_orders() -> None:
    """Turin keeps the parts of a TCB version in another order, and has one more."""
    early = Tcb.from_bytes(bytes([3, 1, 0, 0, 0, 0, 8, 115]), "Milan")
    assert early == Tcb(bootloader=3, tee=1, snp=8, microcode=115)
    late = Tcb.from_bytes(bytes([1, 2, 3, 4, 0, 0, 0, 70]), "Turin")
    assert late == Tcb(fmc=1, bootloader=2, tee=3, snp=4, microcode=70)
    assert Tcb.from_bytes(late.to_bytes(), "Turin") == late
    assert Tcb.from_bytes(early.to_bytes(), "Genoa") == early
    assert early.reaches(early)
    assert not early.reaches(Tcb(bootloader=0, tee=2, snp=0, microcode=0))
    assert not early.reaches(late)
    for raw, line in (
        (bytes([0, 0, 1, 0, 0, 0, 0, 0]), "Milan"),
        (bytes([0, 0, 0, 0, 1, 0, 0, 0]), "Turin"),
        (b"", "Milan"),
    ):
        with pytest.raises(EvidenceError):
            Tcb.from_bytes(raw, line)


def test_what_a_report_says_beside_its_claims() -> None:
    """Versions of the firmware and of the processor come out; a report of version 2 tells no processor."""
    report = AttestationReport.from_bytes(read("milan-v3-vlek.report"))
    assert report.cpuid == (0x19, 1, 1)
    assert report.current_firmware == (1, 55, 29)
    assert report.masked
    assert report.report_id_ma is None
    older = AttestationReport.from_bytes(read("milan-v2.report"))
    assert (older.cpuid, older.line, older.mitigations) == (None, None, None)
    assert SnpQuote(key=b"", report=read("milan-v2.report")).platform == "sev-snp"
