"""A run from its plan to decrypted outputs, step by step; each step is written down, so a run goes on after any end.

The client trusts itself and its CAS. Host, engine, container and whatever carries volumes are the attacker. What comes
back is opened with the key that the client made, in the state that the CAS knows, and in no other.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import (
    BannockError,
    ConflictError,
    EnvironmentFault,
    InputError,
    IntegrityError,
    NotFoundError,
    PeerError,
    family_of,
)
from bannock.execution.container_job import INPUT, OUTPUT, PLACE, ContainerJob
from bannock.execution.job import harmless
from bannock.execution.runs.environment import LAS_MOUNT, container_environment
from bannock.execution.runs.parties import result_of
from bannock.execution.runs.record import State
from bannock.execution.runs.removal import backend_of, remove_run
from bannock.execution.runs.watch import Watch
from bannock.execution.transfer.backends import shared_directory
from bannock.execution.transfer.placed import PlacedBackend
from bannock.execution.transfer.volumes import receive_volume, send_volume
from bannock.images.engine import Engine
from bannock.images.references import ImageName, NamedImage, RegistryImage, parse_reference
from bannock.net.address import Address
from bannock.policy.parse import parse_session, render_session
from bannock.remote.cas_api import CasApi, tried_again
from bannock.remote.cas_client import volume_tag
from bannock.values import FSPF_KEY_BYTES, FspfKey, FspfTag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from bannock.execution.hosts.machine import Machine
    from bannock.execution.runs.book import OpenRun
    from bannock.execution.runs.container import RunContainer
    from bannock.execution.runs.parties import RunClient, RunResult
    from bannock.execution.transfer.interface import Backend, Parcel
    from bannock.identity.tree import MeasurementTree
    from bannock.images.model import Image
    from bannock.shield.unpack import Extracted

__all__ = ["Course"]

_CAS_RETRIES: Final = 4
#: What timeout(1) ends with.
_TIMED_OUT: Final = 124
_SENT: Final = "bannock.local/run"
#: How often volumes are sent or fetched in all, where the connection is lost meanwhile.
_TRIES: Final = 3
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
#: Where the output is while nobody has taken it from there.
_PLACED: Final[Parcel] = {"kind": "placed", "path": str(PLACE / OUTPUT)}
_NO_MEASUREMENT: Final = "0" * 64


class Course:
    """A run that this process carries on.

    Args:
        run: what is known of it; its lock is held.
        client: who runs it.
        machine: its host, connected.
        container: its container there.
        image: opens the image, where the host lacks it.
        tree: what was measured, to say what differs.
        sending: held while the image is sent.
    """

    def __init__(
        self,
        run: OpenRun,
        client: RunClient,
        machine: Machine,
        container: RunContainer,
        *,
        image: Callable[[], Image] | None = None,
        tree: MeasurementTree | None = None,
        sending: AbstractContextManager[object] | None = None,
    ) -> None:
        self._run = run
        self._client = client
        self._machine = machine
        self._container = container
        self._image = image
        self._tree = tree
        self._sending = sending or nullcontext()

    def finish(self) -> RunResult:
        """Carry the run on to its end, and leave nothing of it.

        Raises:
            DeniedError, IntegrityError, PeerError: the run was refused, or what came back does not hold.
            BannockError: something could not be had or done; the run is where its record says.
        """
        if self._run.record.state is State.CREATED:
            # Something may be there that was sealed under keys that are gone.
            self._run.change(state=State.PLANNED)
        if State.UPLOADED.rank <= self._run.record.state.rank < State.ENDED.rank:
            self._cas_there(Address.parse(self._run.record.cas_there, default_port=0))
        steps: Mapping[State, Callable[[], None]] = {
            State.PLANNED: self._create,
            State.CREATED: self._upload,
            State.UPLOADED: self._make_session,
            State.SESSION: self._start,
            State.STARTED: self._wait,
            State.ENDED: self._fetch,
        }
        while (state := self._run.record.state) in steps:
            steps[state]()
        record = self._run.record
        try:
            remove_run(self._run, self._client.environment, self._container)
        except BannockError as error:
            self._client.progress.note(f"not all of run {record.name} could be removed: {error}")
            self._client.progress.note(f"bannock runs cancel {record.name} tries again")
        if record.failure:
            raise family_of(record.exit_code or 0)(
                f"the run on host {self._machine.name} was broken off", reasons=record.failure,
                hint=f"what the CAS had confirmed by then is in {record.output}",
            )  # fmt: skip
        return result_of(record)

    @property
    def _backend(self) -> Backend:
        return backend_of(self._run.record, self._client.environment, self._container)

    def _create(self) -> None:
        record, machine = self._run.record, self._machine
        with self._client.progress.stage("prepare the host"):
            image = self._provide_image()
            there = self._cas_there()
            self._run.change(image=image, cas_there=str(there))
            binds = [f"{self._run.directory / 'las'}:{LAS_MOUNT}"] if record.las_here else []
            if (shared := shared_directory(record.transfer)) is not None:
                binds.append(f"{shared}:{shared}")
            fuse = record.mount != "memory" and machine.run("test", "-c", "/dev/fuse").code == 0
            environment = container_environment(
                self._run.record, cas=there, key=self._client.cas.key, las=record.las or machine.las,
                embedded=self._client.cas.embedded,
            )  # fmt: skip
            self._container.create(image, environment, binds, fuse=fuse)
        self._run.change(state=State.CREATED)

    def _provide_image(self) -> str:
        """Have the host's engine have the image, and return what it calls it."""
        engine, wanted = Engine(self._machine.engine), self._run.record.image
        if engine.has(wanted):
            return wanted
        if self._client.pull:
            with self._client.progress.stage("have the host fetch the image"):
                engine.pull(_in_registry(self._run.record.application))
            if engine.has(wanted):
                return wanted
            raise NotFoundError(
                f"host {self._machine.name} fetched another image than was measured here, {wanted}",
                hint="name the image by its digest, or leave out --pull: then it is sent from here",
            )
        if self._image is None:
            raise NotFoundError(
                f"host {self._machine.name} does not have the image of this run any more",
                hint="cancel the run, and execute it again",
            )
        with self._sending, self._client.progress.stage("send the image"):
            if engine.has(wanted):
                return wanted
            image = self._image()
            name = ImageName.parse(f"{_SENT}:{wanted.removeprefix('sha256:')[:32]}")
            _, there = engine.store(image, name)
        return there

    def _cas_there(self, at: Address | None = None) -> Address:
        """Have the host reach the CAS, and say where: there again, where a container knows it already."""
        cas = self._client.cas
        if cas.embedded or cas.enclave.host in _LOOPBACK:
            return self._machine.reach(cas.enclave, at)
        return cas.enclave

    def _upload(self) -> None:
        """Upload both volumes; where the connection is lost meanwhile, all of it under new keys."""
        for left in reversed(range(_TRIES)):
            try:
                self._upload_once()
            except EnvironmentFault as error:
                if not left:
                    raise
                self._client.progress.note(f"{error}; trying again")
                # Waits until the host is there again.
                self._container.patiently(self._container.state, self._client.patience)
                self._create()
            else:
                return

    def _upload_once(self) -> None:
        run, client, backend = self._run, self._client, self._backend
        backend.sweep(run.record.name)
        keys = [FspfKey(client.random(FSPF_KEY_BYTES)) for _ in range(2)]
        scratch = run.directory / "scratch"
        sent: list[tuple[FspfTag, Parcel]] = []
        for what, source, key in ((INPUT, Path(run.record.input), keys[0]), (OUTPUT, None, keys[1])):
            with (
                client.progress.stage(f"encrypt and upload {what}") as stage,
                backend.sender(run.record.name, what) as to,
            ):
                sent.append(send_volume(source, key, to, scratch=scratch, observer=stage.advance))
        run.change_secrets(input_key=keys[0], output_key=keys[1])
        (input_tag, source_parcel), (output_tag, results_parcel) = sent
        run.change(
            state=State.UPLOADED, source=source_parcel, results=results_parcel,
            input_tag=str(input_tag), output_tag=str(output_tag),
        )  # fmt: skip

    def _make_session(self) -> None:
        record, secrets, cas = self._run.record, self._run.secrets, self._client.cas
        if secrets.input_key is None or secrets.output_key is None:
            raise InputError(f"the keys of run {record.name} are not there any more", hint="cancel the run")
        own = {
            "SESSION": record.name,
            "MRENCLAVE": record.expected or _NO_MEASUREMENT,
            "IMAGE": record.application,
            "INPUT_FSPF_KEY": secrets.input_key.reveal_hex(),
            "INPUT_FSPF_TAG": record.input_tag,
            "OUTPUT_FSPF_KEY": secrets.output_key.reveal_hex(),
            "OUTPUT_FSPF_TAG": record.output_tag,
        }
        document = render_session(secrets.template, variables={**secrets.variables, **own})
        with (
            self._client.progress.stage("create the session"),
            CasApi(cas.client, self._client.identity, expected=cas.key, retries=_CAS_RETRIES) as api,
        ):
            for text in secrets.sessions:
                _have_session(api, text)
            _have_session(api, document)
        self._run.change(state=State.SESSION)

    def _start(self) -> None:
        record, backend = self._run.record, self._backend
        job = ContainerJob(
            run=record.name,
            program=record.program,
            input=None if backend.places else record.source,
            output=None if backend.places else record.results,
            grant=None if backend.places else backend.grant(record.name, "result"),
            seconds=record.seconds,
        )
        self._container.put_job(job)
        self._run.change(state=State.STARTED)

    def _wait(self) -> None:
        """Wait for the end, and decide what it means: outputs that have to be fetched, or an error."""
        record, host, places = self._run.record, self._machine.name, self._backend.places
        with self._client.progress.stage(f"run {record.title}"):
            end = Watch(self._run, self._client, self._container, host=host, places=places).until_end(self._tree)
        code = end.outcome.exit_code
        if end.failure and self._tag() == FspfTag.from_hex(record.output_tag):
            # Nothing was confirmed, so there is nothing to lose.
            raise family_of(code)(f"the run on host {host} was broken off with exit code {code}", reasons=end.failure)
        self._run.change(
            state=State.ENDED,
            exit_code=_TIMED_OUT if end.outcome.timed_out else code,
            timed_out=end.outcome.timed_out,
            outcome=end.outcome.pushed or _PLACED,
            failure=end.failure,
            log=harmless(end.outcome.log),
            platform=harmless(end.record.platform),
            mounted=harmless(end.record.mount),
        )

    def _tag(self) -> FspfTag:
        cas, record = self._client.cas, self._run.record

        def ask() -> FspfTag:
            return volume_tag(cas.client, cas.key, self._client.identity, record.session, record.output_volume)

        return tried_again(ask, _CAS_RETRIES)

    def _fetch(self) -> None:
        record, key, client = self._run.record, self._run.secrets.output_key, self._client
        if record.outcome is None or key is None:
            raise InputError(f"the record of run {record.name} does not say where its outputs are")
        tag, parcel = self._tag(), record.outcome
        self._run.change(output_after=str(tag))
        try:
            extracted = self._receive(self._backend, parcel, key, tag)
        except (NotFoundError, PeerError, IntegrityError) as error:
            if self._backend.places:
                raise
            # What a service lost or changed, the container still has.
            client.progress.note(f"{error}; taking the outputs from the host itself")
            extracted = self._receive(PlacedBackend(self._container), _PLACED, key, tag)
        self._run.change(state=State.FETCHED, decrypted_files=extracted.files, decrypted_bytes=extracted.bytes)

    def _receive(self, backend: Backend, parcel: Parcel, key: FspfKey, tag: FspfTag) -> Extracted:
        record, client = self._run.record, self._client
        with client.progress.stage("download and decrypt") as stage:
            for _ in range(_TRIES - 1):
                try:
                    return receive_volume(
                        backend, record.name, parcel, key, tag, Path(record.output),
                        observer=stage.advance, sized=stage.expect,
                    )  # fmt: skip
                except EnvironmentFault as error:
                    client.progress.note(f"{error}; trying again")
                    self._container.patiently(self._container.state, client.patience)
            return receive_volume(
                backend, record.name, parcel, key, tag, Path(record.output),
                observer=stage.advance, sized=stage.expect,
            )  # fmt: skip


def _in_registry(reference: str) -> ImageName:
    """Return the name that a registry has for an image."""
    match parse_reference(reference):
        case NamedImage(name) | RegistryImage(name):
            return name
        case _:
            raise InputError(
                f"{reference} is of this machine, so no host can fetch it",
                hint="leave out --pull: then it is sent from here",
            )


def _have_session(api: CasApi, text: str) -> None:
    """Create a session; where this very one is there already, nothing happens."""
    session = parse_session(text, variables=None)
    try:
        api.post_session(text, digest=session.digest, name=session.name)
    except ConflictError:
        if api.read_session(session.name).digest != session.digest:
            raise
