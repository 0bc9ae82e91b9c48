"""The TPM attester on TPMs of software: quotes that hold, activation, and every way around it."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.errors import ActivationError, EnvironmentFault, EvidenceError, InputError
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.rehearsal.boot import event_log, first_events
from bannock.evidence.rehearsal.tpm import quoted_by
from bannock.evidence.tpm.activation import Challenge
from bannock.evidence.tpm.attester import TpmReporter, unavailable
from bannock.evidence.tpm.public import Public
from bannock.evidence.tpm.verifier import verify_tpm
from bannock.files import private_directory
from tests.software_tpm import NEEDS_TPM, SoftwareTpm
from tests.unit.evidence.tpm.samples import MACHINE, Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bannock.evidence.quotes import TpmQuote

pytestmark = NEEDS_TPM
_NOW: Final = dt.datetime.now(dt.UTC)
#: In the order in which the attester shows them.
_KINDS: Final = ("ecc", "ecc384", "rsa", "rsa3072")
_LAS: Final = b"the public key of a LAS"
_AUTHORITY: Final = Authority("authority of attestation keys", at=_NOW)
_MANUFACTURER: Final = Authority("manufacturer", at=_NOW)
_ROOTS: Final = Endorsements(roots=(_AUTHORITY.root,))


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftwareTpm]:
    """A TPM that its manufacturer vouches for."""
    with SoftwareTpm() as running:
        for kind in _KINDS:
            running.certify(_MANUFACTURER, kind)
        yield running


def _reporter(tpm: SoftwareTpm, directory: Path | None = None, pcrs: str = "sha256:0,7,16") -> TpmReporter:
    return TpmReporter(tpm.tcti, directory=directory, pcrs=pcrs, event_log=None)


def _challenge(quote: TpmQuote, number: int = 0, public: Public | None = None) -> bytes:
    """Do what an authority does, for one of the certificates of the endorsement keys."""
    endorsement = x509.load_der_x509_certificate(quote.ek_certificates[number]).public_key()
    attestation = public or Public.parse(quote.ak_public)
    certificate = _AUTHORITY.issue(attestation.key).public_bytes(Encoding.DER)
    return Challenge.make(endorsement, attestation, certificate, os.urandom).to_json()  # type: ignore[arg-type]


@pytest.mark.parametrize("number", range(len(_KINDS)), ids=_KINDS)
def test_a_key_is_activated_and_then_believed(tpm: SoftwareTpm, tmp_path: Path, number: int) -> None:
    """By each kind of endorsement key; what the reporter keeps is found at its next start."""
    reporter = _reporter(tpm, tmp_path / "las")
    quote, along = reporter.quote(_LAS)
    assert not along
    with pytest.raises(ActivationError, match="has to be activated"):
        verify_tpm(quote, _ROOTS, _NOW)
    reporter.activate(_challenge(quote, number))
    for each in (reporter, _reporter(tpm, tmp_path / "las")):
        proven = verify_tpm(each.quote(_LAS)[0], _ROOTS, _NOW)
        assert proven.genuine
        assert proven.machine_id == MACHINE
        assert set(proven.machine) == {"pcr.sha256.0", "pcr.sha256.7", "pcr.sha256.16"}


def test_registers_are_quoted_as_they_are(tpm: SoftwareTpm, tmp_path: Path) -> None:
    """After an extension, and over another bank; with a log that tells of the same start, or of another."""
    reporter = _reporter(tpm, tmp_path / "las")
    reporter.activate(_challenge(reporter.quote(_LAS)[0]))
    tpm.run("tpm2_pcrreset", "16")
    tpm.run("tpm2_pcrextend", f"16:sha256={'11' * 32}")
    extended = verify_tpm(reporter.quote(_LAS)[0], _ROOTS, _NOW).machine["pcr.sha256.16"]
    assert f"0x{extended.upper()}".encode() in tpm.run("tpm2_pcrread", "sha256:16")
    larger = _reporter(tpm, tmp_path / "las", "sha384:16,23").quote(_LAS)[0]
    assert set(verify_tpm(larger, _ROOTS, _NOW).machine) == {"pcr.sha384.16", "pcr.sha384.23"}
    log = tmp_path / "log"
    log.write_bytes(event_log(first_events(secure_boot=True)))
    told = TpmReporter(tpm.tcti, directory=tmp_path / "las", pcrs="sha256:7", event_log=log).quote(_LAS)[0]
    with pytest.raises(EvidenceError, match="of another start of the machine"):
        verify_tpm(told, _ROOTS, _NOW)


def test_secure_boot_of_a_machine_that_was_measured(tmp_path: Path) -> None:
    """The firmware's measurements are done as it does them; the log of the kernel tells of them."""
    events = first_events(secure_boot=True)
    (tmp_path / "log").write_bytes(event_log(events))
    with SoftwareTpm() as tpm:
        tpm.certify(_MANUFACTURER)
        for event in events:
            if event.register in (0, 7):
                (tmp_path / "data").write_bytes(event.data)
                tpm.run("tpm2_pcrevent", str(event.register), str(tmp_path / "data"))
        reporter = TpmReporter(tpm.tcti, pcrs="sha256:0,7", event_log=tmp_path / "log")
        reporter.activate(_challenge(reporter.quote(_LAS)[0]))
        assert verify_tpm(reporter.quote(_LAS)[0], _ROOTS, _NOW).machine["secure_boot"] == "true"
        # The key is the same after a restart, and the registers tell of it.
        tpm.restart()
        with pytest.raises(EvidenceError, match="of another start of the machine"):
            verify_tpm(reporter.quote(_LAS)[0], _ROOTS, _NOW)


def test_another_tpm_does_not_open_the_challenge(tpm: SoftwareTpm, tmp_path: Path) -> None:
    """The attack: the certificate of a genuine endorsement key, shown by a machine that has another TPM."""
    genuine = _reporter(tpm).quote(_LAS)[0]
    with SoftwareTpm() as other:
        reporter = _reporter(other, tmp_path / "las")
        quote = reporter.quote(_LAS)[0]
        challenge = _challenge(genuine, public=Public.parse(quote.ak_public))
        with pytest.raises(EvidenceError, match="is for another TPM: this one has no such endorsement key"):
            reporter.activate(challenge)
        with pytest.raises(ActivationError):
            verify_tpm(reporter.quote(_LAS)[0], _ROOTS, _NOW)


@pytest.mark.parametrize("number", range(len(_KINDS)), ids=_KINDS)
def test_a_key_outside_of_the_tpm_is_not_activated(tpm: SoftwareTpm, number: int) -> None:
    """The attack: a key of software says that it is in the TPM, and the TPM is asked to open its challenge."""
    reporter = _reporter(tpm)
    outside = ec.generate_private_key(ec.SECP256R1())
    public = Public.parse(quoted_by(outside, b"", {})[2])
    public.require_attestation_key()
    challenge = _challenge(reporter.quote(_LAS)[0], number, public)
    with pytest.raises(EvidenceError, match="the TPM does not open the challenge"):
        reporter.activate(challenge)


@pytest.mark.parametrize("part", ["blob", "secret", "certificate"])
def test_a_changed_challenge_is_refused(tpm: SoftwareTpm, part: str) -> None:
    """By the TPM, or after it."""
    reporter = _reporter(tpm)
    challenge = Challenge.from_json(_challenge(reporter.quote(_LAS)[0], _KINDS.index("rsa")))
    parts = {"blob": challenge.credential.blob, "secret": challenge.credential.secret}
    sealed = challenge.certificate
    if part == "certificate":
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    else:
        parts[part] = parts[part][:-1] + bytes([parts[part][-1] ^ 1])
    credential = type(challenge.credential)(**parts)
    changed = Challenge(endorsement_key=challenge.endorsement_key, credential=credential, certificate=sealed)
    with pytest.raises(EvidenceError, match=r"does not open the challenge|is not opened by what the TPM has given"):
        reporter.activate(changed.to_json())


def test_a_certificate_of_another_key_is_not_kept(tpm: SoftwareTpm) -> None:
    """The attack on a LAS: a challenge that it can open, with a certificate that is not of its key."""
    reporter = _reporter(tpm)
    quote = reporter.quote(_LAS)[0]
    endorsement = x509.load_der_x509_certificate(quote.ek_certificates[0]).public_key()
    assert isinstance(endorsement, ec.EllipticCurvePublicKey)
    foreign = _AUTHORITY.issue(ec.generate_private_key(ec.SECP256R1()).public_key()).public_bytes(Encoding.DER)
    challenge = Challenge.make(endorsement, Public.parse(quote.ak_public), foreign, os.urandom)
    with pytest.raises(EvidenceError, match="is of another key than the attestation key here"):
        reporter.activate(challenge.to_json())


def test_certificates_from_files(tmp_path: Path) -> None:
    """A TPM that came without a certificate gets one of its owner; roots are left out, whoever puts them there."""
    with SoftwareTpm() as tpm:
        assert not _reporter(tpm).quote(_LAS)[0].ek_certificates
        directory = tmp_path / "las" / "endorsement"
        private_directory(directory.parent)
        directory.mkdir()
        middle = Authority("middle", of=_MANUFACTURER, at=_NOW)
        issued = middle.issue(tpm.endorsement_key("ecc").key)
        (directory / "chain.pem").write_bytes(
            b"".join(
                each.public_bytes(Encoding.PEM) for each in (issued, middle.certificate, _MANUFACTURER.certificate)
            )
        )
        (directory / "same.der").write_bytes(issued.public_bytes(Encoding.DER) + b"\xff" * 7)
        found = _reporter(tpm, tmp_path / "las").quote(_LAS)[0].ek_certificates
        assert found == (issued.public_bytes(Encoding.DER), middle.root)


def test_a_tpm_that_cannot_be_used(tpm: SoftwareTpm) -> None:
    """It is not there, or has no such registers."""
    assert unavailable(tpm.tcti) is None
    assert "cannot use the TPM" in (unavailable("device:/dev/no-such-tpm") or "")
    assert "cannot use the TPM" in (unavailable("swtpm:path=/nowhere") or "")
    with pytest.raises(EnvironmentFault, match="cannot use the TPM"):
        TpmReporter("swtpm:path=/nowhere").quote(_LAS)
    for wrong in ("sha1:0", "sha256:24", "sha256:", "sha256:0,", "sha256"):
        with pytest.raises(InputError, match="are written sha256:0,7"):
            TpmReporter(tpm.tcti, pcrs=wrong)
