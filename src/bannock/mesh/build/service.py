"""The image of a service: built natively, its code measured with its program, described by a label.

What the program runs is in a file-system image that MRENCLAVE covers: a changed program is another enclave.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.identity.layout import BUILD_FILE
from bannock.identity.settings import MEASURED, normal_settings
from bannock.images.sconify.conversion import convert
from bannock.images.sconify.leftovers import secrets_of
from bannock.images.sconify.options import ENGINE_FILES, Places, SconifyOptions
from bannock.images.tree import Tree, TreeReader
from bannock.mesh.build.program import measured_program_of
from bannock.mesh.build.signer import mrsigner_of
from bannock.mesh.facts import LABEL, ServiceFacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bannock.images.model import Image
    from bannock.images.sconify.conversion import Converted, Tools
    from bannock.mesh.build.program import Called
    from bannock.mesh.build.recipe import Recipe
    from bannock.mesh.manifests.model import ServiceManifest, Volume
    from bannock.policy.canonical import JsonValue

__all__ = ["Made", "protect"]

#: Heap as generous as sconify_image has it, libraries that are protected, and processes, which scripts need.
_SETTINGS: Final = {"SCONE_HEAP": "1G", "SCONE_STACK": "1M", "SCONE_ALLOW_DLOPEN": "1", "SCONE_FORK": "1"}
_LOG: Final = "SCONE_LOG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A service's image.

    Attributes:
        image: with its label.
        facts: what the label says.
        variables, secrets: values that the label withholds.
        notes: what a person should know.
    """

    image: Image
    facts: ServiceFacts
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    notes: tuple[str, ...]


def protect(
    manifest: ServiceManifest,
    recipe: Recipe,
    native: Image,
    tools: Tools,
    *,
    mode: str,
    below: Sequence[str] = (),
    tree: Tree | None = None,
) -> Made:
    """Make the service's image of the native one.

    Args:
        manifest: of the service.
        recipe: that the native image was built by.
        native: the native image.
        tools: of the conversion.
        mode: ``production`` or ``debug``.
        below: digests of the layers of the image that the native one was built on.
        tree: files of the lowest layers, where they are known already.

    Raises:
        InputError: something that the manifest names is not there, or a setting is malformed.
    """
    tree = Tree.of(native, below=tree)
    if tree.find(BUILD_FILE) is not None:
        raise InputError(
            f"the image {native.reference} has a runtime already, and a service is made of a native image",
            hint="name the native image in build.from",
        )
    build = manifest.build
    directory = recipe.directory or native.config.working_dir or "/"
    called = measured_program_of(build, recipe.command, directory, TreeReader(tree))
    local = {variable.name: variable.value for variable in manifest.environment.local}
    settings = {**_SETTINGS, **{name: value for name, value in local.items() if name in MEASURED}}
    normal_settings(settings)
    options = SconifyOptions(
        binary=called.program,
        places=_places(manifest, tree, directory, called),
        binary_fs=True,
        settings=settings,
        log=local.get(_LOG),
        command=called.command,
        session=build.name,
    )
    same = [ours == theirs for ours, theirs in zip(native.config.diff_ids, below, strict=False)]
    steady = len(below) if below and all(same) else None
    converted = convert(native, options, tools, name=build.to, steady=steady, tree=tree)
    return _described(manifest, converted, called.program, mode, tools)


def _places(manifest: ServiceManifest, tree: Tree, directory: str, called: Called) -> Places:
    build = manifest.build
    wanted = [*build.fs_dirs]
    if build.kind.is_java:
        # .../bin/java: the machine's own library is beside it.
        wanted.append(posixpath.dirname(posixpath.dirname(called.program)))
    # Users, groups, certificates and zones, which libraries of every language look for.
    wanted += [path for path in ("/etc", "/usr/share/zoneinfo", "/usr/share/ca-certificates") if tree.find(path)]
    paths = tuple(dict.fromkeys([*build.host_paths, *ENGINE_FILES]))
    return Places(
        image_directories=tuple(dict.fromkeys(wanted)),
        image_files=tuple(dict.fromkeys([*build.fs_files, called.program, *called.names])),
        own_directories=() if directory == "/" else (directory,),
        host_paths=paths,
        plain_directories=build.plains,
        plain_files=build.plain_files,
    )


def _described(manifest: ServiceManifest, converted: Converted, program: str, mode: str, tools: Tools) -> Made:
    """Put the label on the image."""
    local = {
        variable.name: variable.value
        for variable in manifest.environment.local
        if variable.name not in MEASURED and variable.name != _LOG
    }
    plain = {name: value for name, value in local.items() if "$$SCONE::" not in value}
    hidden = {name: plain[name] for name in secrets_of(plain)}
    secrets, values = [], {}
    for secret in manifest.secrets.global_:
        entry = dict(secret.entry)
        if (value := entry.pop("value", None)) is not None:
            values[secret.name] = str(value)
        secrets.append(entry)
    measured = converted.started.measurement
    facts = ServiceFacts(
        name=manifest.build.name,
        kind=manifest.build.kind.value,
        mode=mode,
        program=program,
        mrenclave=str(measured),
        mrsigner="" if tools.signer is None else mrsigner_of(tools.signer),
        command=converted.started.command,
        directory=converted.started.directory,
        environment=converted.started.environment,
        local={name: None if name in hidden else value for name, value in local.items()},
        global_={variable.name: variable.value for variable in manifest.environment.global_},
        secrets=tuple(secrets),
        withheld=tuple(values),
        imports=manifest.secrets.import_,
        injection_files=tuple({"path": each.path, "content": each.content} for each in manifest.injection_files),
        volumes=tuple(map(_volume, manifest.build.volumes)),
    )
    image = converted.image
    config = image.config.changed(labels={**image.config.labels, LABEL: facts.to_label()})
    return Made(
        image=image.changed(config=config),
        facts=facts,
        variables=hidden,
        secrets=values,
        notes=converted.notes,
    )


def _volume(volume: Volume) -> dict[str, JsonValue]:
    exports: list[JsonValue] = [
        {key: value for key in each.__slots__ if (value := getattr(each, key)) is not None} for each in volume.export
    ]
    described: dict[str, JsonValue] = {"name": volume.name, "path": volume.path}
    if exports:
        described["export"] = exports
    if volume.import_ is not None:
        named = volume.import_
        described["import"] = {key: value for key in named.__slots__ if (value := getattr(named, key)) is not None}
    return described
