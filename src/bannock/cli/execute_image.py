"""``bannock execute`` with an application that is a container image."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from bannock.cli.execute_batch import execute_batch
from bannock.cli.run_parts import open_conductor, result_json, result_text
from bannock.execution.hosts.book import HostBook
from bannock.execution.hosts.here import LOCAL
from bannock.execution.known_images import KnownImages
from bannock.execution.runs.planning import ImageRunWishes, plan_image_run
from bannock.images.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.cli.execute_options import ExecuteOptions
    from bannock.execution.image_application import ImageApplication
    from bannock.images.model import Image

__all__ = ["execute_image"]


def execute_image(options: ExecuteOptions) -> int:
    """Run the application, tell the result on standard output, and return the application's exit code."""
    for host in options.hosts:
        if host != LOCAL:
            HostBook(options.conf).get(host)
    with closing(Places.prepared(environment=os.environ)) as places:
        application, image = KnownImages(options.conf).application(
            places,
            options.application,
            template=options.template,
            variables=options.variables,
            note=lambda line: sys.stderr.write(f"{line}\n"),
        )
        if options.split:
            return execute_batch(options, application, image, lambda host: _wishes(options, host))
        return _execute_one(options, application, image)


def _execute_one(options: ExecuteOptions, application: ImageApplication, image: Callable[[], Image]) -> int:
    plan = plan_image_run(
        application, _wishes(options, options.hosts[0]), now=dt.datetime.now(dt.UTC), random=secrets.token_bytes
    )
    if options.dry_run:
        sys.stdout.write("".join(f"{line}\n" for line in plan.lines()))
        return 0
    ahead = options.hosts[0]
    with open_conductor(
        options.conf, options.mode, options.cas, ahead=ahead, pull=options.pull, quiet=options.quiet
    ) as conductor:
        result = conductor.execute(plan, image)
    sys.stderr.write(result.log)
    sys.stdout.write(result_json(result) if options.as_json else result_text(result, plan.record.output))
    return result.exit_code


def _wishes(options: ExecuteOptions, host: str) -> ImageRunWishes:
    return ImageRunWishes(
        host=host,
        input=options.input,
        output=options.output,
        variables=options.variables,
        sessions=options.sessions,
        mount=options.mount,
        seconds=options.seconds,
        transfer=options.transfer or "",
        cas=options.cas,
        las=options.las or "",
        las_here=host == LOCAL and options.las is None,
        keep=options.keep,
    )
