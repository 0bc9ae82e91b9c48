"""How the signer's verbs show a SIGSTRUCT: for people, and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bannock.identity.debug_key import DEBUG_SIGNER
from bannock.identity.settings import MEASURED, shown

if TYPE_CHECKING:
    from bannock.identity.sigstruct import SigStruct
    from bannock.identity.tree import MeasurementTree

__all__ = ["as_json", "as_text"]


def as_text(sigstruct: SigStruct, tree: MeasurementTree | None) -> str:
    """Return lines for people.

    Args:
        sigstruct: the signature.
        tree: what was signed, if that is known.
    """
    built_in = " (the built-in debug key, which everybody has)" if sigstruct.signer == DEBUG_SIGNER else ""
    fields = {
        "MRENCLAVE": str(sigstruct.measurement),
        "MRSIGNER": f"{sigstruct.signer}{built_in}",
        "mode": "debug" if sigstruct.debug else "production",
        "isvprodid": str(sigstruct.product_id),
        "isvsvn": str(sigstruct.svn),
        "date": sigstruct.date.isoformat(),
        "attributes": f"{sigstruct.attributes.flags:#x}, mask {sigstruct.attribute_mask.flags:#x}",
        "xfrm": f"{sigstruct.attributes.xfrm:#x}, mask {sigstruct.attribute_mask.xfrm:#x}",
        "miscselect": f"{sigstruct.misc_select:#x}, mask {sigstruct.misc_mask:#x}",
    }
    if tree is not None:
        fields["program"] = tree.program
        fields["files"] = str(len(tree.files))
        fields |= {f"image {path}": f"{len(image.files)} files" for path, image in tree.images.items()}
        fields |= {name: shown(name, tree.settings[name]) for name in MEASURED if name in tree.settings}
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def as_json(sigstruct: SigStruct, tree: MeasurementTree | None) -> str:
    """Return the same for programs."""
    document = {
        "mrenclave": str(sigstruct.measurement),
        "mrsigner": str(sigstruct.signer),
        "built_in_key": sigstruct.signer == DEBUG_SIGNER,
        "debug": sigstruct.debug,
        "isvprodid": sigstruct.product_id,
        "isvsvn": sigstruct.svn,
        "date": sigstruct.date.isoformat(),
        "attributes": {"flags": sigstruct.attributes.flags, "xfrm": sigstruct.attributes.xfrm},
        "attribute_mask": {"flags": sigstruct.attribute_mask.flags, "xfrm": sigstruct.attribute_mask.xfrm},
        "miscselect": sigstruct.misc_select,
        "miscmask": sigstruct.misc_mask,
        "settings": None if tree is None else dict(tree.settings),
    }
    return json.dumps(document, indent=2) + "\n"
