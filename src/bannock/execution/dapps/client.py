"""The two halves of a dapp's user: encrypt and send, and, when somebody has run it, open what came of it.

Nobody has to be online between the two: keys are in the user's configuration and at the CAS, which keeps the state of
the outputs.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from bannock.errors import InputError, NotFoundError
from bannock.execution.dapps.single_file import send_file
from bannock.execution.dapps.zipped import INPUTS, OUTPUTS, OUTPUTS_FILE, VolumesZip, unzip_volume
from bannock.execution.image_application import placeholders
from bannock.files import private_directory, read_private, write_atomically
from bannock.net.address import Address
from bannock.policy.parse import parse_session, render_session
from bannock.remote.cas_client import create_session, volume_tag
from bannock.shield.outgoing import pass_on
from bannock.shield.unpack import extract_volume
from bannock.values import FSPF_KEY_BYTES, FspfKey, FspfTag, KeyHash

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.execution.image_application import ImageApplication
    from bannock.execution.services import ExternalCas
    from bannock.execution.transfer.web import Upload
    from bannock.net.tls import Identity
    from bannock.shield.unpack import Extracted

__all__ = ["Pushed", "PushedBook", "Pusher", "open_outputs"]

_SESSION_DIGITS: Final = 26
_SENT: Final = "scone-upload.zip"
_ENCLAVE_PORT: Final = 18765


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What was sent, as its user keeps it; secret, since it has the key of the outputs.

    Attributes:
        session: its name.
        service: of the session.
        volume: of the session that gets the outputs.
        cas: client interface of the CAS.
        cas_enclave: its enclave interface.
        cas_key: its key.
        output_key: of the volume.
        output_tag: the state that it was sent in.
        url: where it was sent.
    """

    session: str
    service: str
    volume: str
    cas: Address
    cas_enclave: Address
    cas_key: KeyHash
    output_key: FspfKey = field(repr=False)
    output_tag: FspfTag
    url: str = field(repr=False)

    @property
    def command(self) -> str:
        """The arguments that the application's container is started with."""
        enclave = self.cas_enclave
        cas = enclave.host if enclave.port == _ENCLAVE_PORT else str(enclave)
        return f"--sessionID {self.session}/{self.service} --secretManagementService {cas} --url {self.url}"

    def to_json(self) -> bytes:
        """Write it."""
        document = {
            "session": self.session,
            "service": self.service,
            "volume": self.volume,
            "cas": str(self.cas),
            "cas_enclave": str(self.cas_enclave),
            "cas_key": str(self.cas_key),
            "output_key": self.output_key.reveal_hex(),
            "output_tag": str(self.output_tag),
            "url": self.url,
        }
        return json.dumps(document, indent=2).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read it.

        Raises:
            InputError: it is none.
        """
        try:
            found: dict[str, Any] = json.loads(data)
            texts = {name: str(found[name]) for name in ("session", "service", "volume", "url")}
            return cls(
                **texts,
                cas=Address.parse(str(found["cas"]), default_port=0),
                cas_enclave=Address.parse(str(found["cas_enclave"]), default_port=0),
                cas_key=KeyHash.from_base58(str(found["cas_key"])),
                output_key=FspfKey.from_hex(str(found["output_key"])),
                output_tag=FspfTag.from_hex(str(found["output_tag"])),
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError("a record of what was sent is damaged") from error


class PushedBook:
    """What was sent, in the directory of the configuration: a file for each, closed to others."""

    def __init__(self, conf: Path) -> None:
        self._directory = conf / "pushed"

    def keep(self, pushed: Pushed) -> None:
        """Keep one."""
        write_atomically(private_directory(self._directory) / f"{pushed.session}.json", pushed.to_json())

    def find(self, session: str | None) -> Pushed:
        """Return one by its session, with or without the service; without a session, the newest.

        Raises:
            NotFoundError: there is none.
            InputError: others can read it.
        """
        if session is None:
            there = sorted(self._directory.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            path = there[-1] if there else None
        else:
            name = session.partition("/")[0]
            path = self._directory / f"{name}.json" if name.isalnum() else None
        if path is None or not path.exists():
            raise NotFoundError(
                f"nothing was sent from {self._directory.parent}" + (f" for session {session}" if session else ""),
                hint="use the directory of the configuration that encryptedpush has used (--conf)",
            )
        return Pushed.from_json(read_private(path))

    def forget(self, pushed: Pushed) -> None:
        """Remove one."""
        (self._directory / f"{pushed.session}.json").unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pusher:
    """Who sends.

    Attributes:
        identity: creates the session.
        cas: keeps it.
        book: keeps the keys.
        random: gives so many random bytes.
    """

    identity: Identity
    cas: ExternalCas
    book: PushedBook
    random: Callable[[int], bytes]

    def push(
        self,
        application: ImageApplication,
        source: Path,
        service: str,
        *,
        variables: Mapping[str, str],
        sessions: tuple[str, ...] = (),
        verified: bool = True,
        observer: Callable[[int], None] = lambda _: None,
    ) -> Pushed:
        """Encrypt and send a directory and an empty volume for the outputs, and make the session.

        Args:
            application: that will run on it.
            source: what goes into the inputs.
            service: a transfer service, by its URL.
            variables: of the template of the session.
            sessions: documents that the CAS has to have before.
            verified: whether the transfer service has to prove who it is.
            observer: learns how many bytes were encrypted since it was called last.

        Raises:
            InputError: something in the source cannot be kept.
            PolicySyntaxError: the template is not in the session language with these variables.
            BannockError: transfer service or CAS do not take their part.
        """
        name = str(int.from_bytes(self.random(11), "big")).zfill(_SESSION_DIGITS)
        known = {**variables, **placeholders(application.reference), "SESSION": name}
        parse_session(application.template, variables=known)
        for document in sessions:
            self._create(document)
        keys = {volume: FspfKey(self.random(FSPF_KEY_BYTES)) for volume in (INPUTS, OUTPUTS)}
        tags: dict[str, FspfTag] = {}

        def write(sent: Upload) -> None:
            with tempfile.TemporaryDirectory(prefix="bannock-") as scratch, VolumesZip(sent.write) as archive:
                for volume, what in ((INPUTS, source), (OUTPUTS, None)):
                    tags[volume] = pass_on(
                        what, keys[volume], archive.outlet(volume), scratch=Path(scratch), observer=observer
                    )

        url = send_file(service, _SENT, write, verified=verified)
        pushed = Pushed(
            session=name,
            service=application.service,
            volume=application.output_volume,
            cas=self.cas.client,
            cas_enclave=self.cas.enclave,
            cas_key=self.cas.key,
            output_key=keys[OUTPUTS],
            output_tag=tags[OUTPUTS],
            url=url,
        )
        # Before the session is there: nobody runs it before this is printed, and its key is not to be lost.
        self.book.keep(pushed)
        values = {
            "MRENCLAVE": str(application.tree.root),
            "INPUT_FSPF_KEY": keys[INPUTS].reveal_hex(),
            "INPUT_FSPF_TAG": str(tags[INPUTS]),
            "OUTPUT_FSPF_KEY": keys[OUTPUTS].reveal_hex(),
            "OUTPUT_FSPF_TAG": str(tags[OUTPUTS]),
        }
        try:
            self._create(render_session(application.template, variables={**known, **values}))
        except BaseException:
            self.book.forget(pushed)
            raise
        return pushed

    def _create(self, document: str) -> None:
        create_session(self.cas.client, self.cas.key, self.identity, document)


def open_outputs(
    pushed: Pushed, directory: Path, target: Path, identity: Identity, *, observer: Callable[[int], None]
) -> tuple[Extracted, bool]:
    """Decrypt what came of a run, in the state that the CAS knows.

    Args:
        pushed: what was sent.
        directory: with the file that the run gave, or with what a worker made of it.
        target: where it is decrypted into.
        identity: who has sent it.
        observer: learns how many bytes were decrypted since it was called last.

    Returns:
        What was decrypted; and whether the CAS knows of a change.

    Raises:
        NotFoundError: there is no such file.
        RollbackError, IntegrityError: it is not what the application has written, or not all of it.
    """
    tag = volume_tag(pushed.cas, pushed.cas_key, identity, pushed.session, pushed.volume)
    with tempfile.TemporaryDirectory(prefix="bannock-") as name:
        scratch = Path(name)
        unzip_volume(_found(directory, scratch), OUTPUTS, scratch / OUTPUTS)
        extracted = extract_volume(scratch / OUTPUTS, pushed.output_key, tag, target, observer=observer)
    return extracted, tag != pushed.output_tag


def _found(directory: Path, scratch: Path) -> Path:
    """Find the file: by its name, or within a file that has all results of a task."""
    there = [path for path in sorted(directory.rglob("*.zip")) if path.is_file()] if directory.is_dir() else []
    named = [path for path in there if path.name == OUTPUTS_FILE]
    if len(named) == 1:
        return named[0]
    for path in there:
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                if any(entry.startswith(f"{OUTPUTS}/") for entry in names):
                    return path
                if OUTPUTS_FILE in names:
                    return Path(archive.extract(OUTPUTS_FILE, scratch))
        except zipfile.BadZipFile:
            continue
    raise NotFoundError(
        f"there is no {OUTPUTS_FILE} in {directory}",
        hint="fetch what the run has printed: curl -L --output DIRECTORY/encryptedOutputFiles.zip URL",
    )
