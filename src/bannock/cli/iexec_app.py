"""``bannock iexec-app``: what iExec's registry of applications has to know of an image."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Final

from bannock.cli.options import Parser
from bannock.errors import InputError
from bannock.execution.image_application import application_of, facts_of
from bannock.identity.layout import LAYER_ROOT
from bannock.images.places import Places

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_OWNER: Final = re.compile(r"0x[0-9a-fA-F]{40}")
#: Workers set it for the container to what is registered, and it is measured.
_HEAP: Final = "SCONE_HEAP"
_DESCRIPTION: Final = """\
Print the JSON by which an application is registered with iExec (iexec.json, `iexec app deploy`): where its image is,
its digest, and the enclave that its program is (MRENCLAVE). It is computed from the image; nothing of it is run."""
_EXAMPLES: Final = """\
  bannock iexec-app --application docker://registry.example/team/copy_dapp:1 --owner 0x6b…2A > iexec.json"""


def main(arguments: Sequence[str]) -> int:
    """Parse, look at the image, print."""
    parser = Parser("iexec-app", _DESCRIPTION, _EXAMPLES)
    add = parser.add_argument
    add("-a", "--application", required=True, metavar="IMAGE", help="the image")
    add("--owner", default="0x" + "0" * 40, metavar="ADDRESS", help="the wallet whose application it is")
    add("--name", metavar="NAME", help="of the application (what the image calls itself)")
    add("--multiaddr", metavar="IMAGE", help="where workers find the image (what --application says)")
    parsed = parser.parse_args(arguments)
    if not _OWNER.fullmatch(parsed.owner):
        raise InputError(f"--owner is 0x and 40 hexadecimal digits, found {parsed.owner[:80]!r}")
    with closing(Places.prepared(environment=os.environ)) as places:
        image = places.open(parsed.application)
        facts, tree = facts_of(image)
        application = application_of(parsed.application, facts, tree, template=None, variables={})
        digest = image.written().digest
    if _HEAP not in facts.environment:
        raise InputError(
            f"the image {parsed.application} does not say {_HEAP}, which workers set, and which is measured",
            hint=f"make it with ENV {_HEAP}=1G",
        )
    document = {
        "app": {
            "owner": parsed.owner,
            "name": parsed.name or application.title,
            "type": "DOCKER",
            "multiaddr": parsed.multiaddr or parsed.application.removeprefix("docker://"),
            "checksum": f"0x{digest.partition(':')[2]}",
            "mrenclave": {
                "framework": "SCONE",
                "version": "v5.9",
                "entrypoint": f"{LAYER_ROOT}/bin/dapp",
                "heapSize": int(application.tree.settings[_HEAP]),
                "fingerprint": str(application.tree.root),
            },
        }
    }
    sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    return 0
