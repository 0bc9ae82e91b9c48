"""A run before anything is done: decided, written down, printable. Nothing but the inputs is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.execution.image_application import OWN_VARIABLES, placeholders
from bannock.execution.runs.record import RunRecord, RunSecrets
from bannock.policy.parse import parse_session
from bannock.runtime.settings import Mount
from bannock.shield.scan import scan

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bannock.execution.image_application import ImageApplication
    from bannock.execution.services import ExternalCas
    from bannock.shield.scan import Scan

__all__ = ["ImageRunPlan", "ImageRunWishes", "plan_image_run"]

_NAME_BYTES: Final = 6
_SESSION_BYTES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRunWishes:
    """What a user wants of a run.

    Attributes:
        host: the alias of the host.
        input, output: directories of this machine, absolute.
        variables: of the session's template; they may be secrets.
        environment: what the container gets besides: host arguments of the session.
        sessions: documents of other sessions that the CAS has to have before.
        mount: how volumes come under the application.
        seconds: how long it may run; None: as long as it likes.
        transfer: the way of the volumes; empty for the connection to the host.
        cas: a CAS that runs elsewhere; None: the embedded one.
        las: of the host, as its containers reach it; empty for what the host says.
        las_here: whether an embedded LAS of this machine measures it.
        keep: whether an interruption leaves the run alone.
    """

    host: str
    input: Path
    output: Path
    variables: Mapping[str, str] = field(repr=False, default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    sessions: tuple[str, ...] = field(repr=False, default=())
    mount: Mount = Mount.AUTO
    seconds: float | None = None
    transfer: str = ""
    cas: ExternalCas | None = None
    las: str = ""
    las_here: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRunPlan:
    """A run that was decided on.

    Attributes:
        record: what will be written down of it.
        secrets: likewise, apart.
        application: what runs.
        scan: what the inputs are.
    """

    record: RunRecord
    secrets: RunSecrets
    application: ImageApplication
    scan: Scan

    def lines(self) -> list[str]:
        """Say what will be done, for people; values of variables are not shown, for they may be secrets."""
        record, application = self.record, self.application
        cas = f"{record.cas[0]}, key {record.cas[2]}" if record.cas else "embedded, reached by way of this machine"
        las = "embedded, on this machine" if record.las_here else record.las or "as the host has it"
        asked = "which the session asks for" if application.insists else "the session names its own, or none"
        return [
            f"run          {record.name}, session {record.session}",
            f"application  {application.title} from the image {application.reference} ({application.id})",
            f"  program    {application.program}: MRENCLAVE {application.tree.root}, {asked}",
            f"  variables  {', '.join(sorted(self.secrets.variables)) or 'none'}",
            f"host         {record.host}, volumes by {record.mount}",
            f"  for        {'as long as it takes' if record.seconds is None else f'{record.seconds:g} s at most'}",
            f"CAS          {cas}",
            f"LAS          {las}",
            f"transfer     {record.transfer or 'the connection to the host'}",
            f"input        {record.input}: {self.scan.files} entries, {self.scan.bytes} bytes",
            f"  encrypted here, read at {record.input_volume}",
            f"output       {record.output}",
            f"  decrypted here, written at {record.output_volume}",
        ]


def plan_image_run(
    application: ImageApplication, wishes: ImageRunWishes, *, now: dt.datetime, random: Callable[[int], bytes]
) -> ImageRunPlan:
    """Decide what a run will be, and find what would stop it.

    Raises:
        InputError: the inputs cannot all be kept, the output is not a directory, or a variable is one of ours.
        PolicySyntaxError: the template is not in the session language with these variables.
    """
    if not wishes.input.is_dir():
        raise InputError(f"the input {wishes.input} is not a directory")
    if wishes.output.exists() and not wishes.output.is_dir():
        raise InputError(f"the output {wishes.output} is not a directory")
    if wishes.output.resolve().is_relative_to(wishes.input.resolve()):
        raise InputError(f"the output {wishes.output} is in the input {wishes.input}", hint="put it elsewhere")
    if taken := sorted(set(wishes.variables) & set(OWN_VARIABLES)):
        raise InputError(f"{', '.join(taken)} is set by the run itself", hint="rename the variable in the template")
    name = f"{application.title}-{random(_NAME_BYTES).hex()}"
    variables = {**wishes.variables, **placeholders(application.reference), "SESSION": name}
    session = parse_session(application.template, variables=variables)
    for text in wishes.sessions:
        parse_session(text, variables=None)
    cas = wishes.cas
    record = RunRecord(
        name=name,
        made=now.isoformat(timespec="seconds"),
        host=wishes.host,
        application=application.reference,
        image=application.id,
        title=application.title,
        program=application.program,
        service=application.service,
        input_volume=application.input_volume,
        output_volume=application.output_volume,
        input=str(wishes.input),
        output=str(wishes.output),
        settings=dict(application.settings),
        environment=dict(wishes.environment),
        mount=wishes.mount.value,
        seconds=wishes.seconds,
        transfer=wishes.transfer,
        cas=() if cas is None else (str(cas.client), str(cas.enclave), str(cas.key)),
        las=wishes.las,
        las_here=wishes.las_here,
        keep=wishes.keep,
        session=session.name,
        expected=str(application.tree.root) if application.insists else "",
    )
    secrets = RunSecrets(
        template=application.template, variables=dict(wishes.variables), sessions=tuple(wishes.sessions)
    )
    return ImageRunPlan(record=record, secrets=secrets, application=application, scan=scan(wishes.input))
