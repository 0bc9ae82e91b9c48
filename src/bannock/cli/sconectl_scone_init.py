"""``sconectl scone_init``: install what every cluster needs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from bannock.charts.services import DEVICES
from bannock.cli.options import Parser
from bannock.errors import InputError
from bannock.kubernetes.cluster import Cluster
from bannock.kubernetes.system import DAEMON_SETS, NAMESPACE, PullSecret, initialise
from bannock.values import Secret

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

_DESCRIPTION: Final = f"""\
Install the device plugin and a LAS on every node of a cluster, by helm, and wait until they run: the daemon sets
{" and ".join(DAEMON_SETS)}. What is there already is brought up to date.

With --image-pull-secret, nodes pull images with these credentials: those of the options, else $SECRET_USERNAME,
$SECRET_TOKEN and $SECRET_EMAIL, which no list of processes shows."""
_EXAMPLES: Final = """\
  sconectl scone_init --image-registry registry.example.com/bannock --use-device tdx
  SECRET_TOKEN=... sconectl scone_init --image-pull-secret --secret-username me --secret-email me@example.com"""


def main(arguments: Sequence[str]) -> int:
    """Parse, install."""
    parser = Parser("scone_init", _DESCRIPTION, _EXAMPLES, command="sconectl")
    parser.add_argument("-n", "--namespace", default=NAMESPACE, metavar="NS", help=f"where ({NAMESPACE})")
    parser.add_argument(
        "--image-registry", metavar="URL", help="registry of the images bannock-las and bannock-sgxdevplugin"
    )
    parser.add_argument("--set-version", metavar="VERSION", help="version of the images")
    parser.add_argument(
        "--use-device", choices=DEVICES, default="none", help="what vouches for LASes (none: runs on every node)"
    )
    parser.add_argument("--image-pull-secret", action="store_true", help="make a secret that nodes pull images with")
    parser.add_argument("--secret-name", default="sconeapps", metavar="NAME", help="of the secret (sconeapps)")
    parser.add_argument("--secret-server", metavar="HOST", help="its registry (that of the images)")
    for what in ("username", "token", "email"):
        parser.add_argument(f"--secret-{what}", metavar=what.upper(), help=f"its {what} ($SECRET_{what.upper()})")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until they run")
    parser.add_argument("-v", "--verbose", action="count", default=0, help="tell each command that runs")
    parsed = parser.parse_args(arguments)
    observer = (lambda line: _tell(f"+ {line}")) if parsed.verbose else None
    cluster = Cluster(namespace=parsed.namespace, environment=os.environ, observer=observer)
    registry = (parsed.image_registry or os.environ.get("SCONECTL_REPO", "")).rstrip("/")
    initialise(
        cluster,
        images=f"{registry}/bannock" if registry else "bannock",
        version=parsed.set_version,
        devices=parsed.use_device,
        secret=_secret(parsed, registry) if parsed.image_pull_secret else None,
        wait=not parsed.no_wait,
    )
    _tell(f"{' and '.join(DAEMON_SETS)} {'are installed' if parsed.no_wait else 'run'} in {parsed.namespace}")
    return 0


def _secret(parsed: argparse.Namespace, registry: str) -> PullSecret:
    found = {}
    for what in ("username", "token", "email"):
        value = getattr(parsed, f"secret_{what}") or os.environ.get(f"SECRET_{what.upper()}")
        if not value:
            raise InputError(f"--image-pull-secret needs --secret-{what}, or $SECRET_{what.upper()}")
        found[what] = value
    server = parsed.secret_server or registry.partition("/")[0]
    if not server:
        raise InputError("which registry is the secret for?", hint="name it: --secret-server or --image-registry")
    return PullSecret(
        name=parsed.secret_name,
        server=server,
        user=found["username"],
        token=Secret(found["token"].encode("utf-8")),
        email=found["email"],
    )


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
