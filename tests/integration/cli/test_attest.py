"""``scone cas attest`` and what is known of a CAS afterwards, with a real CAS."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate, load_pem_x509_certificates

from bannock.cas import Cas, CasConfig, EmbeddedCas
from bannock.cas.serving import endpoints
from bannock.errors import ActivationError, DeniedError, EnvironmentFault, EvidenceError, InputError, PeerError
from bannock.evidence.attester import KeyAttester, key_binding
from bannock.evidence.cas_statement import CAS_FORMAT
from bannock.evidence.envelope import Envelope
from bannock.evidence.platforms import MachineAttester
from bannock.evidence.quotes import TdxQuote, TpmQuote
from bannock.evidence.rehearsal.intel import IntelVendor
from bannock.evidence.rehearsal.knobs import Rehearsal
from bannock.evidence.rehearsal.tpm import TpmVendor
from bannock.evidence.report import Report
from bannock.evidence.tpm.attester import TpmReporter
from bannock.identity.cas_program import cas_measurement
from bannock.las.rehearsal import rehearse
from bannock.las.service import EmbeddedLas
from bannock.net.address import Address
from bannock.net.client import connect
from bannock.net.server import ThreadedServer
from bannock.policy.canonical import canonical_json
from bannock.values import KeyHash, Measurement
from tests.software_tpm import NEEDS_TPM, SoftwareTpm
from tests.unit.evidence.tpm.samples import Authority

if TYPE_CHECKING:
    from bannock.las.process import PeerProcess
    from tests.integration.cli.conftest import Scone

_TESTING = "--only_for_testing-"
_DEBUG = f"{_TESTING}debug"
_ANY = ("-GCS", _DEBUG, f"{_TESTING}ignore-signer", f"{_TESTING}trust-any")


@pytest.fixture
def address(cas: EmbeddedCas) -> str:
    """Where the CAS is."""
    return f"localhost:{cas.client_address.port}"


@pytest.mark.parametrize("flags", ["-GCS", "-CGS", "-SC", "-G -C"])
def test_attested_cas_is_trustworthy(scone: Scone, address: str, flags: str) -> None:
    """The software that is installed here is accepted on sim with the option that says so; flags come in any order."""
    told = scone.done("cas", "attest", *flags.split(), address, _DEBUG)
    assert told == f"CAS localhost at https://{address}/ is trustworthy\n"


def test_simulation_is_refused_unless_accepted(scone: Scone, address: str) -> None:
    """Without the option, a platform that protects nothing is not trusted, and nothing is remembered."""
    answer = scone("cas", "attest", address)
    assert answer.code == DeniedError.exit_code
    assert answer.out == ""
    assert answer.err.startswith("Error: Error during attestation of CAS\n  Caused by: The CAS runs in simulation")
    assert answer.err.endswith("Hint: to accept it for tests: --only_for_testing-debug\n")
    assert scone.done("cas", "list") == ""


@pytest.mark.parametrize("place", ["positional", "option", "environment"])
def test_measurement_is_compared(scone: Scone, address: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is given: the right one is accepted, another one is not, and both are named."""
    right, wrong = str(cas_measurement()), "00" * 32

    def attest(measurement: str) -> tuple[int, str]:
        given = {"positional": [measurement], "option": ["--mrenclave", measurement], "environment": []}[place]
        if place == "environment":
            monkeypatch.setenv("SCONE_CLI_MRENCLAVE", measurement)
        answer = scone("cas", "attest", address, *given, _DEBUG, f"{_TESTING}ignore-signer")
        return answer.code, answer.err

    code, err = attest(wrong)
    assert code == DeniedError.exit_code
    assert err.startswith(
        "Error: Error during attestation of CAS\n  Caused by: Enclave hash does not match expectation:"
    )
    assert wrong in err
    assert right in err
    assert attest(right)[0] == 0


def test_any_of_several_measurements_will_do(scone: Scone, address: str) -> None:
    """The option may be repeated."""
    scone.done(
        *("cas", "attest", address, _DEBUG, "--mrenclave", "00" * 32, "--mrenclave", str(cas_measurement())),
    )


def test_signer_is_compared(scone: Scone, address: str) -> None:
    """All that differs is told at once."""
    answer = scone(
        *("cas", "attest", address, _DEBUG, "--mrsigner", "11" * 32, "--isvprodid", "7", "--isvsvn", "65535"),
    )
    assert answer.code == DeniedError.exit_code
    assert "Enclave signer does not match expectation" in answer.err
    assert "Product id does not match expectation" in answer.err
    assert "Security version does not match expectation" in answer.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--mrsigner", "11" * 32], "needs --isvprodid and --isvsvn"),
        ([f"{_TESTING}trust-any"], "needs --only_for_testing-debug"),
        ([f"{_TESTING}ignore-signer", _DEBUG], "needs the measurement of the CAS"),
        (["--isvsvn", "many", _DEBUG], "--isvsvn is a number from 0 to 65535"),
        (["--mrenclave", "12"], "a measurement has 32 bytes"),
        (["-c", "12"], "a key hash is 50 characters of base58"),
        (["--verification-time", "tomorrow"], "yyyy-mm-dd"),
        (["--nonce", "12"], "--nonce goes with --offline-report"),
        (["--retries", "x"], "retries are a number"),
        (["--attester", "12"], "--attester is a key of 64 hexadecimal digits"),
    ],
)
def test_options_that_make_no_sense_are_refused(scone: Scone, address: str, options: list[str], told: str) -> None:
    """With an error that says what is needed."""
    answer = scone("cas", "attest", address, *options)
    assert answer.code == InputError.exit_code
    assert told in answer.err


def test_keys_are_compared(scone: Scone, cas: EmbeddedCas, address: str) -> None:
    """Key and software key of the CAS can be asked for."""
    scone.done("cas", "attest", address, *_ANY, "-c", str(cas.key_hash))
    software = scone.done("cas", "show-identification", "-s").strip()
    scone.done("cas", "attest", address, *_ANY, "-s", software)
    other = str(KeyHash(bytes(32)))
    assert scone("cas", "attest", address, *_ANY, "-c", other).code == PeerError.exit_code
    answer = scone("cas", "attest", address, *_ANY, "-s", other)
    assert answer.code == DeniedError.exit_code
    assert "CAS software key hash does not match expectation" in answer.err


@pytest.mark.parametrize("date", ["2030-01-02", "02.01.2030", "02-01-2030"])
def test_verification_time_has_three_forms(scone: Scone, address: str, date: str) -> None:
    """All of them are dates."""
    scone.done("cas", "attest", address, *_ANY, "--verification-time", date)


def test_sessions_use_the_cas(scone: Scone, address: str) -> None:
    """What was attested is the default, and is named as it was then."""
    scone.done("cas", "attest", f"https://{address}/", *_ANY)
    Path("app.yml").write_text('name: app\nversion: "0.3"\n')
    created = scone.done("session", "create", "app.yml")
    assert scone.done("session", "verify", "-c", address, "app.yml") == created
    assert scone.done("cas", "version").strip()


def test_list_and_default(scone: Scone, tmp_path: Path, address: str) -> None:
    """Several CASes are known side by side; a star is at the default one."""
    scone.done("cas", "attest", address, *_ANY)
    with EmbeddedCas(tmp_path / "other") as other:
        second = f"127.0.0.1:{other.client_address.port}"
        scone.done("cas", "attest", second, *_ANY)
        lines = scone.done("cas", "list").splitlines()
        assert [line[:1] for line in lines] == [" ", "*"]
        assert all(line.endswith("  platform sim") for line in lines)
        assert all(f"https://{name}/" in line for name, line in zip((second, address), lines, strict=True))
        scone.done("cas", "set-default", second)
        assert scone.done("cas", "show-identification", "-c").strip() == str(other.key_hash)
    assert scone("cas", "set-default", "nowhere").code == InputError.exit_code


def test_identification(scone: Scone, cas: EmbeddedCas, address: str) -> None:
    """Each kind of it is what it says, and the key for sessions is a public key."""
    scone.done("cas", "attest", address, *_ANY)

    def shown(*options: str) -> str:
        return scone.done("cas", "show-identification", address, *options)

    assert shown("--cas-key-hash") == f"{cas.key_hash}\n"
    own, software = shown("-C"), shown("-S")
    load_pem_x509_certificate(software.encode()).verify_directly_issued_by(load_pem_x509_certificate(own.encode()))
    assert shown() == shown("-T") == own + software == scone.done("cas", "show-certificate")
    assert len(load_pem_x509_certificates(shown().encode())) == 2
    assert load_pem_public_key(shown("--session-encryption-key").encode())
    assert shown("-cs") == shown("-c") + shown("-s")


def test_another_cas_at_the_same_address_is_told(scone: Scone, address: str) -> None:
    """Whoever attests anew and finds another key hears of it."""
    scone.done("cas", "attest", address, *_ANY)
    state = Path.home() / ".cas" / "config.json"
    document = json.loads(state.read_text())
    document["cas"][address]["key_hash"] = str(KeyHash(bytes(32)))
    state.write_text(json.dumps(document))
    assert "was another one before" in scone("cas", "attest", address, *_ANY).err


def test_offline_report(scone: Scone, cas: EmbeddedCas, address: str) -> None:
    """What somebody has asked the CAS for is verified as well; the nonce tells an old report."""
    with connect(*cas.client_address, None, expected_peer=None) as connection:
        Path("report").write_bytes(connection.request("GET", f"/v1/attest?nonce={'ab' * 32}").body)
    offline = ("cas", "attest", address, *_ANY, "--offline-report", "report")
    scone.done(*offline, "--nonce", "ab" * 32)
    assert scone(*offline, "--nonce", "cd" * 32).code == EvidenceError.exit_code
    Path("report").write_bytes(Path("report").read_bytes().replace(b'"version": "', b'"version": "9'))
    assert scone(*offline).code == EvidenceError.exit_code


def test_what_was_looked_at_is_explained(scone: Scone, address: str) -> None:
    """As a tree on standard output, where a CAS is accepted and where it is not."""
    told = scone.done("cas", "attest", address, *_ANY, "--explain").splitlines()
    assert told[0] == "ok: the attestation was made for this connection, by the key that the CAS has proven on it"
    assert "ok: the evidence holds" in told
    assert told[-1] == f"CAS localhost at https://{address}/ is trustworthy"
    answer = scone("cas", "attest", address, "-v", "--mrenclave", "00" * 32)
    assert answer.code == DeniedError.exit_code
    failed = [line for line in answer.out.splitlines() if line.startswith("FAILED: ")]
    assert failed[0].startswith("FAILED: Enclave hash does not match expectation")
    assert failed[1] == "FAILED: The CAS runs in simulation, in which nothing protects it: platform sim"
    assert "ok: the evidence holds" in answer.out


def _rehearsed(cas: EmbeddedCas, knobs: Rehearsal, machine: dict[str, str]) -> None:
    """Write a report of the CAS as if it were in a trust domain, of a make-believe Intel."""
    vendor = IntelVendor(lambda length: b"r" * length, _AT, knobs)

    def quoted(public: bytes) -> tuple[TdxQuote, bytes]:
        quote = vendor.tdx_quote(key_binding(public), machine)
        return TdxQuote(key=public, quote=quote), vendor.endorsements().to_json()

    _report(cas, KeyAttester(Ed25519PrivateKey.generate(), quoted))


def _report(cas: EmbeddedCas, attester: KeyAttester) -> None:
    statement = cas.cas.self_attestation.statement(
        nonce="ab" * 32, exporter=bytes(32), provisioned=True, provisioning_required=False, owner_secret_access=False
    )
    report = Report(
        measurement=cas_measurement(),
        signer=Measurement(bytes(32)),
        product_id=0,
        svn=0,
        debug=False,
        data=statement.report_data(),
    )
    envelope = attester.attest(report).to_json()
    document = {"format": CAS_FORMAT, "statement": statement.to_document(), "evidence": json.loads(envelope)}
    Path("report").write_text(json.dumps(document))


_AT = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
_MACHINE = {"mrtd": "ab" * 48, "rtmr3": "cd" * 48}
_OFFLINE = ("--offline-report", "report", "--nonce", "ab" * 32, "--verification-time", "2026-06-02")


def test_a_machine_is_accepted_by_a_file_of_rules(scone: Scone, cas: EmbeddedCas, address: str) -> None:
    """In the words of sessions; whatever else is in the machine is refused, with what was expected and found."""
    _rehearsed(cas, Rehearsal(), _MACHINE)
    Path("right.yml").write_text(f"machines:\n- tdx: {{mrtd: {'ab' * 48}, rtmr3: [{'00' * 48}, {'cd' * 48}]}}\n")
    Path("wrong.yml").write_text(f"- tdx: {{mrtd: {'ab' * 48}, rtmr3: {'ef' * 48}}}\n")
    Path("none.yml").write_text("- tdx: {mrtd: 12}\n")

    told = scone.done("cas", "attest", address, *_OFFLINE, _DEBUG, "--machines", "right.yml", "--explain")
    assert "ok: the machine is one that is expected" in told
    assert "platform sim (rehearses tdx) is accepted" in told
    assert "holds until 2026-" in told
    assert scone.done("cas", "list").endswith("platform sim (rehearses tdx)\n")
    answer = scone("cas", "attest", address, *_OFFLINE, _DEBUG, "--machines", "wrong.yml")
    assert answer.code == DeniedError.exit_code
    assert f"Unexpected machine (RTMR3, {'cd' * 48}) - Expected {'ef' * 48}" in answer.err
    assert scone("cas", "attest", address, *_OFFLINE, "--machines", "right.yml").code == DeniedError.exit_code
    assert scone("cas", "attest", address, *_OFFLINE, _DEBUG, "--machines", "none.yml").code != 0


def test_a_machine_with_a_tpm_is_accepted_by_who_is_trusted_for_it(
    scone: Scone, cas: EmbeddedCas, address: str
) -> None:
    """A directory says who; without it nothing vouches for the key of the TPM, whatever the machine."""
    attester = KeyAttester(Ed25519PrivateKey.generate(), TpmVendor(lambda length: b"r" * length, _AT).quote)
    _report(cas, attester)
    quote = Envelope.from_json(canonical_json(json.loads(Path("report").read_text())["evidence"])).quote
    assert isinstance(quote, TpmQuote)
    Path("roots").mkdir()
    Path("roots/maker.der").write_bytes(quote.ak_certificates[-1])
    pcr = json.loads(quote.pcrs)["sha256"]["7"]
    Path("machines.yml").write_text(f"tpm: {{pcrs: {{sha256: {{7: {pcr}}}}}, secure_boot: true}}\n")
    attest = ("cas", "attest", address, *_OFFLINE, "--machines", "machines.yml")
    told = scone.done(*attest, "--tpm-roots", "roots", "-v")
    assert "info: the CAS is protected by tpm" in told
    assert "ok: the machine is one that is expected" in told
    assert scone(*attest).code == DeniedError.exit_code
    Path("machines.yml").write_text(f"tpm: {{pcrs: {{sha256: {{7: {'00' * 32}}}}}}}\n")
    assert "PCR 7" in scone(*attest, "--tpm-roots", "roots").err
    assert scone(*attest, "--tpm-roots", "nowhere").code == InputError.exit_code


class _Anybody:
    def require_runtime(self, process: PeerProcess) -> None:
        process.require_alive()


def test_a_cas_in_a_rehearsed_machine_is_attested(scone: Scone, tmp_path: Path) -> None:
    """Over the network, with a LAS that a trust domain vouches for; the machine has to be the one that is expected."""
    rehearsed = rehearse("tdx", Rehearsal(), tmp_path / "las", machine=_MACHINE)
    with EmbeddedLas(tmp_path / "las", rehearsed, _Anybody()) as las:
        files = CasConfig.in_directory(tmp_path / "cas")
        config = replace(files, api=Address("127.0.0.1", 0), enclave=Address("127.0.0.1", 0), las=las.address)
        with Cas(config) as cas, ThreadedServer(*endpoints(cas, config)) as server:
            attest = ("cas", "attest", f"localhost:{server.port}", _DEBUG, "--machines")
            Path("right.yml").write_text(f"tdx: {{mrtd: {'ab' * 48}}}\n")
            Path("wrong.yml").write_text(f"tdx: {{mrtd: {'00' * 48}}}\n")
            told = scone.done(*attest, "right.yml", "-v")
            assert "platform sim (rehearses tdx) is accepted" in told
            assert "ok: the machine is one that is expected" in told
            answer = scone(*attest, "wrong.yml")
            assert answer.code == DeniedError.exit_code
            assert f"Unexpected machine (MRTD, {'ab' * 48}) - Expected {'00' * 48}" in answer.err


@NEEDS_TPM
def test_the_tpm_of_a_cas_proves_itself(scone: Scone, tmp_path: Path) -> None:
    """To those who say whom they trust to vouch for TPMs; the machine has to be the one that is expected, too."""
    manufacturer, other = (Authority(name, at=dt.datetime.now(dt.UTC)) for name in ("manufacturer", "other"))
    for name, each in (("roots", manufacturer), ("others", other)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "root.der").write_bytes(each.root)
    Path("right.yml").write_text(f"tpm: {{pcrs: {{sha256: {{16: '{'00' * 32}'}}}}}}\n")
    Path("wrong.yml").write_text(f"tpm: {{pcrs: {{sha256: {{16: '{'11' * 32}'}}}}}}\n")
    with SoftwareTpm() as tpm:
        tpm.certify(manufacturer)
        attester = MachineAttester(TpmReporter(tpm.tcti, pcrs="sha256:0,16", event_log=None), platform="tpm")
        with EmbeddedLas(tmp_path / "las", attester, _Anybody()) as las:
            files = CasConfig.in_directory(tmp_path / "cas")
            config = replace(files, api=Address("127.0.0.1", 0), enclave=Address("127.0.0.1", 0), las=las.address)
            with Cas(config) as cas, ThreadedServer(*endpoints(cas, config)) as server:
                attest = ["cas", "attest", f"localhost:{server.port}", f"{_TESTING}ignore-signer"]
                attest += ["--mrenclave", str(cas_measurement())]
                right, roots = ("--machines", "right.yml"), ("--tpm-roots", str(tmp_path / "roots"))
                answer = scone(*attest, *right)
                assert answer.code == ActivationError.exit_code
                assert "nobody who is trusted here vouches for the attestation key of this TPM" in answer.err
                answer = scone(*attest, *right, "--tpm-roots", str(tmp_path / "others"))
                assert answer.code == EvidenceError.exit_code
                assert "no manufacturer who is trusted here vouches for the TPM" in answer.err
                answer = scone(*attest, *roots, "--machines", "wrong.yml")
                assert answer.code == DeniedError.exit_code
                assert "Unexpected machine (PCR 16 (sha256)" in answer.err
                told = scone.done(*attest, *right, *roots, "-v")
                assert "ok: the certificate of the attestation key leads to an authority that is trusted" in told
                assert "is trustworthy" in told


def test_an_outdated_tcb_is_accepted_by_its_option_alone(scone: Scone, cas: EmbeddedCas, address: str) -> None:
    """Neither another one nor the one for tests helps; revoked or expired, it is refused whatever is said."""
    _rehearsed(cas, Rehearsal(outdated_tcb=True), _MACHINE)
    attest = ("cas", "attest", address, *_OFFLINE, _DEBUG)
    answer = scone(*attest, "-C", "-S")
    assert answer.code == DeniedError.exit_code
    assert "the weakness outdated-tcb, which is not accepted" in answer.err
    assert "the platform is OutOfDate" in scone.done(*attest, "-G", "-v")
    assert scone(*attest, "-G", "--accept-advisory", "INTEL-SA-00000").code == DeniedError.exit_code
    for knobs in (Rehearsal(expired_collateral=True), Rehearsal(revoked=True)):
        _rehearsed(cas, knobs, _MACHINE)
        assert scone(*attest, "-GCS").code == EvidenceError.exit_code


def test_nobody_there(scone: Scone) -> None:
    """The error says which CAS, and what to check."""
    answer = scone("cas", "attest", "localhost:1", *_ANY)
    assert answer.code == EnvironmentFault.exit_code
    assert "cannot reach CAS at localhost:1" in answer.err


def test_other_programs_know_the_cas_by_its_certificates(scone: Scone, cas: EmbeddedCas, address: str) -> None:
    """With what `show-certificate` prints, they verify the CAS by name, also after its owner has renamed it."""
    scone.done("cas", "attest", address, *_ANY)
    Path("config.toml").write_text('[api_identity]\ncommon_name = "ours"\nalt_names = ["cas.example.org"]\n')
    context = ssl.create_default_context(cadata=scone.done("cas", "show-certificate"))
    token = cas.cas.owner.token
    assert token is not None
    for names in (("localhost", "cas"), ("localhost", "cas", "cas.example.org")):
        for name in names:
            with (
                socket.create_connection(cas.client_address) as raw,
                context.wrap_socket(raw, server_hostname=name) as tls,
            ):
                assert tls.version() == "TLSv1.3"
        if cas.cas.owner.record is None:
            claim = ("cas", "provision", address, "-c", str(cas.key_hash), "--token", token)
            scone.done(*claim, "--config-file", "config.toml", "with-attestation", _DEBUG)
