"""What the command ``scone`` remembers: its identity, the CASes that it attested, and what they answered last.

One JSON file, ``~/.cas/config.json``. Its key ``identity`` is the PEM private key with its certificate, which scripts
read. Every change is made under a lock and written whole. Keys that are not known here are kept as they are.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bannock.cli.chosen import config_in_force
from bannock.errors import EnvironmentFault, InputError
from bannock.files import read_private, write_atomically
from bannock.net.tls import Identity
from bannock.values import KeyHash, Secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["KnownCas", "State", "StateFile", "state_file"]

_FORMAT: Final = 1
_VARIABLE: Final = "SCONE_CLI_CONFIG"
_KNOWN: Final = frozenset({"format", "identity", "session_signing_key", "default_cas", "cas", "receipts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCas:
    """A CAS that was attested, as it is kept.

    Attributes:
        name: what the user called it.
        host, port: where its client interface is.
        key_hash: who it is: the hash of the key that every later connection has to prove, in base58.
        certificate: of that key, PEM.
        software_key_hash, software_certificate: of the key that its software has, which backups share.
        session_encryption_key: what sessions are encrypted to, PEM.
        measurement, signer: of the enclave that it was.
        attested: when, as an ISO 8601 date and time.
        platform: what protected it then.
    """

    name: str
    host: str
    port: int
    key_hash: str
    certificate: str = ""
    software_key_hash: str = ""
    software_certificate: str = ""
    session_encryption_key: str = ""
    measurement: str = ""
    signer: str = ""
    attested: str = ""
    platform: str = ""

    @property
    def key(self) -> KeyHash:
        """The hash of its key, as a value."""
        return KeyHash.from_base58(self.key_hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that is remembered.

    Attributes:
        identity: PEM private key and certificate of TLS; None before it is needed for the first time.
        session_signing_key: PEM private key; likewise.
        default_cas: the name of one of the CASes.
        cas: the CASes, by name.
        receipts: key hash of a CAS → session → what it answered last (``generation`` and ``hash``).
        rest: keys that are not known here.
    """

    identity: Secret | None = None
    session_signing_key: Secret | None = None
    default_cas: str | None = None
    cas: Mapping[str, KnownCas] = field(default_factory=dict)
    receipts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)

    def with_cas(self, known: KnownCas) -> State:
        """Remember a CAS; the first one becomes the default."""
        return replace(self, cas={**self.cas, known.name: known}, default_cas=self.default_cas or known.name)

    def find_cas(self, name: str | None) -> KnownCas:
        """Find a CAS by the name that it was attested by, or its ``HOST:PORT``; the default one for None.

        Raises:
            InputError: there is none.
        """
        if name is None:
            if self.default_cas is None:
                raise InputError("no CAS has been attested yet", hint="attest one: scone cas attest ADDRESS")
            name = self.default_cas
        plain = name.removeprefix("https://").rstrip("/")
        for known in self.cas.values():
            if plain in (known.name, known.host, f"{known.host}:{known.port}"):
                return known
        raise InputError(
            f"the CAS {name[:256]} has not been attested; attested: {', '.join(self.cas) or 'none'}",
            hint=f"attest it first: scone cas attest {name[:256]}",
        )

    def to_json(self) -> dict[str, Any]:
        """Give the document that is kept."""
        return {
            "format": _FORMAT,
            "identity": _text(self.identity),
            "session_signing_key": _text(self.session_signing_key),
            "default_cas": self.default_cas,
            "cas": {name: asdict(known) for name, known in self.cas.items()},
            "receipts": self.receipts,
            **self.rest,
        }

    @classmethod
    def from_json(cls, document: Any) -> State:
        """Parse such a document.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it is none.
        """
        if not isinstance(document, dict) or document.get("format") != _FORMAT:
            raise ValueError("format")
        cas = {name: _known(entry) for name, entry in document["cas"].items()}
        receipts = document.get("receipts", {})
        for entry in (entry for sessions in receipts.values() for entry in sessions.values()):
            _require(entry["generation"], int)
            _require(entry["hash"], str)
        return cls(
            identity=_secret(document["identity"]),
            session_signing_key=_secret(document["session_signing_key"]),
            default_cas=document["default_cas"] if document["default_cas"] in cas else None,
            cas=cas,
            receipts=receipts,
            rest={key: value for key, value in document.items() if key not in _KNOWN},
        )


class StateFile:
    """The file in which the state is kept; several commands may use it at the same time."""

    def __init__(self, path: Path) -> None:
        # A link stays one: what is replaced is the file that it leads to.
        self.path: Final = path.expanduser().resolve()

    def read(self) -> State:
        """Give the state; an empty one where there is no file.

        Raises:
            InputError: the file is open to others, or not one of ours.
        """
        if not self.path.exists():
            return State()
        data = read_private(self.path)
        try:
            return State.from_json(json.loads(data))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, InputError):
            raise InputError(
                f"{self.path} is not a configuration file of this command",
                hint=f"name another one: --config FILE, or {_VARIABLE}=FILE",
            ) from None

    def change(self, step: Callable[[State], State]) -> State:
        """Replace the state by what a function makes of it, and give that.

        Raises:
            InputError: as :meth:`read`.
            EnvironmentFault: the file cannot be written.
        """
        with self._locked():
            before = self.read()
            after = step(before)
            if after != before:
                write_atomically(self.path, json.dumps(after.to_json(), indent=2).encode("utf-8") + b"\n")
            return after

    def identity(self) -> Identity:
        """Give the identity of this user, which is made when it is asked for the first time.

        Raises:
            InputError: as :meth:`read`.
            EnvironmentFault: as :meth:`change`.
        """
        secret = self.read().identity or self.change(_with_identity).identity
        assert secret is not None  # noqa: S101 - the step has just made it
        return Identity.from_pem(secret.reveal())

    def signing_key(self) -> Ed25519PrivateKey:
        """Give the key that this user signs sessions with, which is made when it is asked for the first time.

        Raises:
            InputError: as :meth:`read`; it is no Ed25519 key.
            EnvironmentFault: as :meth:`change`.
        """
        secret = self.read().session_signing_key or self.change(_with_signing_key).session_signing_key
        assert secret is not None  # noqa: S101 - the step has just made it
        try:
            key = serialization.load_pem_private_key(secret.reveal(), password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise InputError(f"the session signing key in {self.path} is not an Ed25519 key in PEM")
        return key

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who changes the file; the lock is that of its directory, so that it leaves nothing."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise EnvironmentFault(f"cannot use the directory {self.path.parent}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def state_file(environment: Mapping[str, str]) -> StateFile:
    """Give the file that this command uses: ``--config``, ``SCONE_CLI_CONFIG``, or ``~/.cas/config.json``."""
    chosen = config_in_force()
    if chosen is None:
        named = environment.get(_VARIABLE)
        chosen = Path(named) if named else Path.home() / ".cas" / "config.json"
    return StateFile(chosen)


def _with_identity(state: State) -> State:
    return state if state.identity else replace(state, identity=Identity.generate("scone CLI", names=()).to_pem())


def _with_signing_key(state: State) -> State:
    if state.session_signing_key:
        return state
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return replace(state, session_signing_key=Secret(pem))


def _known(entry: dict[str, Any]) -> KnownCas:
    known = KnownCas(**entry)
    for name, value in asdict(known).items():
        _require(value, int if name == "port" else str)
    KeyHash.from_base58(known.key_hash)
    return known


def _require(value: object, kind: type) -> None:
    if type(value) is not kind:
        raise TypeError(kind.__name__)


def _text(secret: Secret | None) -> str | None:
    return None if secret is None else secret.reveal().decode("ascii")


def _secret(text: str | None) -> Secret | None:
    return None if text is None else Secret(str(text).encode("ascii"))
