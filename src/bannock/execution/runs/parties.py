"""Who runs, and what a run came to. Values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.shield.unpack import Extracted
from bannock.values import FspfTag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bannock.execution.progress import Progress
    from bannock.execution.runs.record import RunRecord
    from bannock.execution.services import CasAccess
    from bannock.net.tls import Identity

__all__ = ["RunClient", "RunResult", "result_of"]

#: For so long a host may be away while a run waits for it.
_PATIENCE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClient:
    """Who runs, and with what.

    Attributes:
        identity: creates the sessions.
        cas: keeps them.
        progress: is told how far a run is.
        random: gives so many random bytes; keys come from it.
        environment: with credentials for transfer services.
        check: is called now and then; raises what is to end a run, as an interruption does.
        patience: for how many seconds a host may be away.
        pull: whether hosts fetch images that they lack from registries themselves.
    """

    identity: Identity
    cas: CasAccess
    progress: Progress
    random: Callable[[int], bytes]
    environment: Mapping[str, str]
    check: Callable[[], None] = lambda: None
    patience: float = _PATIENCE_SECONDS
    pull: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run came to.

    Attributes:
        run, session, host: its name, that of its session, and where it was.
        expected: the measurement that the session asked for; empty where it did not ask for one of the client's.
        exit_code: of the program.
        timed_out: whether it was ended because its time was over.
        log: the last of what it and the runtime wrote, by the host's word.
        platform, mount: what protected it, and how volumes came under it, by the host's word.
        input_tag: state of the input volume.
        output_before, output_after: states of the output volume: as made by the client, and as the CAS knows it.
        extracted: what was decrypted.
    """

    run: str
    session: str
    host: str
    expected: str
    exit_code: int
    timed_out: bool
    log: str
    platform: str
    mount: str
    input_tag: FspfTag
    output_before: FspfTag
    output_after: FspfTag
    extracted: Extracted


def result_of(record: RunRecord) -> RunResult:
    """Return what a run came to whose outputs are here."""
    return RunResult(
        run=record.name,
        session=record.session,
        host=record.host,
        expected=record.expected,
        exit_code=record.exit_code or 0,
        timed_out=record.timed_out,
        log=record.log,
        platform=record.platform,
        mount=record.mounted,
        input_tag=FspfTag.from_hex(record.input_tag),
        output_before=FspfTag.from_hex(record.output_tag),
        output_after=FspfTag.from_hex(record.output_after),
        extracted=Extracted(files=record.decrypted_files, bytes=record.decrypted_bytes),
    )
