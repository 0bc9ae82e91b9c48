"""``scone binary-fs``: make a file-system image that is part of an enclave."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.cli.cas_options import warn
from bannock.cli.fspf_options import shown
from bannock.cli.options import Parser
from bannock.shield.image_writer import plan_image, write_image

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.shield.image_writer import ImagePlan

__all__ = ["main"]

_NAME: Final = "libbinary-fs.so"

_DESCRIPTION: Final = """\
Make a file-system image of a directory, which becomes part of an enclave: SCONE_EXTENSIONS_PATH names it, MRENCLAVE
covers each of its files, and the application sees nothing but the image, what decides how its program starts, and the
volumes of its session. What the application changes in it lasts until the application ends.

The image is one file, ready to be used; nothing has to be linked. It has regular files and symbolic links; a directory
is there if something in it is."""
_EXAMPLES: Final = """\
  scone binary-fs / /image --include '/usr/lib/python3.11/*' --include /hello-world.py --host-path /etc/resolv.conf
      writes /image/libbinary-fs.so if /image is a directory, else /image
  SCONE_EXTENSIONS_PATH=/image/libbinary-fs.so bannock run -- /usr/bin/python3"""


def main(arguments: Sequence[str]) -> int:
    """Parse, plan, write, say what to do with it."""
    # In the public reference, -h is a host path, and help has its long name alone.
    parser = Parser("binary-fs", _DESCRIPTION, _EXAMPLES, command="scone", short_help=False)
    parser.add_argument("root", type=Path, metavar="ROOT", help="the directory that becomes the root")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="a directory, or the path of the image")
    parser.add_argument(
        "-i",
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="take only paths that match a pattern of a shell, where * stands for slashes, too (several times)",
    )
    parser.add_argument(
        "-h",
        "--host-path",
        action="append",
        default=[],
        metavar="PATH",
        help="show this path of the host, unprotected (/etc/hosts, /etc/resolv.conf; several times)",
    )
    parser.add_argument(
        "-p",
        "--preserve-symbolic-links",
        action="store_true",
        help="leave links as they are; otherwise one that leads to ROOT/x leads to /x in the image",
    )
    parser.add_argument(
        "--keep-times",
        action="store_true",
        help="keep when files were changed (Python uses its caches only then); the image then depends on it",
    )
    parser.add_argument("-v", "--verbose", action="count", default=0, help="list what is in the image")
    parsed = parser.parse_intermixed_args(arguments)
    target = (parsed.output / _NAME if parsed.output.is_dir() else parsed.output).absolute()
    plan = plan_image(
        parsed.root,
        include=parsed.include,
        host_paths=parsed.host_path,
        without=target,
        preserve_links=parsed.preserve_symbolic_links,
        keep_times=parsed.keep_times,
    )
    write_image(plan, target)
    _tell(plan, target, verbose=parsed.verbose > 0)
    return 0


def _tell(plan: ImagePlan, target: Path, *, verbose: bool) -> None:
    contents = plan.contents
    for pattern in plan.unused:
        warn(f"--include {shown(pattern)} matches nothing in {plan.source}")
    for path in plan.left_out:
        warn(f"{shown(path)} is neither a file nor a link, and not in the image")
    if verbose:
        for path, file in sorted(contents.files.items()):
            sys.stdout.write(f"{shown(path)} {file.size}\n")
        for path, text in sorted(contents.links.items()):
            sys.stdout.write(f"{shown(path)} -> {shown(text)}\n")
        for path in contents.host_paths:
            sys.stdout.write(f"{shown(path)} (the host's)\n")
    total = sum(file.size for file in contents.files.values())
    sys.stdout.write(
        f"{shown(os.fspath(target))}: {len(contents.files)} files with {total} bytes, {len(contents.links)} links\n"
        f"export SCONE_EXTENSIONS_PATH={shown(os.fspath(target))}\n"
    )
