"""Images are run under strace by a real engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.errors import EnvironmentFault, InputError, NotFoundError
from bannock.images.engine_socket import EngineSocket
from bannock.images.tracing.run import PLACE, Trace, trace

if TYPE_CHECKING:
    from tests.containers import BaseImages, Engine

pytestmark = pytest.mark.docker


def _traced(engine: Engine, image: str, *command: str, files: dict[str, bytes] | None = None) -> Trace:
    traced = trace(image, command=command, files=files, quiet=0.6, engine=EngineSocket(engine.socket))
    names = engine.output("ps", "-a", "--filter", f"ancestor={image}", "--format", "{{.ID}}")
    assert names == "", "the container is left"
    return traced


def _kinds(traced: Trace) -> dict[str, frozenset[str]]:
    return {access.path: frozenset[str](access.kinds) for access in traced.accesses}


def test_an_image_without_libraries(engine: Engine, bases: BaseImages) -> None:
    """In an image that has neither libc nor loader, processes and their children are traced to the end."""
    script = "cat /etc/passwd; cat /etc/none; echo > /root/made; (cd /etc && cat group); exit 3"
    traced = _traced(engine, bases.busybox(), "/bin/sh", "-c", script)
    found = _kinds(traced)
    assert found["/bin/sh"] >= {"execute"}
    assert found["/etc/passwd"] >= {"read"}
    assert found["/etc/group"] >= {"read"}
    assert found["/etc/none"] == {"missing"}
    assert found["/root/made"] >= {"write"}
    assert not [path for path in found if path.startswith(PLACE)]
    assert traced.failed
    assert traced.ended.startswith("ended with 3 after ")
    assert "root:x:0:0" in traced.output


def test_a_service_is_ended_when_it_waits(engine: Engine, bases: BaseImages) -> None:
    """A program that goes on without using a file is ended; it got files that the image does not have."""
    script = "cat /given/file; exec sleep 1000"
    traced = _traced(engine, bases.busybox(), "/bin/sh", "-c", script, files={"/given/file": b"what was given\n"})
    assert not traced.failed
    assert "still ran" in traced.ended
    assert "what was given" in traced.output


def test_as_the_images_user(engine: Engine, bases: BaseImages) -> None:
    """What the image says of user, directory and program holds, also without rights."""
    name = engine.name("traced-user")
    changes = ("USER nobody", "WORKDIR /etc", 'ENTRYPOINT ["/bin/cat"]', 'CMD ["group"]')
    engine.imported("traced-user", bases.archive(bases.busybox()), *changes)
    traced = _traced(engine, name)
    assert _kinds(traced)["/etc/group"] >= {"read"}
    assert not traced.failed


def test_what_cannot_be_traced(engine: Engine, bases: BaseImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is told with a way out, and no container is left."""
    with pytest.raises(NotFoundError, match="no-such-image"):
        _traced(engine, "no-such-image")
    with pytest.raises(InputError, match="names no program") as no_program:
        _traced(engine, bases.empty())
    assert "--command" in str(no_program.value.hint)
    with pytest.raises(EnvironmentFault, match="strace wrote nothing") as no_such_program:
        _traced(engine, bases.busybox(), "/no/such/program")
    assert "/no/such/program" in " ".join(no_such_program.value.reasons)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EnvironmentFault, match="strace is not installed") as no_strace:
        trace(bases.busybox(), engine=EngineSocket(engine.socket))
    assert "apt-get install strace" in str(no_strace.value.hint)
