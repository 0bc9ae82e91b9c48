"""A whole encrypted run: encrypt, upload, create the session, run on a host, fetch, decrypt.

Plan, then apply. The client trusts itself and its CAS; the host and the transfer service are the attacker. What comes
back is opened in the state that the CAS knows, with the key that the client made, and in no other.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import (
    BannockError,
    InputError,
    family_of,
)
from bannock.execution.application import install
from bannock.execution.expected import expected_measurement
from bannock.execution.job import Job
from bannock.execution.plan import OWN_VARIABLES, Plan
from bannock.execution.transfer.client import TransferClient
from bannock.identity.difference import difference
from bannock.policy.parse import render_session
from bannock.remote.cas_client import create_session, volume_tag
from bannock.shield.pack import create_volume
from bannock.shield.scan import scan
from bannock.shield.unpack import extract_volume
from bannock.values import FSPF_KEY_BYTES, FspfKey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.execution.application import Application
    from bannock.execution.bundle_host import BundleHost
    from bannock.execution.job import Outcome
    from bannock.execution.progress import Progress
    from bannock.execution.services import Services
    from bannock.execution.transfer.client import Uploaded
    from bannock.identity.tree import MeasurementTree
    from bannock.net.tls import Identity
    from bannock.runtime.settings import Mount
    from bannock.shield.unpack import Extracted
    from bannock.values import FspfTag, Measurement

__all__ = ["Client", "Result", "plan_run"]

_SESSION_BYTES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who runs, and with what.

    Attributes:
        identity: creates the sessions.
        services: CAS, LAS and transfer service.
        progress: is told how far a run is.
        random: gives so many random bytes; keys come from it.
    """

    identity: Identity
    services: Services
    progress: Progress
    random: Callable[[int], bytes]

    def execute(self, plan: Plan, host: BundleHost) -> Result:
        """Apply a plan. Everything temporary is gone afterwards, whatever happens.

        Raises:
            DeniedError, IntegrityError, PeerError: the run was refused, or what came back does not hold.
            BannockError: something could not be had or done.
        """
        with tempfile.TemporaryDirectory(prefix="bannock-") as scratch, ExitStack() as uploads:
            return _Run(self, plan, Path(scratch), uploads).apply(host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a run came to.

    Attributes:
        expected: the measurement that the session asked for.
        outcome: what the host says.
        input_tag: state of the input volume.
        output_before, output_after: states of the output volume: as made by the client, and as the CAS knows it.
        extracted: what was decrypted.
    """

    expected: Measurement
    outcome: Outcome
    input_tag: FspfTag
    output_before: FspfTag
    output_after: FspfTag
    extracted: Extracted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Volume:
    directory: Path
    key: FspfKey
    tag: FspfTag


def plan_run(
    application: Application,
    *,
    host: str,
    input_directory: Path,
    output_directory: Path,
    variables: Mapping[str, str],
    mount: Mount,
    random: Callable[[int], bytes],
) -> Plan:
    """Decide what a run will be, and find what would stop it.

    Raises:
        InputError: the inputs cannot all be kept, the output is not a directory, or a variable is one of ours.
    """
    if not input_directory.is_dir():
        raise InputError(f"the input {input_directory} is not a directory")
    if output_directory.exists() and not output_directory.is_dir():
        raise InputError(f"the output {output_directory} is not a directory")
    if taken := sorted(set(variables) & set(OWN_VARIABLES)):
        raise InputError(f"{', '.join(taken)} is set by the run itself", hint="rename the variable in the template")
    return Plan(
        session=f"{application.name}-{random(_SESSION_BYTES).hex()}",
        application=application,
        host=host,
        input=input_directory,
        output=output_directory,
        scan=scan(input_directory),
        variables=dict(variables),
        mount=mount,
    )


class _Run:
    def __init__(self, client: Client, plan: Plan, scratch: Path, uploads: ExitStack) -> None:
        self._client = client
        self._plan = plan
        self._scratch = scratch
        self._uploads = uploads
        self._transfer = TransferClient(client.services.transfer)

    def apply(self, host: BundleHost) -> Result:
        application = self._plan.application
        reference = self._scratch / "reference"
        install(application, reference)
        expected = expected_measurement(application, reference)
        source = self._encrypt("input", self._plan.input, "encrypt")
        results = self._encrypt("output", None, "prepare outputs")
        # The session comes first: a template that the CAS refuses costs no upload.
        self._create_session(expected.root, source, results)
        job = self._job(self._upload(source, "input"), self._upload(results, "output"))
        outcome = host.perform(job, self._client.progress)
        if outcome.output is None:
            raise _refused(host.name, outcome, expected)
        self._forget_later(outcome.output)
        after = self._tag_of(application.output_volume)
        return Result(
            expected=expected.root,
            outcome=outcome,
            input_tag=source.tag,
            output_before=results.tag,
            output_after=after,
            extracted=self._decrypt(outcome.output, results.key, after),
        )

    def _encrypt(self, name: str, source: Path | None, title: str) -> _Volume:
        directory, key = self._scratch / name, FspfKey(self._client.random(FSPF_KEY_BYTES))
        with self._client.progress.stage(title, self._plan.scan.bytes if source else None) as stage:
            tag = create_volume(source, directory, key, observer=stage.advance)
        return _Volume(directory=directory, key=key, tag=tag)

    def _create_session(self, expected: Measurement, source: _Volume, results: _Volume) -> None:
        own = {
            "SESSION": self._plan.session,
            "MRENCLAVE": str(expected),
            "INPUT_FSPF_KEY": source.key.reveal_hex(),
            "INPUT_FSPF_TAG": str(source.tag),
            "OUTPUT_FSPF_KEY": results.key.reveal_hex(),
            "OUTPUT_FSPF_TAG": str(results.tag),
        }
        document = render_session(self._plan.application.template, variables={**self._plan.variables, **own})
        services = self._client.services
        create_session(services.cas, services.cas_key, self._client.identity, document)

    def _upload(self, volume: _Volume, name: str) -> Uploaded:
        with self._client.progress.stage(f"upload {name}") as stage:
            uploaded = self._transfer.upload(
                volume.directory, f"{self._plan.session}-{name}", observer=stage.advance, sized=stage.expect
            )
        self._forget_later(uploaded)
        return uploaded

    def _job(self, source: Uploaded, results: Uploaded) -> Job:
        services = self._client.services
        return Job(
            run=self._plan.session,
            application=self._plan.application,
            session=self._plan.session,
            transfer=services.transfer,
            input_url=source.url,
            output_url=results.url,
            cas=services.cas_enclave,
            cas_key=services.cas_key,
            las=services.las,
            mount=self._plan.mount,
        )

    def _tag_of(self, volume: str) -> FspfTag:
        services = self._client.services
        return volume_tag(services.cas, services.cas_key, self._client.identity, self._plan.session, volume)

    def _decrypt(self, output: Uploaded, key: FspfKey, tag: FspfTag) -> Extracted:
        fetched = self._scratch / "fetched"
        with self._client.progress.stage("download") as stage:
            self._transfer.download(output.url, fetched, observer=stage.advance, sized=stage.expect)
        with self._client.progress.stage("decrypt") as stage:
            return extract_volume(fetched, key, tag, self._plan.output, observer=stage.advance)

    def _forget_later(self, uploaded: Uploaded) -> None:
        """Have the transfer service delete a file when the run is over; it expires by itself if that fails."""

        def forget() -> None:
            try:
                self._transfer.delete(uploaded)
            except BannockError as error:
                self._client.progress.note(f"{uploaded.url} could not be deleted and will expire: {error}")

        self._uploads.callback(forget)


def _refused(host: str, outcome: Outcome, expected: MeasurementTree) -> BannockError:
    """Make the error that the runtime on a host ended with. Its words are the host's: shown, and not relied on."""
    tree = outcome.record.tree
    return family_of(outcome.exit_code)(
        f"the run on host {host} was broken off with exit code {outcome.exit_code}",
        reasons=[*outcome.record.error, *(difference(expected, tree) if tree is not None else ())],
    )
