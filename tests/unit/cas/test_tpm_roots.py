"""Whom an operator trusts to vouch for TPMs: what is in the directory, and what becomes of it while the CAS runs."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bannock.cas.tpm_roots import TpmRoots
from bannock.errors import InputError
from tests.unit.evidence.tpm.samples import AT, Authority

if TYPE_CHECKING:
    from pathlib import Path


def test_certificates_and_lists_in_either_form(tmp_path: Path) -> None:
    """PEM with several in it, DER, and lists; without a directory nobody is trusted."""
    one, two, three = (Authority(name) for name in ("one", "two", "three"))
    pem = b"".join(each.certificate.public_bytes(Encoding.PEM) for each in (one, two))
    (tmp_path / "a.pem").write_bytes(pem)
    (tmp_path / "b.cer").write_bytes(three.root)
    (tmp_path / "c.crl").write_bytes(one.revoke())
    (tmp_path / "d.crl").write_bytes(x509.load_der_x509_crl(two.revoke()).public_bytes(Encoding.PEM))
    (tmp_path / ".hidden").write_bytes(b"nothing")
    known = TpmRoots(tmp_path).at(AT)
    assert known.roots == (one.root, two.root, three.root)
    assert len(known.crls) == 2
    assert not TpmRoots(None).at(AT)


@pytest.mark.parametrize(
    ("name", "what"), [("a.pem", "certificate"), ("a.der", "certificate"), ("a.crl", "list of rev")]
)
def test_what_is_neither_is_refused(tmp_path: Path, name: str, what: str) -> None:
    """At the start, so that nobody relies on what is not there."""
    for content in (b"nothing", b"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} holds no {what}"):
            TpmRoots(tmp_path)
    with pytest.raises(InputError, match="cannot read the directory"):
        TpmRoots(tmp_path / "nowhere")


def test_what_changes_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After a minute; what cannot be read takes nothing away, and is told."""
    one, two = Authority("one"), Authority("two")
    (tmp_path / "one.der").write_bytes(one.root)
    roots = TpmRoots(tmp_path)
    assert roots.at(AT).roots == (one.root,)
    (tmp_path / "two.der").write_bytes(two.root)
    assert roots.at(AT + dt.timedelta(seconds=59)).roots == (one.root,)
    assert roots.at(AT + dt.timedelta(seconds=61)).roots == (one.root, two.root)
    (tmp_path / "two.der").write_bytes(b"half")
    assert roots.at(AT + dt.timedelta(seconds=200)).roots == (one.root, two.root)
    assert "stays as it was" in caplog.text
    (tmp_path / "two.der").unlink()
    assert roots.at(AT + dt.timedelta(seconds=300)).roots == (one.root,)
