"""Records of files that are authenticated and stay as they are in the image, where everybody may read them.

What was recorded of a layer is kept like what was sealed of one, so that the same image has the same protection file.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

from bannock.images.tree import Contents
from bannock.shield.sealed_files import FileSealing, SealedFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bannock.images.sconify.cache import SealCache
    from bannock.images.sconify.plan import Plan
    from bannock.images.tree import Found
    from bannock.shield.format.seal import RandomBytes

__all__ = ["record"]

_FORMAT: Final = "bannock recorded layer 1"
_READ_BYTES: Final = 1 << 20


def record(plan: Plan, cache: SealCache, random: RandomBytes) -> Mapping[tuple[str, int, int], SealedFile]:
    """Record the files of the directories that are authenticated: (directory, layer, start of the entry) → records.

    Hard links in one directory to one content have one record.

    Raises:
        IntegrityError: a layer is not what it has to be.
        EnvironmentFault: the file system refuses.
    """
    records: dict[tuple[str, int, int], SealedFile] = {}
    for directory in plan.authenticated:
        wanted: dict[int, dict[int, Found]] = {}
        for found in plan.authenticated_files(directory):
            wanted.setdefault(found.layer, {})[found.entry.start] = found
        for number, files in sorted(wanted.items()):
            ordered = [files[start] for start in sorted(files)]
            made = _recorded(plan, directory, ordered, cache, random)
            records |= {(directory, number, found.entry.start): made[str(found.entry.start)] for found in ordered}
    return records


def _recorded(
    plan: Plan, directory: str, files: Sequence[Found], cache: SealCache, random: RandomBytes
) -> Mapping[str, SealedFile]:
    layer = plan.tree.layers[files[0].layer]
    starts = [found.entry.start for found in files]
    document = json.dumps([_FORMAT, directory, layer.diff_id, starts], separators=(",", ":"))
    name = hashlib.sha256(document.encode()).hexdigest()
    known = cache.records(name)
    if known is not None and known.keys() == {str(start) for start in starts}:
        return known
    made = {}
    with Contents(plan.tree.layers) as contents:
        for found in files:
            source = contents.at(found.layer, found.entry)
            recording = FileSealing(source, found.entry.size, random, encrypted=False)
            while recording.read(_READ_BYTES):
                pass
            made[str(found.entry.start)] = recording.sealed()
    cache.keep_records(name, made)
    return made
