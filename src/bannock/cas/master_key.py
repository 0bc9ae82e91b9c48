"""The master key: what the keys of a CAS are sealed under, in a file outside of the database.

The file has the key as it is, or sealed: under a passphrase, or by the TPM of the machine. A passphrase is read from a
file, a descriptor or the environment, never from a command line.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from bannock.cas.sealing import KEY_BYTES, Sealer
from bannock.cas.tpm import FORMAT, Tpm
from bannock.errors import EnvironmentFault, InputError, IntegrityError
from bannock.files import read_private, write_atomically
from bannock.policy.canonical import canonical_json
from bannock.values import Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["MasterKeyFile", "Passphrase", "Plain", "Protection", "open_with_passphrase", "seal_with_passphrase"]

_PLACE: Final = "master-key"
_SALT_BYTES: Final = 16
#: RFC 9106, section 4, the second recommended option: 64 MiB, three passes.
_PASSES: Final = 3
_LANES: Final = 4
_KIB: Final = 64 * 1024
#: What a file may ask for at most: it is not authentic before its key is derived.
_PASSES_MAX: Final = 64
_LANES_MAX: Final = 64
_KIB_MAX: Final = 2 * 1024 * 1024
_PASSPHRASE_BYTES_MAX: Final = 4096
_NEXT: Final = ".next"
_LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """The file is the key; whoever can read it has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrase:
    """The key is sealed under a passphrase.

    Attributes:
        source: where that is read: ``file:PATH``, ``fd:NUMBER`` or ``env:NAME``.
    """

    source: str

    def __post_init__(self) -> None:
        kind, _, rest = self.source.partition(":")
        if kind not in {"file", "fd", "env"} or not rest or (kind == "fd" and not rest.isdecimal()):
            raise InputError("a passphrase is read from file:PATH, fd:NUMBER or env:NAME, never written down itself")

    def read(self) -> Secret:
        """Read the passphrase, without the end of its line.

        Raises:
            InputError: it cannot be read, or is empty.
        """
        kind, _, rest = self.source.partition(":")
        match kind:
            case "file":
                found = read_private(Path(rest))
            case "fd":
                found = _from_descriptor(int(rest))
            case _:
                found = os.environ.get(rest, "").encode("utf-8", "surrogateescape")
        found = found.rstrip(b"\r\n")
        if not found:
            raise InputError(f"there is no passphrase in {self.source}")
        if len(found) > _PASSPHRASE_BYTES_MAX:
            raise InputError(f"the passphrase in {self.source} has more than {_PASSPHRASE_BYTES_MAX} bytes")
        return Secret(found)


Protection: TypeAlias = Plain | Passphrase | Tpm


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeyFile:
    """One file with a master key, and how it is protected.

    While the key is being changed there is a second file beside it, named ``.next``, with the new one: of the two, the
    one that opens the database is the master key.
    """

    path: Path
    protection: Protection

    @property
    def next(self) -> MasterKeyFile:
        """The file with the new key, while the key is being changed."""
        return MasterKeyFile(path=self.path.with_name(self.path.name + _NEXT), protection=self.protection)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Change the key while no other process does."""
        path = self.path.with_name(self.path.name + _LOCK)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EnvironmentFault(f"cannot open {path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def read(self) -> Secret:
        """Read the key.

        Raises:
            InputError: the file is missing, open to others, none, or protected in another way.
            IntegrityError: the passphrase is another, or the file was changed.
        """
        data = read_private(self.path)
        try:
            document = json.loads(data) if data.lstrip().startswith(b"{") else None
        except (ValueError, RecursionError):
            document = None
        match self.protection:
            case Plain():
                if document is not None:
                    raise self._other("sealed", "as it is", "say in the configuration what it is sealed under")
                return self._plain(data)
            case Passphrase() as passphrase:
                if document is None:
                    raise self._other("as it is", "sealed", "bannock cas rekey seals it")
                return open_with_passphrase(document, passphrase.read(), f"the master key file {self.path}")
            case Tpm() as tpm:
                if document is None:
                    raise self._other("as it is", "sealed by a TPM", "bannock cas rekey seals it")
                return tpm.open(document, f"the master key file {self.path}")
            case _:
                assert_never(self.protection)

    def write(self, key: Secret, random: Callable[[int], bytes]) -> None:
        """Write the key, on the disk when this returns.

        Raises:
            InputError: the passphrase cannot be read.
            EnvironmentFault: the file cannot be written.
        """
        match self.protection:
            case Plain():
                data = key.reveal().hex().encode("ascii")
            case Passphrase() as passphrase:
                data = canonical_json(seal_with_passphrase(key, passphrase.read(), random))
            case Tpm() as tpm:
                data = canonical_json(tpm.seal(key))
            case _:
                assert_never(self.protection)
        write_atomically(self.path, data + b"\n")

    def _plain(self, data: bytes) -> Secret:
        try:
            key = bytes.fromhex(data.decode("ascii"))
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise InputError(f"the master key file {self.path} does not hold {2 * KEY_BYTES} hexadecimal digits")
        return Secret(key)

    def _other(self, found: str, expected: str, hint: str) -> InputError:
        return InputError(
            f"the master key file {self.path} has the key {found}, expected it {expected}",
            hint=hint,
        )


def seal_with_passphrase(value: Secret, passphrase: Secret, random: Callable[[int], bytes]) -> dict[str, Any]:
    """Seal a value under a passphrase (Argon2id, RFC 9106)."""
    salt = random(_SALT_BYTES)
    costs = {"passes": _PASSES, "lanes": _LANES, "kib": _KIB}
    key = _derive(passphrase, salt, **costs)
    return {
        "format": FORMAT,
        "kind": "passphrase",
        "kdf": {"name": "argon2id", "salt": salt.hex(), **costs},
        "sealed": base64.b64encode(Sealer(key, random).seal(_PLACE, salt, value.reveal())).decode("ascii"),
    }


def open_with_passphrase(document: Any, passphrase: Secret, what: str) -> Secret:
    """Open what :func:`seal_with_passphrase` gives.

    Raises:
        InputError: it is anything else.
        IntegrityError: the passphrase is another one, or it was changed.
    """
    try:
        if (document["format"], document["kind"], document["kdf"]["name"]) != (FORMAT, "passphrase", "argon2id"):
            raise ValueError
        kdf = document["kdf"]
        salt, passes, lanes, kib = bytes.fromhex(kdf["salt"]), kdf["passes"], kdf["lanes"], kdf["kib"]
        for cost, most in ((passes, _PASSES_MAX), (lanes, _LANES_MAX), (kib, _KIB_MAX)):
            if type(cost) is not int or not 1 <= cost <= most:
                raise ValueError
        sealed = base64.b64decode(document["sealed"], validate=True)
        key = _derive(passphrase, salt, passes=passes, lanes=lanes, kib=kib)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise InputError(f"{what} is not one that is sealed under a passphrase") from None
    try:
        return Secret(Sealer(key, os.urandom).open(_PLACE, salt, sealed))
    except IntegrityError:
        raise IntegrityError(f"{what} is not opened by this passphrase, or was changed") from None


def _derive(passphrase: Secret, salt: bytes, *, passes: int, lanes: int, kib: int) -> Secret:
    function = Argon2id(salt=salt, length=KEY_BYTES, iterations=passes, lanes=lanes, memory_cost=kib)
    return Secret(function.derive(passphrase.reveal()))


def _from_descriptor(number: int) -> bytes:
    found = b""
    try:
        while len(found) <= _PASSPHRASE_BYTES_MAX and (data := os.read(number, _PASSPHRASE_BYTES_MAX + 1)):
            found += data
        os.close(number)
    except OSError as error:
        raise InputError(f"cannot read the passphrase from descriptor {number}: {error.strerror}") from error
    return found
