"""The command ``sconify_image``: a protected image, and its session, from a native image."""

from __future__ import annotations

import datetime as dt
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.cas_options import warn
from bannock.cli.command import Command
from bannock.cli.sconify_chart import chart_of, write_chart
from bannock.cli.sconify_options import parse
from bannock.cli.sconify_trace import with_traced
from bannock.cli.sconify_upload import ensure_attested, upload
from bannock.cli.signer_options import signing_key
from bannock.files import write_atomically
from bannock.images.layer import cached_layer
from bannock.images.places import Places
from bannock.images.sconify.cache import SealCache, cache_directory
from bannock.images.sconify.conversion import Tools, convert
from bannock.images.sconify.plan import plan_image
from bannock.images.sconify.session import TEMPLATE, session_text
from bannock.policy.parse import parse_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.charts.chart import Chart
    from bannock.cli.sconify_options import Request
    from bannock.images.sconify.conversion import Converted
    from bannock.images.sconify.options import SconifyOptions

__all__ = ["COMMAND", "entry", "main", "run"]

_NAME: Final = "sconify_image"
_PURPOSE: Final = "Make a protected image of a native one, and the session for it."
#: Where scripts of the original have a volume to get the session by.
_RESOURCES: Final = Path("/build-resources")

COMMAND: Final = Command(
    name=_NAME,
    purpose=_PURPOSE,
    verbs={(): (__name__, "make a protected image of a native one, and its session")},
    examples="",
)


def entry() -> NoReturn:
    """Be the console script."""
    COMMAND.enter()


def main(arguments: Sequence[str]) -> int:
    """Parse, convert, store, upload, print the name of the session."""
    return run(parse(_NAME, arguments, os.environ, iexec=False))


def run(request: Request) -> int:
    """Do what a command line asks for.

    Raises:
        BannockError: it cannot be done.
    """
    if request.sconefile is not None:
        sys.stdout.write(request.sconefile)
        return 0
    if request.parsed.no_color:
        os.environ["NO_COLOR"] = "1"
    options = request.options
    # Before anything is made: names and parameters may be wrong.
    _chart(request, options)
    if request.upload and not request.dry_run:
        options = replace(options, cas_key=ensure_attested(request.parsed))
    signer = None if request.signer is None else signing_key(request.signer)
    cache = cache_directory(os.environ)
    with Places.prepared(cache=cache) as places:
        image = places.open(request.source)
        options = with_traced(request, options, image, places)
        base = None if request.base is None else places.open(request.base)
        if request.dry_run:
            plan = plan_image(image, options, base)
            _tell("would encrypt", plan.directories)
            return 0
        runtime = cached_layer()
        layer = places.layer_from(runtime.path, digest=runtime.digest, size=runtime.size, diff_id=runtime.diff_id)
        tools = Tools(
            scratch=places.scratch,
            cache=SealCache(cache / "sealed"),
            runtime=layer,
            signer=signer,
            today=dt.datetime.now(dt.UTC).date(),
        )
        converted = convert(image, options, tools, name=request.target, base=base)
        text = session_text(options, converted.started, request.hooks, request.template or TEMPLATE)
        session = parse_session(text, variables=None)
        _report(request, converted)
        places.store(converted.image, request.target)
        if request.push and "://" not in request.target:
            places.store(converted.image, f"docker://{request.target}")
    _keep(request, text, secret=converted.started.protection is not None)
    if request.upload:
        upload(request, text)
    if request.chart is not None and (chart := _chart(request, options)) is not None:
        write_chart(request.chart, chart, pushed=request.push or "://" in request.target)
    sys.stdout.write(f"{session.name}\n")
    return 0


def _chart(request: Request, options: SconifyOptions) -> Chart | None:
    return None if request.chart is None else chart_of(request.chart, options, request.target)


def _keep(request: Request, text: str, *, secret: bool) -> None:
    """Write the session to a file, which is its user's alone: it has the key of what is encrypted."""
    path = request.session_file
    if path is None and _RESOURCES.is_dir():
        path = _RESOURCES / "session.yml"
    if path is None and not request.upload and secret:
        path = Path(f"{request.options.session.replace('/', '-')}-session.yml")
    if path is not None:
        write_atomically(path, text.encode())
        sys.stderr.write(f"the session is in {path}: upload it with scone session create {path}\n")


def _report(request: Request, converted: Converted) -> None:
    again, sealed = converted.again
    for note in converted.notes:
        warn(note)
    if "simulation" in request.options.tolerate:
        warn("the session accepts simulation, which protects nothing: whoever rules the host reads what it protects")
    if request.parsed.quiet:
        return
    sys.stderr.write(f"MRENCLAVE {converted.started.measurement}\n")
    if sealed:
        sys.stderr.write(f"{sealed} layers are encrypted, {again} of them as before\n")
    _tell("in clear", converted.clear)
    if request.verbose or request.parsed.debug:
        hidden = dict.fromkeys(converted.started.environment, "...")
        shown = replace(converted.started, environment=hidden, protection=None)
        sys.stderr.write(session_text(request.options, shown, {}, request.template or TEMPLATE))


def _tell(title: str, lines: Sequence[str]) -> None:
    sys.stderr.write(f"{title}:\n" + "".join(f"  {line}\n" for line in lines or ("nothing",)))


if __name__ == "__main__":
    entry()
