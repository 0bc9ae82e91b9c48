"""From a native image to a protected one and its session: plan, seal, measure, put the new image together.

Nothing of the image is run. Who stores the image, and uploads the session, is the caller.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.identity.layout import LAUNCHER, LAUNCHER_MODE, original_path
from bannock.identity.manifest import EnclaveManifest
from bannock.identity.measure import measure
from bannock.identity.runtime_build import runtime_build
from bannock.identity.settings import EXTENSIONS
from bannock.identity.signing import SIGSTRUCT_SUFFIX, TREE_SUFFIX
from bannock.identity.sigstruct import FLAG_DEBUG, FLAG_MODE64BIT, XFRM_LEGACY, Attributes, SigStruct
from bannock.images.config import History
from bannock.images.sconify.clear import in_clear, unprotected_files
from bannock.images.sconify.command import command_of, files_named
from bannock.images.sconify.leftovers import find_leftovers, require_none, secrets_of
from bannock.images.sconify.options import PROTECTION_PATH
from bannock.images.sconify.order import is_untouched, small_on_top
from bannock.images.sconify.plan import plan_image
from bannock.images.sconify.protection import make_protection_file
from bannock.images.sconify.root_image import root_images
from bannock.images.sconify.sealing import seal
from bannock.images.sconify.session import Started
from bannock.images.tree import Tree, TreeReader
from bannock.images.writer import LayerWriter

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Mapping, Sequence

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from bannock.identity.tree import MeasurementTree
    from bannock.images.blobs import Scratch
    from bannock.images.model import Image, Layer
    from bannock.images.sconify.cache import SealCache
    from bannock.images.sconify.options import SconifyOptions
    from bannock.images.sconify.plan import Plan
    from bannock.images.sconify.protection import ProtectionFileOfImage
    from bannock.images.sconify.sealing import SealedImage
    from bannock.shield.format.seal import RandomBytes

__all__ = ["Converted", "Tools", "convert"]

#: What a container's own environment keeps: by it, engines find programs that are named without a path.
_KEPT: Final = ("PATH",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a conversion works with.

    Attributes:
        scratch: where layers are written.
        cache: what was sealed before.
        runtime: the layer of the runtime.
        signer: signs the program; None: nobody does.
        random: where keys come from.
        today: date of a signature.
        debug: whether a debugger may look into the enclave, as the signature says.
    """

    scratch: Scratch
    cache: SealCache
    runtime: Layer
    signer: RSAPrivateKey | None = None
    random: RandomBytes = os.urandom
    today: dt.date
    debug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """What a conversion gives.

    Attributes:
        image: the protected image.
        started: what its session says.
        sealed: what was sealed, and what was not.
        measured: paths of what is measured.
        notes: what a person should know.
        again: how many of the sealed layers were sealed before, and how many there are.
    """

    image: Image
    started: Started
    sealed: SealedImage
    measured: Collection[str]
    notes: tuple[str, ...]
    again: tuple[int, int]

    @property
    def clear(self) -> tuple[str, ...]:
        """What stays in clear, a line for each directory."""
        return tuple(in_clear(self.sealed, self.measured))


def convert(
    image: Image,
    options: SconifyOptions,
    tools: Tools,
    *,
    name: str,
    base: Image | None = None,
    steady: int | None = None,
    tree: Tree | None = None,
) -> Converted:
    """Make a protected image.

    Args:
        image: the native image.
        options: what is asked for.
        tools: what to work with.
        name: of the new image.
        base: the image that it is made on; None: the native one's own files.
        steady: how many of its lowest layers change seldom; what is put between them and the others has to be neither
            stored nor pushed again when the others change. None: all of it is put on top.
        tree: files of the native image, where they are known.

    Raises:
        InputError: a path is not there, something secret would be left in clear, or the command is not the program's.
        IntegrityError: a layer is not what it has to be.
        EnvironmentFault: the file system refuses.
    """
    _require_native(image, options)
    plan = plan_image(image, options, base, tree)
    reader = TreeReader(plan.tree)
    command = command_of(image.config, options.command, plan.start.program, reader)
    environment = {**(dict(image.config.env) if options.copy_environment else {}), **options.environment}
    secrets = secrets_of({**dict(image.config.env), **options.environment})
    sealed = seal(plan, tools.scratch, tools.cache, tools.random)
    require_none(find_leftovers(sealed, options.places, secrets, tools.cache))
    _require_no_secrets(image, secrets)
    protection = make_protection_file(sealed, tools.scratch, tools.cache, tools.random)
    roots = (
        root_images(plan.tree, options, plan.start.program, tools.scratch, tools.cache) if options.binary_fs else ()
    )
    settings = {**options.settings, **({EXTENSIONS: ":".join(root.path for root in roots)} if roots else {})}
    own = [_own_file(tools.scratch, protection, options.protection_file)] if protection is not None else []
    added = [*own, *(root.layer for root in roots)]
    native = [*(base.layers if base is not None else ()), *(layer.layer for layer in sealed.layers)]
    # What is measured of the runtime is its build, and nothing of its layer.
    measured = _measure(native, added, plan, settings)
    if steady is not None and len(roots) > 1 and is_untouched(native[steady:], plan.start.program):
        small = small_on_top(native[steady:])
        rest, top = native[steady : len(native) - small], [*native[len(native) - small :], added.pop()]
        program, above = _program(plan, tools), _above(top, plan, tools, measured)
        layers = [*native[:steady], tools.runtime, *added, program, *rest, above]
    else:
        layers = [*native, tools.runtime, *added, _program(plan, tools, measured)]
    made = _with_config(image, options, settings, layers)
    named = files_named(command, image.config.working_dir, reader)
    unprotected = [] if options.binary_fs else unprotected_files(named, sealed, plan.measured)
    started = Started(
        image=name,
        command=command,
        environment=environment,
        directory=image.config.working_dir or "/",
        measurement=measured.root,
        protection=protection,
        protection_path=options.protection_file,
    )
    return Converted(
        image=made,
        started=started,
        sealed=sealed,
        measured=plan.measured,
        notes=(*image.notes, *plan.notes, *map(_open_to_change, unprotected)),
        again=_again(sealed),
    )


def _require_native(image: Image, options: SconifyOptions) -> None:
    places = {path.removeprefix("/") for path in (PROTECTION_PATH, options.protection_file)}
    if any(entry.path in places for layer in image.layers for entry in layer.entries()):
        raise InputError(
            f"{image.reference or 'the image'} is a protected image already",
            hint="name the native image that it was made of",
        )


def _open_to_change(path: str) -> str:
    return (
        f"{path} is named by the command, and stays in clear: whoever changes the image changes it, too; "
        f"add --dir {path.rpartition('/')[0] or '/'}"
    )


def _require_no_secrets(image: Image, secrets: Mapping[str, bytes]) -> None:
    """See that nothing that stays in the configuration has the value of a secret."""
    config = image.config
    texts = {f"the label {name}": value for name, value in config.labels.items()}
    texts["the health check"] = str(dict(config.healthcheck)) if config.healthcheck else ""
    texts["the user"], texts["the author"] = config.user, config.author
    for where, text in texts.items():
        for name, value in secrets.items():
            if value.decode("utf-8", "surrogateescape") in text:
                raise InputError(
                    f"{where} of the image has the value of the variable {name} in clear",
                    hint="build the native image without it; variables are moved to the session, labels are not",
                )


def _own_file(scratch: Scratch, protection: ProtectionFileOfImage, place: str) -> Layer:
    with LayerWriter(scratch) as writer:
        writer.file(place, protection.content)
        return writer.finish()


def _measure(
    native: Sequence[Layer], added: Sequence[Layer], plan: Plan, settings: Mapping[str, str]
) -> MeasurementTree:
    manifest = EnclaveManifest(binary=plan.start.program, settings=dict(settings))
    # To put all layers on top of each other once more takes as long as all else here; what is added is the runtime's.
    tree = plan.tree if plan.tree.layers == tuple(native) else Tree(tuple(native))
    for layer in added:
        tree.add(layer)
    return measure(manifest, TreeReader(tree), runtime_build())


def _program(plan: Plan, tools: Tools, measured: MeasurementTree | None = None) -> Layer:
    """Write the layer that has the launcher in the place of the program, and the signature if it is measured here."""
    path = plan.start.program
    found = plan.tree.find(path)
    if found is None:
        raise InputError(f"there is no program {path} in the image")
    entry = found.entry
    with LayerWriter(tools.scratch) as writer:
        with plan.tree.open(path) as content:
            writer.file(
                original_path(path), content, entry.size, mode=entry.mode, uid=entry.uid, gid=entry.gid
            )  # fmt: skip
        writer.file(path, LAUNCHER, mode=LAUNCHER_MODE)
        if tools.signer is not None and measured is not None:
            _sign(writer, path, tools, tools.signer, measured)
        return writer.finish()


def _above(top: Sequence[Layer], plan: Plan, tools: Tools, measured: MeasurementTree) -> Layer:
    """Write one layer of what changes with every file: the uppermost layers, the last one wins, and the signature."""
    entries = {entry.path: (layer, entry) for layer in top for entry in layer.entries()}
    with LayerWriter(tools.scratch) as writer:
        # A directory is in the place that it had first, in front of what is in it.
        for layer, entry in entries.values():
            writer.copy(layer, entry)
        if tools.signer is not None:
            _sign(writer, plan.start.program, tools, tools.signer, measured)
        return writer.finish()


def _sign(writer: LayerWriter, path: str, tools: Tools, signer: RSAPrivateKey, measured: MeasurementTree) -> None:
    signed = SigStruct(
        measurement=measured.root,
        product_id=0,
        svn=0,
        date=tools.today,
        attributes=Attributes(FLAG_MODE64BIT | (FLAG_DEBUG if tools.debug else 0), XFRM_LEGACY),
        misc_select=0,
    ).sign(signer)
    writer.file(path + SIGSTRUCT_SUFFIX, signed.to_bytes())
    writer.file(path + TREE_SUFFIX, measured.to_json())


def _with_config(image: Image, options: SconifyOptions, settings: Mapping[str, str], layers: list[Layer]) -> Image:
    """Move what is protected from the configuration to the session."""
    config, native = image.config, dict(image.config.env)
    environment = {name: native[name] for name in _KEPT if name in native}
    environment["SCONE_CONFIG_ID"] = f"{options.session}/{options.service}"
    given = {"SCONE_CAS_ADDR": options.cas, "BANNOCK_CAS_KEY": options.cas_key, "SCONE_LAS_ADDR": options.las}
    given["SCONE_LOG"] = options.log
    environment |= {name: value for name, value in given.items() if value is not None}
    environment |= settings
    program = (options.binary,)
    changed = config.changed(
        entrypoint=program if config.entrypoint else (),
        cmd=() if config.entrypoint else program,
        env=tuple(environment.items()),
        working_dir="",
        on_build=(),
        history=tuple(History(created_by="bannock sconify") for _ in layers),
    )
    return image.changed(config=changed, layers=layers)


def _again(sealed: SealedImage) -> tuple[int, int]:
    made = [layer for layer in sealed.layers if layer.name]
    return sum(layer.again for layer in made), len(made)
