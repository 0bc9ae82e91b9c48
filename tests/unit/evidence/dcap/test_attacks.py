"""Whoever holds parts of a make-believe vendor tries to pass off something else; each attempt has its reason."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bannock.errors import EvidenceError
from bannock.evidence.dcap import verifier
from bannock.evidence.dcap.quote import DcapQuote, pem_of
from bannock.evidence.dcap.second_opinion import Opinion
from bannock.evidence.dcap.verifier import verify_sgx, verify_tdx
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.quotes import SgxQuote, TdxQuote
from bannock.evidence.rehearsal import intel
from bannock.evidence.rehearsal.intel_certificates import make_crl
from bannock.evidence.rehearsal.intel_collateral import Silicon, raw_signature
from bannock.evidence.rehearsal.seeds import grown_p256_key
from tests.unit.evidence.rehearsal.intel import AT, DATA, ENCLAVE, vendor

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.evidence.appraisal import PlatformAppraisal

_SEED: Final = b"\x07" * 32
_Edit = "Callable[[dict[str, Any]], None]"


def _tdx(quote: bytes, *dcap: str, at_days: float = 0) -> PlatformAppraisal:
    known = dcap or vendor().endorsements().dcap
    return verify_tdx(TdxQuote(key=b"", quote=quote), Endorsements(dcap=known), AT + timedelta(days=at_days))


def _sgx(quote: bytes, *dcap: str) -> PlatformAppraisal:
    return verify_sgx(SgxQuote(quote=quote), Endorsements(dcap=dcap or vendor().endorsements().dcap), AT)


def _refused(reason: str, verify: Callable[..., object], *arguments: Any) -> None:
    with pytest.raises(EvidenceError) as raised:
        verify(*arguments)
    told = "\n".join([raised.value.message, *raised.value.reasons])
    assert reason in told, told


def _certificates() -> dict[str, x509.Certificate]:
    """Give the certificates of the vendor, by what they are for."""
    pck, authority, root = map(x509.load_der_x509_certificate, DcapQuote.parse(vendor().tdx_quote(DATA)).certificates)
    signers = json.loads(vendor().endorsements().dcap[0])["tcb_info_issuer_chain"].encode()
    return {"pck": pck, "authority": authority, "root": root, "signer": x509.load_pem_x509_certificates(signers)[0]}


def _collateral(
    info: Callable[[dict[str, Any]], None] | None = None,
    identity: Callable[[dict[str, Any]], None] | None = None,
    *,
    key: ec.EllipticCurvePrivateKey | None = None,
    tee: int = 1,
    **changes: str,
) -> str:
    """Give collateral that the vendor (or another key) signed after it was edited."""
    document = json.loads(vendor().endorsements().dcap[tee])
    for name, edit in (("tcb_info", info), ("qe_identity", identity)):
        statement = json.loads(document[name])
        if edit is not None:
            edit(statement)
        document[name] = json.dumps(statement)
        signature = raw_signature(key or grown_p256_key(_SEED, "signer"), document[name].encode())
        document[f"{name}_signature"] = signature.hex()
    return json.dumps(document | changes)


def _crl(issuer: str, *revoked: str) -> str:
    """Give a revocation list, in hexadecimal digits."""
    found = _certificates()
    key = grown_p256_key(_SEED, {"authority": "pck authority"}.get(issuer, issuer))
    until = AT + timedelta(days=30)
    return make_crl(found[issuer], key, [found[each] for each in revoked], issued=AT, until=until).hex()


@pytest.mark.parametrize(
    ("registers", "reason"),
    [
        ({"td_attributes": "00" * 8}, "SEPT_VE_DISABLE is off"),
        ({"td_attributes": "0000003000000000"}, "bits 0x20000000 are set"),
        ({"td_attributes": "1000001000000000"}, "bits 0x10 are set"),
        ({"td_attributes": "0000001000000080"}, "bits 0x8000000000000000 are set"),
        ({"mrsignerseam": "01" + "00" * 47}, "the signer of the TDX module (version 1, SVN 5)"),
        ({"seam_attributes": "0000000000000001"}, "the attributes of the TDX module (version 1, SVN 5)"),
        ({"tee_tcb_svn": "0401030000" + "00" * 11}, "the TDX module (version 1, SVN 4) is below all levels"),
        ({"tee_tcb_svn": "0502030000" + "00" * 11}, "the TDX module (version 2, SVN 5) is not one that Intel knows"),
        ({"tee_tcb_svn": "0501020000" + "00" * 11}, "TEE TCB SVN 05010200000000000000000000000000) is below all"),
    ],
)
def test_trust_domains(registers: dict[str, str], reason: str) -> None:
    """A trust domain that is not protected, and a module that is not Intel's or too old, are refused."""
    _refused(reason, _tdx, vendor().tdx_quote(DATA, registers))
    _refused(reason, _tdx, vendor().tdx_quote(DATA, registers, version=5))


def test_service_td() -> None:
    """A trust domain that another one has a say in is refused."""
    _refused("MR_SERVICE_TD 0100", _tdx, vendor().tdx_quote(DATA, {"mr_service_td": "01" + "00" * 47}, version=5))


def test_all_reasons_are_told() -> None:
    """Not the first reason alone is told, but each."""
    quote = vendor().tdx_quote(DATA, {"td_attributes": "00" * 8, "seam_attributes": "0000000000000001"})
    with pytest.raises(EvidenceError) as raised:
        _tdx(quote, *vendor().renewed(AT - timedelta(days=40)).endorsements().dcap)
    assert len(raised.value.reasons) == 7


@pytest.mark.parametrize(
    ("silicon", "reason"),
    [
        ({"qe_svn": 7}, "the quoting enclave (SVN 7) is below all levels"),
        ({"qe_product_ids": (2, 1)}, "the product id of the quoting enclave is"),
        ({"qe_attributes": bytes.fromhex("1300000000000000e700000000000000")}, "a debugger may look into it"),
        (
            {"qe_attributes": bytes.fromhex("0100000000000000e700000000000000")},
            "attributes of the quoting enclave are",
        ),
        ({"pce_svn": 12}, "PCESVN 12"),
        ({"current": bytes(16)}, "is below all levels that Intel knows of FMSPC FF"),
    ],
)
def test_platforms(monkeypatch: pytest.MonkeyPatch, silicon: dict[str, Any], reason: str) -> None:
    """A quoting enclave that is not Intel's or too old, and a processor below all levels, are refused."""
    known = vendor().endorsements().dcap
    monkeypatch.setattr(intel, "_SILICON", dataclasses.replace(Silicon(), **silicon))
    _refused(reason, _tdx, vendor().tdx_quote(DATA), *known)
    _refused(reason, _sgx, vendor().sgx_quote(DATA, ENCLAVE), *known)


def test_another_signer_of_quoting_enclaves() -> None:
    """A quoting enclave that somebody else signed is refused."""
    known = _collateral(identity=lambda fields: fields.update(mrsigner="AA" * 32))
    _refused("the signer of the quoting enclave is aaaa", _tdx, vendor().tdx_quote(DATA), known)
    known = _collateral(identity=lambda fields: fields.update(miscselect="00000001"))
    _refused("MISCSELECT of the quoting enclave is", _tdx, vendor().tdx_quote(DATA), known)


def _replaced(quote: bytes, old: bytes, new: bytes) -> bytes:
    assert quote.count(old) == 1
    return quote.replace(old, new)


def test_another_attestation_key() -> None:
    """A quote that another key signed is refused, though the key is in it: nothing vouches for the key."""
    quote = vendor().tdx_quote(DATA, {"mrtd": "66" * 48})
    parsed = DcapQuote.parse(quote)
    key = ec.derive_private_key(7, ec.SECP256R1())
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    mine = _replaced(quote, parsed.attestation_key, point)
    mine = _replaced(mine, parsed.signature, raw_signature(key, parsed.signed))
    _refused("the quoting enclave vouches for another attestation key", _tdx, mine)
    _refused("the attestation key of the quote is no point", _tdx, _replaced(quote, parsed.attestation_key, bytes(64)))


def test_another_quoting_enclave() -> None:
    """A quoting enclave's report that another key than the processor's signed is refused."""
    quote = vendor().tdx_quote(DATA)
    parsed = DcapQuote.parse(quote)
    mine = raw_signature(ec.derive_private_key(7, ec.SECP256R1()), parsed.qe_report)
    reason = "the signature of the report of the quoting enclave does not verify"
    _refused(reason, _tdx, _replaced(quote, parsed.qe_report_signature, mine))
    for extreme in (bytes(64), b"\xff" * 64, bytes(31) + b"\1" + bytes(31) + b"\1"):
        _refused(reason, _tdx, _replaced(quote, parsed.qe_report_signature, extreme))


def test_the_rest_of_another_quote() -> None:
    """A body with the signature section of another quote is refused."""
    mine, other = vendor().tdx_quote(DATA, {"mrtd": "66" * 48}), vendor().tdx_quote(DATA)
    _refused("the signature of the quote does not verify", _tdx, mine[:632] + other[632:])


def _with_chain(*chain: bytes) -> bytes:
    """Give a quote with other certificates, its lengths set right."""
    quote = vendor().tdx_quote(DATA)
    old = pem_of(DcapQuote.parse(quote).certificates).encode() + b"\0"
    new = pem_of(chain).encode() + b"\0"
    delta = len(new) - len(old)
    changed = bytearray(_replaced(quote, old, new))
    for place in (632, 632 + 4 + 128 + 2, len(quote) - len(old) - 4):
        value = int.from_bytes(changed[place : place + 4], "little") + delta
        changed[place : place + 4] = value.to_bytes(4, "little")
    return bytes(changed)


def test_chains() -> None:
    """Certificates in another order, too few, too many, of other roles or of another vendor are refused."""
    der = {name: each.public_bytes(Encoding.DER) for name, each in _certificates().items()}
    pck, authority, root, signer = der["pck"], der["authority"], der["root"], der["signer"]
    assert _tdx(_with_chain(pck, authority, root)).tcb.status == "UpToDate"
    other_pck, other_authority, other_root = DcapQuote.parse(vendor(seed=b"\x08").tdx_quote(DATA)).certificates
    _refused("has 3 certificates, found 2", _tdx, _with_chain(pck, authority))
    _refused("has 3 certificates, found 4", _tdx, _with_chain(pck, authority, root, root))
    _refused("the PCK certificate is one of Intel SGX PCK Certificate", _tdx, _with_chain(root, authority, pck))
    _refused("found Intel SGX TCB Signing", _tdx, _with_chain(signer, authority, root))
    _refused("the PCK authority is one of", _tdx, _with_chain(pck, pck, root))
    _refused("the signature of the report of the quoting enclave", _tdx, _with_chain(other_pck, authority, root))
    _refused("was not signed by its issuer", _tdx, _with_chain(pck, other_authority, root))
    _refused("was not signed by its issuer", _tdx, _with_chain(pck, authority, other_root))
    _refused("chain of 1 to 8 certificates", _tdx, _with_chain(*([pck] * 9)))


def test_genuine_root_under_a_make_believe_machine() -> None:
    """Intel's root at the end of a make-believe chain is not believed."""
    found = {name: each.public_bytes(Encoding.DER) for name, each in _certificates().items()}
    quote = _with_chain(found["pck"], found["authority"], verifier_root())
    _refused("the certificate of the PCK authority was not", _tdx, quote)


def verifier_root() -> bytes:
    """Give Intel's root."""
    from bannock.evidence.dcap.chain import intel_root  # noqa: PLC0415

    return intel_root()


def test_other_certification_data() -> None:
    """Where the certificate is not in the quote, it is told how it gets there."""
    quote = bytearray(vendor().sgx_quote(DATA, ENCLAVE))
    place = 432 + 4 + 128 + 384 + 64 + 2 + 32
    assert quote[place : place + 2] == b"\5\0"
    quote[place] = 3
    with pytest.raises(EvidenceError, match="of kind 5, found 3") as raised:
        _sgx(bytes(quote))
    assert "PCCS" in (raised.value.hint or "")


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, 2, "version 3, 4 or 5, found 2"),
        (0, 6, "version 3, 4 or 5, found 6"),
        (2, 3, "signed with ECDSA on P-256 (2), found kind 3"),
        (4, 0, "of version 4 is one of tdx, found environment 0x0"),
        (4, 0x82, "found environment 0x82"),
        (12, 0, "found vendor 00"),
    ],
)
def test_headers(place: int, value: int, reason: str) -> None:
    """Quotes of other kinds are told as such."""
    quote = bytearray(vendor().tdx_quote(DATA))
    quote[place] = value
    _refused(reason, _tdx, bytes(quote))


def test_bodies_of_version_5() -> None:
    """A body of version 5 has a kind that is known, and its length."""
    quote = bytearray(vendor().tdx_quote(DATA, version=5))
    for kind in (0, 1, 4):
        quote[48] = kind
        _refused(f"(2 or 3), found kind {kind}", _tdx, bytes(quote))
    quote[48] = 2
    _refused("the body of kind 2 has 584 bytes, found 648", _tdx, bytes(quote))


def test_revoked() -> None:
    """Whatever the root or the authority revoked vouches for nothing."""
    quote = vendor().tdx_quote(DATA)
    assert _tdx(quote, _collateral(root_ca_crl=_crl("root"), pck_crl=_crl("authority"))).tcb.status == "UpToDate"
    _refused("the certificate of the PCK authority was revoked", _tdx, quote, _revoking("authority"))
    _refused("the root certificate was revoked", _tdx, quote, _revoking("root"))
    _refused("the certificate of the signer of the TDX TCB info", _tdx, quote, _revoking("signer"))
    pck = _collateral(pck_crl=_crl("authority", "pck"))
    _refused("the PCK certificate was revoked", _tdx, quote, pck)
    # A list that says nothing of it, from before, changes nothing.
    _refused("the PCK certificate was revoked", _tdx, quote, *vendor().endorsements().dcap, pck)


def _revoking(name: str) -> str:
    return _collateral(root_ca_crl=_crl("root", name))


def test_lists_of_others() -> None:
    """A list that another authority signed does not count for this one."""
    quote = vendor().tdx_quote(DATA)
    _refused(
        "nothing at hand counts as the revocation list of the root",
        _tdx,
        quote,
        _collateral(root_ca_crl=_crl("authority")),
    )
    _refused("list of the PCK authority", _tdx, quote, _collateral(pck_crl=_crl("root")))
    forged = make_crl(
        _certificates()["authority"], grown_p256_key(_SEED, "pck"), [], issued=AT, until=AT + timedelta(days=1)
    )
    _refused("was not signed by Intel SGX PCK Platform CA", _tdx, quote, _collateral(pck_crl=forged.hex()))


def test_statements_of_others() -> None:
    """What is not signed by whom the root appointed for that says nothing."""
    quote = vendor().tdx_quote(DATA)
    _refused("does not verify", _tdx, quote, _collateral(key=grown_p256_key(_SEED, "pck")))
    found = {name: each.public_bytes(Encoding.DER) for name, each in _certificates().items()}
    for chain, reason in (
        ([found["pck"], found["root"]], "the certificate of the signer of collateral is one of Intel SGX TCB Signing"),
        ([found["authority"], found["root"]], "the certificate of the signer of collateral is one of"),
        ([found["root"]], "was not signed below the root of the quote"),
        ([found["signer"], found["authority"]], "was not signed below the root of the quote"),
        ([found["signer"], verifier_root()], "was not signed below the root of the quote"),
    ):
        _refused(reason, _tdx, quote, _collateral(tcb_info_issuer_chain=pem_of(chain)))
        _refused(reason, _tdx, quote, _collateral(qe_identity_issuer_chain=pem_of(chain)))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda info: info.update(fmspc="00606A000000"), "nothing at hand counts as the TDX TCB info"),
        (lambda info: info.update(pceId="0001"), "nothing at hand counts as the TDX TCB info"),
        (lambda info: info.update(id="SGX"), "nothing at hand counts as the TDX TCB info"),
        (lambda info: info.update(version=2), "in version 3"),
        (lambda info: info.update(nextUpdate="2026-03-01T12:00:00Z"), "expired at 2026-03-01 12:00:00 UTC"),
        (lambda info: info.update(issueDate="2026-03-01T12:00:01Z"), "issued after the time of the verdict"),
        (lambda info: info.update(tcbLevels=[]), "is below all levels"),
        (lambda info: info["tcbLevels"][0].update(tcbStatus="Revoked"), "Intel revoked the processor"),
        (lambda info: info["tcbLevels"][0].update(tcbStatus="Fine"), "the TCB info is malformed"),
        (lambda info: info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"].pop(), "the TCB info is malformed"),
        (lambda info: info["tcbLevels"][0]["tcb"].pop("tdxtcbcomponents"), "the TCB info is malformed"),
        (lambda info: info.pop("tdxModule"), "the TCB info is malformed"),
    ],
)
def test_tcb_info(edit: Callable[[dict[str, Any]], None], reason: str) -> None:
    """A TCB info of other processors, of another time or without meaning does not count."""
    _refused(reason, _tdx, vendor().tdx_quote(DATA), _collateral(info=edit))


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda identity: identity.update(id="QE"),
            "nothing at hand counts as the identity of the quoting enclave (TD_QE)",
        ),
        (lambda identity: identity.update(id="QVE"), "one of QE or TD_QE"),
        (lambda identity: identity.update(nextUpdate="2026-03-01T12:00:00Z"), "expired at 2026-03-01 12:00:00 UTC"),
        (lambda identity: identity.update(tcbLevels=[]), "the quoting enclave (SVN 8) is below all levels"),
        (lambda identity: identity["tcbLevels"][0].update(tcbStatus="Revoked"), "Intel revoked the quoting enclave"),
    ],
)
def test_identity(edit: Callable[[dict[str, Any]], None], reason: str) -> None:
    """An identity of other enclaves, of another time or without meaning does not count."""
    _refused(reason, _tdx, vendor().tdx_quote(DATA), _collateral(identity=edit))


def test_states_are_merged() -> None:
    """The worst state of processor, module and quoting enclave counts, with the weaknesses and advisories of all."""

    def outdated(identity: dict[str, Any]) -> None:
        identity["tcbLevels"][0].update(tcbStatus="OutOfDate", advisoryIDs=["INTEL-SA-00477"])

    def hardening(info: dict[str, Any]) -> None:
        info["tcbLevels"][0].update(tcbStatus="SWHardeningNeeded", advisoryIDs=["INTEL-SA-00615"])
        level = info["tdxModuleIdentities"][0]["tcbLevels"][0]
        level.update(tcbStatus="UpToDate", advisoryIDs=["INTEL-SA-01036"], tcbDate="2023-02-01T00:00:00Z")

    found = _tdx(vendor().tdx_quote(DATA), _collateral(info=hardening, identity=outdated))
    assert found.tcb.status == "OutOfDate"
    assert found.advisories == {"INTEL-SA-00477", "INTEL-SA-00615", "INTEL-SA-01036"}
    assert found.weaknesses == {"outdated-tcb", "software-hardening-needed"}
    assert found.tcb.as_of is not None
    assert found.tcb.as_of.year == 2023


def test_order_of_levels_does_not_matter() -> None:
    """Levels are sorted before they are compared: the best one that is reached counts."""
    known = _collateral(info=lambda info: info["tcbLevels"].reverse())
    assert _tdx(vendor().tdx_quote(DATA), known).tcb.status == "UpToDate"


def test_module_numbers() -> None:
    """Numbers of modules that have levels of their own are not compared with those of the first module."""

    def older_module(info: dict[str, Any]) -> None:
        info["tdxModuleIdentities"][0]["tcbLevels"][0]["tcb"]["isvsvn"] = 3

    quote = vendor().tdx_quote(DATA, {"tee_tcb_svn": "0401030000" + "00" * 11})
    assert _tdx(quote, _collateral(info=older_module)).tcb.status == "UpToDate"
    first = vendor().tdx_quote(DATA, {"tee_tcb_svn": "0400030000" + "00" * 11})
    _refused("is below all levels", _tdx, first, _collateral(info=older_module))
    first = vendor().tdx_quote(DATA, {"tee_tcb_svn": "0500030000" + "00" * 11})
    assert _tdx(first).tcb.status == "UpToDate"


@pytest.mark.parametrize(
    ("opinion", "reason"),
    [
        (Opinion(status="SWHardeningNeeded"), "dcap-qvl: SWHardeningNeeded (no advisory)"),
        (Opinion(status="UpToDate", advisories=frozenset({"INTEL-SA-1"})), "dcap-qvl: UpToDate (INTEL-SA-1)"),
        (Opinion(refused="it does not like it"), "it does not like it"),
        (Opinion(refused="Verification failed: Debug mode is enabled", only_debug=True), "Debug mode is enabled"),
        (Opinion(), "it gives no state"),
    ],
)
def test_second_verifier_has_to_agree(monkeypatch: pytest.MonkeyPatch, opinion: Opinion, reason: str) -> None:
    """A quote that the second verifier refuses, or finds in another state, is refused."""
    monkeypatch.setattr(verifier, "ask", lambda *_: opinion)
    _refused(reason, _sgx, vendor().sgx_quote(DATA, ENCLAVE))


def test_certificates_expire() -> None:
    """A PCK certificate past its end is refused, though collateral is fresh."""
    later = timedelta(days=365 * 7 + 1)
    fresh = vendor().renewed(AT + later).endorsements().dcap
    with pytest.raises(EvidenceError) as raised:
        verify_tdx(TdxQuote(key=b"", quote=vendor().tdx_quote(DATA)), Endorsements(dcap=fresh), AT + later)
    told = "\n".join(raised.value.reasons)
    assert "the certificate of the PCK authority expired at 2033-02-27 12:00:00 UTC" in told
    assert "the certificate of the signer of collateral expired" in told
