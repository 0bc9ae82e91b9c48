"""The make-believe manufacturer of TPMs: its quotes are of the genuine format, and prove nothing but that."""

from __future__ import annotations

import itertools
from hashlib import shake_256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bannock.errors import EvidenceError, InputError
from bannock.evidence.attester import key_binding
from bannock.evidence.endorsements import Endorsements
from bannock.evidence.rehearsal.knobs import ALL_WELL, Rehearsal
from bannock.evidence.rehearsal.tpm import TpmVendor
from bannock.evidence.tpm.verifier import verify_tpm
from tests.unit.evidence.tpm.samples import AT

_LAS = b"the public key of a LAS"


def _vendor(knobs: Rehearsal = ALL_WELL, seed: int = 7) -> TpmVendor:
    numbers = itertools.count(1000 * seed)
    return TpmVendor(lambda count: shake_256(b"%d" % next(numbers)).digest(count), AT, knobs)


def test_its_quotes_hold_and_are_not_genuine() -> None:
    """Through the verifier of real TPMs, with nothing but what came along."""
    quote, along = _vendor().quote(_LAS)
    proven = verify_tpm(quote, Endorsements.from_json(along), AT)
    assert not proven.genuine
    assert not proven.debug
    assert proven.report_data == key_binding(_LAS)[:32]
    assert proven.machine["secure_boot"] == "true"
    assert proven.machine_id is not None
    assert len([name for name in proven.machine if name.startswith("pcr.sha256.")]) == 16


def test_registers_can_be_wished_for() -> None:
    """To rehearse what a policy says; the log is left out, because it would tell of another start."""
    wished = {"pcr.sha256.4": "cd" * 32, "pcr.sha256.23": "ef" * 32}
    quote, along = _vendor().quote(_LAS, wished)
    proven = verify_tpm(quote, Endorsements.from_json(along), AT)
    assert wished.items() <= proven.machine.items()
    assert "secure_boot" not in proven.machine
    for wrong in ({"pcr.sha1.4": "cd" * 32}, {"pcr.sha256.24": "cd" * 32}, {"pcr.sha256.4": "cd"}):
        with pytest.raises(InputError, match="registers of a rehearsed TPM"):
            _vendor().quote(_LAS, wrong)


@pytest.mark.parametrize(
    ("knobs", "reason"),
    [
        (Rehearsal(revoked=True), "was revoked by CN=make-believe TPM manufacturer"),
        (Rehearsal(expired_collateral=True), "has expired: nextUpdate"),
    ],
)
def test_what_goes_wrong_is_refused(knobs: Rehearsal, reason: str) -> None:
    """With its reason."""
    quote, along = _vendor(knobs).quote(_LAS)
    with pytest.raises(EvidenceError) as refused:
        verify_tpm(quote, Endorsements.from_json(along), AT)
    assert any(reason in each for each in refused.value.reasons)


def test_a_debugger_of_the_firmware_is_told() -> None:
    """It is for the policy to decide on."""
    quote, along = _vendor(Rehearsal(debug=True)).quote(_LAS)
    proven = verify_tpm(quote, Endorsements.from_json(along), AT)
    assert proven.debug
    assert "debug mode" in proven.warnings[1]


def test_it_is_kept_and_made_again() -> None:
    """The same keys, machine and certificates; another one has others."""
    vendor = _vendor()
    again = TpmVendor.from_json(vendor.to_json())
    assert again.quote(_LAS) == vendor.quote(_LAS)
    assert _vendor(seed=8).quote(_LAS) != vendor.quote(_LAS)


@given(st.binary(max_size=60) | st.just(b'{"format":"bannock-rehearsal-tpm-1","at":"2026","keys":{}}'))
def test_anything_else_is_no_manufacturer(data: bytes) -> None:
    """Whatever is in the file."""
    with pytest.raises(InputError, match="no make-believe manufacturer"):
        TpmVendor.from_json(data)
