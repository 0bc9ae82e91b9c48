"""TPMs of software (swtpm), which speak as those of hardware do, and the manufacturer that vouches for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from bannock.evidence.tpm.keys import EK_USAGE
from bannock.evidence.tpm.public import Public

if TYPE_CHECKING:
    from tests.unit.evidence.tpm.samples import Authority

__all__ = ["NEEDS_TPM", "SoftwareTpm"]

NEEDS_TPM: Final = pytest.mark.skipif(
    shutil.which("swtpm") is None or shutil.which("tpm2_create") is None, reason="needs swtpm and tpm2-tools"
)
_PATIENCE_SECONDS: Final = 20.0
_CERTIFICATES: Final = {"ecc": "0x01c0000a", "rsa": "0x01c00002", "ecc384": "0x01c00016", "rsa3072": "0x01c0001c"}
_DECRYPTS: Final = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=True, data_encipherment=False,
    key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


class SoftwareTpm:
    """A TPM of software; a context manager, and on from its construction.

    Attributes:
        tcti: how it is reached.
    """

    def __init__(self) -> None:
        # The name of a socket has 107 bytes at most.
        self._directory = tempfile.TemporaryDirectory(prefix="tpm-")
        self._base = Path(self._directory.name)
        self.tcti = f"swtpm:path={self._base}/socket"
        self._start()

    def _start(self) -> None:
        base = self._base
        self._process = subprocess.Popen(
            [  # noqa: S607 - where Debian puts it
                "swtpm", "socket", "--tpm2", "--tpmstate", f"dir={base}",
                "--server", f"type=unixio,path={base}/socket", "--ctrl", f"type=unixio,path={base}/socket.ctrl",
                "--flags", "not-need-init,startup-clear",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not (base / "socket").exists() or not (base / "socket.ctrl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def restart(self) -> None:
        """Turn it off and on, as its machine."""
        self.run("tpm2_shutdown", "-c")
        self._process.kill()
        self._process.wait()
        for name in ("socket", "socket.ctrl"):
            (self._base / name).unlink(missing_ok=True)
        self._start()

    def run(self, *command: str) -> bytes:
        """Run a program on it."""
        environment = {**os.environ, "TPM2TOOLS_TCTI": self.tcti}
        done = subprocess.run(command, check=True, capture_output=True, env=environment, cwd=self._base)
        return done.stdout

    def endorsement_key(self, kind: str) -> Public:
        """Give one of its endorsement keys, ``ecc`` or ``rsa``."""
        self.run("tpm2_createek", "-G", kind, "-c", "ek", "-u", "ek.public", "-f", "tss")
        self.run("tpm2_flushcontext", "-t")
        return Public.parse((self._base / "ek.public").read_bytes()[2:])

    def certify(self, manufacturer: Authority, kind: str = "ecc", **how: Any) -> x509.Certificate:
        """Put the manufacturer's certificate of an endorsement key into it, as a factory does."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TPM of software")])
        key = self.endorsement_key(kind).key
        certificate = manufacturer.issue(key, subject=subject, usage=EK_USAGE, key_usage=_DECRYPTS, **how)
        encoded = certificate.public_bytes(Encoding.DER)
        (self._base / "certificate").write_bytes(encoded)
        attributes = "ownerwrite|authread|ownerread|no_da"
        self.run("tpm2_nvdefine", _CERTIFICATES[kind], "-C", "o", "-s", str(len(encoded)), "-a", attributes)
        self.run("tpm2_nvwrite", _CERTIFICATES[kind], "-C", "o", "-i", "certificate")
        return certificate

    def end(self) -> None:
        """Turn it off, for ever."""
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
