"""Images that runs had before: what they are, and what has to be attested of them, without reading them again.

The digest of an image's configuration, by which engines name it too, names its layers. So what was found once is
true for that digest for ever, as long as runtime and session template are the same. It is kept in the user's own
configuration: what stands there decides which program gets the data.
"""

from __future__ import annotations

import hmac
import json
import secrets
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, ConflictError, InputError
from bannock.execution.image_application import ImageApplication, application_of, facts_of
from bannock.files import private_directory, read_private, write_atomically
from bannock.identity.runtime_build import runtime_build
from bannock.identity.tree import MeasurementTree
from bannock.policy.canonical import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from bannock.images.model import Image
    from bannock.images.places import Places
    from bannock.policy.canonical import JsonValue

__all__ = ["KnownImages"]

_FORMAT: Final = 1
_DIRECTORY: Final = "images"
_KEY: Final = "key"
_KEY_BYTES: Final = 32
#: The oldest are forgotten beyond it.
_KEPT_MAX: Final = 100


class KnownImages:
    """What is known of images.

    Args:
        conf: the directory of the configuration, which is the user's alone.
    """

    def __init__(self, conf: Path) -> None:
        self._conf = conf

    def application(
        self,
        places: Places,
        reference: str,
        *,
        template: str | None,
        variables: Mapping[str, str],
        note: Callable[[str], object],
    ) -> tuple[ImageApplication, Callable[[], Image]]:
        """Find out what a run of an image is, and return that, and what opens the image if it is needed.

        Args:
            places: where images are.
            reference: how the user names the image.
            template: of the session, in place of the image's own.
            variables: of the template.
            note: is told what the image has beside what is expected.

        Raises:
            BannockError: the image cannot be had, or not be run like this.
        """
        identity, opened = places.identify(reference), None
        if not identity:
            # A registry gives layers when somebody reads them.
            opened = places.open(reference)
            identity = opened.written().id
        name = self._name(identity, reference, template, variables)
        known = self._recall(name, template)
        if known is not None:
            known = replace(known, reference=reference)
            return known, lambda: opened or _opened(places, reference, known)
        image = opened or places.open(reference)
        for line in image.notes:
            note(line)
        application = application_of(reference, *facts_of(image), template=template, variables=variables)
        self._keep(name, application, template)
        return application, lambda: image

    def _name(self, identity: str, reference: str, template: str | None, variables: Mapping[str, str]) -> str:
        """Return what a file is called that says what is known of just this; it tells nothing of secrets in it."""
        what: dict[str, JsonValue] = {
            "format": _FORMAT,
            "image": identity,
            "reference": reference,
            "runtime": runtime_build().hex(),
            "template": template,
            "variables": dict(variables),
        }
        return hmac.digest(self._key(), canonical_json(what), "sha256").hex()

    def _recall(self, name: str, template: str | None) -> ImageApplication | None:
        """Return what is known; None for what is not usable, too: it is found out again."""
        with suppress(BannockError, ValueError, TypeError, KeyError, RecursionError):
            fields = json.loads(read_private(self._path(name)))
            fields["tree"] = MeasurementTree.from_json(fields["tree"].encode())
            application = ImageApplication(**fields, reference="")
            return application if template is None else replace(application, template=template)
        return None

    def _keep(self, name: str, application: ImageApplication, template: str | None) -> None:
        document = {
            "id": application.id,
            "title": application.title,
            "program": application.program,
            "service": application.service,
            "input_volume": application.input_volume,
            "output_volume": application.output_volume,
            # What the user brings along may have secrets in it.
            "template": application.template if template is None else "",
            "settings": dict(application.settings),
            "tree": application.tree.to_json().decode("utf-8"),
            "insists": application.insists,
        }
        write_atomically(self._path(name), json.dumps(document).encode())
        for path in sorted(self._files(), key=lambda path: path.stat().st_mtime, reverse=True)[_KEPT_MAX:]:
            path.unlink(missing_ok=True)

    def _key(self) -> bytes:
        path = self._directory() / _KEY
        with suppress(InputError):
            key = read_private(path)
            if len(key) == _KEY_BYTES:
                return key
        write_atomically(path, secrets.token_bytes(_KEY_BYTES))
        return read_private(path)

    def _files(self) -> list[Path]:
        return list(self._directory().glob("*.json"))

    def _path(self, name: str) -> Path:
        return self._directory() / f"{name}.json"

    def _directory(self) -> Path:
        return private_directory(private_directory(self._conf) / _DIRECTORY)


def _opened(places: Places, reference: str, known: ImageApplication) -> Image:
    image = places.open(reference)
    if image.written().id != known.id:
        raise ConflictError(f"the image {reference} became another one meanwhile", hint="start the run again")
    return image
