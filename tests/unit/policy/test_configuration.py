"""Configurations, and the JSON they travel in."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bannock.errors import InputError, PeerError
from bannock.policy import Configuration, InjectedFile, MainFspf, UpdatePolicy, VolumeMount
from bannock.policy.configuration import CONFIGURATION_BYTES_MAX
from bannock.values import FspfKey, FspfTag, Secret

_TEXT: Final = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_PARTS: Final = st.lists(
    st.text(st.sampled_from("abc .-"), min_size=1, max_size=5).filter(lambda p: p not in {".", ".."})
)
_PATHS: Final = _PARTS.map(lambda parts: "/" + "/".join(parts))
_KEYS: Final = st.binary(min_size=32, max_size=32).map(FspfKey)
_TAGS: Final = st.binary(min_size=16, max_size=16).map(FspfTag)
_MAIN: Final = st.builds(
    MainFspf, path=_PATHS, key=_KEYS, tags=st.lists(_TAGS, min_size=1, max_size=2).map(tuple)
) | st.builds(
    MainFspf,
    path=_PATHS,
    key=_KEYS,
    tags=st.lists(_TAGS, max_size=2).map(tuple),
    update_policy=st.just(UpdatePolicy.NO_ROLLBACK_PROTECTION),
)
_OF_VOLUMES: Final = sorted(set(UpdatePolicy) - {UpdatePolicy.REINITIALIZABLE})


@st.composite
def _configurations(draw: st.DrawFn) -> Configuration:
    paths = draw(st.lists(_PATHS, unique=True, max_size=6))
    volumes = [
        VolumeMount(
            name=f"volume-{number}",
            path=path,
            key=draw(_KEYS),
            tag=draw(st.none() | _TAGS),
            update_policy=draw(st.sampled_from(_OF_VOLUMES)),
        )
        for number, path in enumerate(paths[::2])
    ]
    files = [
        InjectedFile(
            path=path, content=draw(st.none() | st.binary(max_size=20).map(Secret)), mode=draw(st.integers(0, 0o777))
        )
        for path in paths[1::2]
    ]
    words = (draw(_TEXT.filter(bool)), *draw(st.lists(_TEXT, max_size=3)))
    positions = draw(st.permutations(["@@1", "@@2", "@@*"]))[: draw(st.integers(0, 3))]
    names = draw(st.sets(st.sampled_from(["@@A", "@@B"])))
    return Configuration(
        argv=(*words, *positions),
        environment=draw(
            st.dictionaries(_TEXT.filter(lambda name: bool(name) and "=" not in name), _TEXT, max_size=3)
        ),
        working_directory=draw(_PATHS),
        volumes=tuple(volumes),
        files=tuple(files),
        fspf=draw(st.none() | _MAIN),
        host_arguments=tuple(range(len(words), len(words) + len(positions))),
        host_environment=tuple(sorted(names)),
    )


_EXAMPLE: Final = Configuration(
    argv=("copy_demo", "canary-argument"),
    environment={"GREETING": "canary-environment"},
    working_directory="/",
    volumes=(VolumeMount(name="in", path="/in", key=FspfKey(b"k" * 32), tag=None),),
    files=(InjectedFile(path="/etc/conf", content=Secret(b"canary-content"), mode=0o600),),
    fspf=MainFspf(path="/main.fspf", key=FspfKey(b"m" * 32), tags=(FspfTag(b"t" * 16),)),
)


# A busy machine draws the first examples slowly.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(_configurations())
def test_json_keeps_everything(configuration: Configuration) -> None:
    """What is written is read, and written again it is the same bytes."""
    data = configuration.to_json()
    again = Configuration.from_json(data)
    assert again == configuration
    assert again.to_json() == data


def _changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(_EXAMPLE.to_json()), **changes}).encode()


_VOLUME: Final = {
    "name": "in",
    "path": "/in",
    "key": "6b" * 32,
    "tag": None,
    "update_policy": "rollback_protected",
}
_FILE: Final = {"path": "/a", "content": "", "mode": 0}
_FSPF: Final = {
    "path": "/main.fspf",
    "key": "6d" * 32,
    "tags": ["74" * 16],
    "update_policy": "rollback_protected_reinitializable",
}


def test_the_parts_that_are_changed_below_are_accepted_as_they_are() -> None:
    """Otherwise the refusals below would be of something else."""
    changed = _changed(volumes=[_VOLUME], files=[_FILE], fspf=_FSPF)
    assert Configuration.from_json(changed).volumes == _EXAMPLE.volumes
    assert Configuration.from_json(changed).fspf == _EXAMPLE.fspf
    assert Configuration.from_json(_changed(fspf=None)).fspf is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b"9" * 10_000,
        b" " * (CONFIGURATION_BYTES_MAX + 1),
        _EXAMPLE.to_json()[:-1],
        _EXAMPLE.to_json() + b"x",
        _EXAMPLE.to_json().replace(b'"argv":', b'"argv":[],"argv":'),
        _changed(format="bannock-configuration-2"),
        _changed(more=1),
        _changed(argv=[""]),
        _changed(argv="copy_demo"),
        _changed(argv=["a\0"]),
        _changed(argv=["\ud800"]),
        _changed(argv=[1]),
        _changed(environment=[]),
        _changed(environment={"A": 1}),
        _changed(environment={"A=": ""}),
        _changed(environment={"": ""}),
        _changed(working_directory="tmp"),
        _changed(working_directory="/a/../b"),
        _changed(working_directory=None),
        _changed(volumes=[{**_VOLUME, "key": "6b"}]),
        _changed(volumes=[{**_VOLUME, "key": "6B" * 32}]),
        _changed(volumes=[{**_VOLUME, "tag": "00"}]),
        _changed(volumes=[{**_VOLUME, "tag": ""}]),
        _changed(volumes=[{**_VOLUME, "more": 1}]),
        _changed(volumes=[{key: value for key, value in _VOLUME.items() if key != "tag"}]),
        _changed(volumes=[_VOLUME, {**_VOLUME, "path": "/other"}]),
        _changed(volumes=[_VOLUME, {**_VOLUME, "name": "other"}]),
        _changed(volumes=[{**_VOLUME, "update_policy": "rollback_protected_reinitializable"}]),
        _changed(volumes=[{**_VOLUME, "update_policy": "canary"}]),
        _changed(volumes=[{**_VOLUME, "update_policy": None}]),
        _changed(volumes=[{key: value for key, value in _VOLUME.items() if key != "update_policy"}]),
        _changed(fspf={}),
        _changed(fspf=[]),
        _changed(fspf={**_FSPF, "path": "main.fspf"}),
        _changed(fspf={**_FSPF, "key": None}),
        _changed(fspf={**_FSPF, "key": "6d" * 31}),
        _changed(fspf={**_FSPF, "tags": None}),
        _changed(fspf={**_FSPF, "tags": ["74" * 15]}),
        _changed(fspf={**_FSPF, "tags": []}),
        _changed(fspf={**_FSPF, "update_policy": "rollback_protected"}),
        _changed(fspf={**_FSPF, "tags": [], "update_policy": "ephemeral"}),
        _changed(fspf={**_FSPF, "more": 1}),
        _changed(fspf={key: value for key, value in _FSPF.items() if key != "tags"}),
        _changed(files=[{**_FILE, "path": "/in"}]),
        _changed(files=[{**_FILE, "path": "a"}]),
        _changed(files=[{**_FILE, "mode": 0o1777}]),
        _changed(files=[{**_FILE, "mode": -1}]),
        _changed(files=[{**_FILE, "mode": True}]),
        _changed(files=[{**_FILE, "mode": 1.0}]),
        _changed(files=[{**_FILE, "mode": float("nan")}]),
        _changed(files=[{**_FILE, "content": "?"}]),
        _changed(files=[{**_FILE, "content": "ä"}]),
    ],
    ids=range(58),
)
def test_anything_else_is_refused(data: bytes) -> None:
    """Unknown, missing, repeated or malformed parts give our error, and no value in it."""
    with pytest.raises(PeerError, match="the configuration is malformed") as caught:
        Configuration.from_json(data)
    assert "canary" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_give_only_our_error(data: bytes) -> None:
    """Arbitrary bytes are refused."""
    with pytest.raises(PeerError):
        Configuration.from_json(data)


@given(st.data())
def test_any_flipped_byte_gives_only_our_error(data: st.DataObject) -> None:
    """A changed byte is refused, or it is another configuration."""
    original = _EXAMPLE.to_json()
    index = data.draw(st.integers(0, len(original) - 1))
    changed = original[:index] + bytes([original[index] ^ data.draw(st.integers(1, 255))]) + original[index + 1 :]
    try:
        found = Configuration.from_json(changed)
    except PeerError:
        return
    assert found != _EXAMPLE


def test_repr_shows_no_secret() -> None:
    """Arguments, environment, keys and contents stay out of logs."""
    assert "canary" not in repr(_EXAMPLE)
    assert "6b6b" not in repr(_EXAMPLE)
    assert "kkkk" not in repr(_EXAMPLE)
    assert "6d6d" not in repr(_EXAMPLE)
    assert "mmmm" not in repr(_EXAMPLE)


def test_values_are_checked_at_construction() -> None:
    """A configuration that could not be run cannot be made."""
    with pytest.raises(InputError, match="names the program"):
        Configuration(argv=("", "x"), environment={}, working_directory="/")
    with pytest.raises(InputError, match="absolute"):
        VolumeMount(name="v", path="v", key=FspfKey(bytes(32)), tag=None)
    with pytest.raises(InputError, match="is not for volumes"):
        VolumeMount(name="v", path="/v", key=FspfKey(bytes(32)), tag=None, update_policy=UpdatePolicy.REINITIALIZABLE)
    with pytest.raises(InputError, match="has a state that is expected"):
        MainFspf(path="/f", key=FspfKey(bytes(32)), tags=())
    with pytest.raises(InputError, match="is not for main protection files"):
        MainFspf(path="/f", key=FspfKey(bytes(32)), tags=(), update_policy=UpdatePolicy.ROLLBACK_PROTECTED)
    with pytest.raises(InputError, match="mode"):
        InjectedFile(path="/a", content=Secret(b""), mode=0o2000)
