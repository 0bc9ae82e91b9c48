"""The CAS of a mesh: found among those that are known here, or by the key that the manifest names, or attested."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import CAS_PORT, identity_of, retries_of
from bannock.cli.kept_receipts import KeptReceipts
from bannock.cli.state import state_file
from bannock.errors import DeniedError, InputError
from bannock.net.address import Address
from bannock.policy.encryption import load_encryption_key
from bannock.remote.cas_api import CasApi
from bannock.values import KeyHash

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from bannock.cli.state import KnownCas
    from bannock.mesh.manifests.model import Cas

__all__ = ["MeshCas", "find_cas"]

#: Options of ``scone cas attest`` as manifests of other versions have them.
_FORMER: Final = {
    "--software-hardening-needed": "-S",
    "--insecure-configuration": "-C",
    "--configuration-needed": "-C",
    "--group-out-of-date": "-G",
    "--outdated-tcb": "-G",
}
#: Where services reach a CAS unless its address says so.
_ENCLAVE_PORT: Final = 18765


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshCas:
    """A CAS, as far as it is known before it is asked.

    Attributes:
        manifest: what the mesh says of it.
        known: what is known of it here; None for nothing.
    """

    manifest: Cas
    known: KnownCas | None

    @property
    def address(self) -> str:
        """Where services reach it."""
        return self.manifest.cas_url.removeprefix("https://").rstrip("/")

    @property
    def client_address(self) -> str:
        """Where clients reach it from where the services are."""
        return Address.parse(self.address, default_port=_ENCLAVE_PORT).host

    @property
    def key(self) -> str:
        """The hash of its key; empty where it is not known."""
        return self.manifest.cas_key or (self.known.key_hash if self.known else "")

    @property
    def tolerance(self) -> tuple[str, ...]:
        """The options that it is attested with, as this version has them.

        Raises:
            InputError: they cannot be split into words.
        """
        try:
            words = shlex.split(self.manifest.tolerance or "")
        except ValueError as error:
            raise InputError(f"tolerance of the CAS {self.address}: {str(error).lower()}") from None
        return tuple(_FORMER.get(word, word) for word in words)

    def encryption_key(self) -> EllipticCurvePublicKey:
        """Return the key that policies for it are encrypted with.

        Raises:
            InputError: it is not known.
        """
        text = self.manifest.cas_encryption_key or (self.known.session_encryption_key if self.known else "")
        if not text:
            raise InputError(
                f"policies for the CAS {self.address} are encrypted, and its session-encryption key is not known",
                hint="set cas_encryption_key of the mesh (kubectl provision cas NAME --print-public-keys prints it)",
            )
        return load_encryption_key(text.encode("ascii"))

    def open(self) -> CasApi:
        """Return what asks it; it is attested first if neither its key nor the CAS is known.

        Raises:
            BannockError: it is not to be reached, or not trustworthy.
        """
        state = state_file(os.environ)
        identity, retries = identity_of(None, state), retries_of(None)
        host = Address.parse(self.address, default_port=CAS_PORT).host
        known = self.known
        if known is None and not self.manifest.cas_key:
            # Slow to import, and rarely needed.
            from bannock.cli import cas_attest  # noqa: PLC0415

            with contextlib.redirect_stdout(sys.stderr):
                cas_attest.main([host, *self.tolerance])
            known = state.read().find_cas(host)
        expected = KeyHash.from_base58(known.key_hash if known else self.key)
        address = Address(known.host, known.port) if known else Address(host, CAS_PORT)
        return CasApi(address, identity, expected=expected, retries=retries, receipts=KeptReceipts(state))


def find_cas(cas: Cas) -> MeshCas:
    """Find the CAS of a mesh among those that are known: by the key that it has to have, or by its address.

    Raises:
        DeniedError: another CAS is known by that address than the one that the mesh names.
    """
    state = state_file(os.environ).read()
    found = next((each for each in state.cas.values() if each.key_hash == cas.cas_key), None)
    if found is None:
        host = Address.parse(cas.cas_url.removeprefix("https://").rstrip("/"), default_port=CAS_PORT).host
        with contextlib.suppress(InputError):
            found = state.find_cas(host)
        if found is not None and cas.cas_key and found.key_hash != cas.cas_key:
            raise DeniedError(
                f"the mesh names a CAS with key {cas.cas_key}, and the one that was attested as {host} has key "
                f"{found.key_hash}",
                hint="correct cas_key, or attest the CAS again: scone cas attest",
            )
    return MeshCas(manifest=cas, known=found)
