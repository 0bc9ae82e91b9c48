"""Images of pods: from their registries, when Kubernetes would look there."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from bannock.errors import BannockError, EnvironmentFault, InputError, NotFoundError, PeerError
from bannock.images.credentials import Credentials
from bannock.images.fields import Fields, parse_object
from bannock.images.references import ImageName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.images.engine_socket import EngineSocket
    from bannock.kubernetes.local.model import ContainerTemplate

__all__ = ["PodImages"]

_SECONDS: Final = 1800.0
_ASKED_SECONDS: Final = 60.0
_ANSWER_BYTES_MAX: Final = 64 << 20


class PodImages:
    """The images of an engine.

    Args:
        engine: its socket.
        environment: of the user, whose login at registries is taken.
    """

    def __init__(self, engine: EngineSocket, environment: Mapping[str, str]) -> None:
        self._socket = engine
        home = environment.get("DOCKER_CONFIG") or str(Path(environment.get("HOME", "/root"), ".docker"))
        self._credentials = Credentials(Path(home, "config.json"))

    def have(self, container: ContainerTemplate) -> None:
        """See that the image of a container is there, and that it is the one that its registry has if it has to be.

        Raises:
            EnvironmentFault: it is not to be had.
        """
        image = container.image
        if container.pull == "Always" or self._inspect(image) is None:
            if container.pull == "Never":
                raise EnvironmentFault(f"the engine has no image {image}, and it is not to be pulled")
            try:
                self._pull(ImageName.parse(image))
            except (NotFoundError, PeerError, InputError) as error:
                raise EnvironmentFault(f"the image {image} cannot be pulled", hint=_hint(container)) from error
        if container.security.not_root and container.security.user in (None, 0):
            self._require_user(container)

    def _require_user(self, container: ContainerTemplate) -> None:
        found = self._inspect(container.image) or Fields({}, container.image)
        user = Fields(found.values.get("Config"), container.image).text("User").partition(":")[0]
        if container.security.user == 0 or not user.isdigit() or int(user) == 0:
            raise InputError(
                f"container {container.name} must not run as root, and the user of its image is {user or 'root'!r}",
                hint="say who it is: securityContext.runAsUser",
            )

    def _inspect(self, image: str) -> Fields | None:
        try:
            with self._socket.answer("GET", f"/images/{quote(image, safe='/:@')}/json", _ASKED_SECONDS) as answer:
                return Fields(parse_object(answer.read(_ANSWER_BYTES_MAX), image), image)
        except NotFoundError:
            return None

    def _pull(self, name: ImageName) -> None:
        query = urlencode({"fromImage": f"{name.domain}/{name.repository}", "tag": name.digest or name.tag})
        headers = {"Host": "docker"}
        try:
            login = self._credentials.login(name.domain)
        except BannockError:
            # Many registries ask nobody; if this one does, it says so.
            login = None
        if login is not None:
            secret = login.secret.reveal().decode("utf-8", "replace")
            given = {"identitytoken": secret} if login.is_token else {"username": login.name, "password": secret}
            headers["X-Registry-Auth"] = base64.urlsafe_b64encode(json.dumps(given).encode()).decode("ascii")
        with self._socket.answer("POST", f"/images/create?{query}", _SECONDS, None, headers) as answer:
            told = answer.read(_ANSWER_BYTES_MAX)
        for line in told.splitlines():
            try:
                problem = Fields(parse_object(line, "the answer"), "the answer").text("error")
            except InputError:
                continue
            if problem:
                raise PeerError(problem[:500])


def _hint(container: ContainerTemplate) -> str:
    if container.pull == "Always":
        return "with imagePullPolicy Always, an image has to be in a registry: --set imagePullPolicy=IfNotPresent"
    return "docker images lists what the engine has; docker login is how it gets at a registry"
