"""The banner of ``SCONE_VERSION=1``: in the form of SCONE's, and true."""

from __future__ import annotations

import pytest

from bannock.errors import InputError
from bannock.runtime.banner import banner, wants_banner
from bannock.values import Measurement

_MEASUREMENT = Measurement(bytes(range(32)))


@pytest.mark.parametrize(
    ("platform", "debug", "mode", "told"),
    [
        ("sgx", False, "hw", "Application runs in SGX production mode"),
        ("sgx", True, "hw", "Application runs in SGX debug mode"),
        ("tdx", False, "hw", "Application runs in TDX production mode"),
        ("sev-snp", True, "hw", "Application runs in SEV-SNP debug mode"),
        ("tpm", False, "hw", "Application runs in TPM production mode"),
        ("sim", True, "sim", "Application runs in simulation mode"),
        ("sim (rehearses tdx)", False, "sim", "Application runs in simulation mode"),
    ],
)
def test_mode_is_what_protects_it(platform: str, debug: object, mode: str, told: str) -> None:
    """A rehearsal protects nothing, whatever it rehearses."""
    lines = banner({}, _MEASUREMENT, platform, {}, debug=bool(debug)).splitlines()
    assert f"export SCONE_MODE={mode}" in lines
    assert lines[-2:] == [f"Enclave hash: {_MEASUREMENT}", told]


def test_settings_are_those_that_are_measured() -> None:
    """In bytes and words, as scripts know them; images where there are any."""
    given = {"SCONE_HEAP": "760M", "SCONE_ALLOW_DLOPEN": "1", "SCONE_FORK": "1", "SCONE_EXTENSIONS_PATH": ":/a:/b"}
    lines = banner(given, _MEASUREMENT, "sgx", {"SCONE_LOG": "ERROR", "SCONE_HEAP": "1G"}).splitlines()
    assert lines[:10] == [
        "export SCONE_TCS=8",
        "export SCONE_LOG=ERROR",
        "export SCONE_HEAP=796917760",
        "export SCONE_MIN_HEAP=8388608",
        "export SCONE_STACK=2097152",
        "export SCONE_MODE=hw",
        "export SCONE_ALLOW_DLOPEN=yes (protected)",
        "export SCONE_MPROTECT=no",
        "export SCONE_FORK=yes",
        "export SCONE_EXTENSIONS_PATH=/a:/b",
    ]
    with pytest.raises(InputError):
        banner({"SCONE_HEAP": "lots"}, _MEASUREMENT, "sgx", {})


def test_it_is_asked_for() -> None:
    """By any value but 0 and nothing."""
    assert [wants_banner({"SCONE_VERSION": value}) for value in ("1", "yes", "0", "")] == [True, True, False, False]
    assert not wants_banner({})
