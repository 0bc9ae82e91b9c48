"""Images of a mesh in a repository of its own: copied as they are, or with all layers made one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bannock.errors import InputError
from bannock.images.references import ImageName
from bannock.images.tree import Tree

if TYPE_CHECKING:
    from bannock.images.model import Image, Layer
    from bannock.images.places import Places
    from bannock.images.tree import Found
    from bannock.images.writer import LayerWriter
    from bannock.mesh.manifests.model import Repo

__all__ = ["destination_of", "publish", "squashed"]


def destination_of(repo: Repo, image: str) -> str:
    """Return what an image is called in the repository of a mesh: its last name and its tag, there.

    Raises:
        InputError: the mesh asks for what is not done.
    """
    signing = [key for key in ("config_id", "key_file", "signature") if getattr(repo, key)]
    if signing:
        raise InputError(
            f"repo.{signing[0]}: images are not signed for clusters here",
            hint="leave it out: an image that was changed does not attest; sign others by the tool of your cluster",
        )
    name = ImageName.parse(image)
    if not name.tag:
        raise InputError(f"the image {image} has no tag, by which it would be pushed to {repo.destination}")
    last = name.repository.rpartition("/")[2]
    return ImageName.parse(f"{repo.destination.rstrip('/')}/{last}:{name.tag}").familiar


def publish(image: Image, name: str, places: Places, *, squash: bool) -> str:
    """Push an image, and return the digest that it has there.

    Raises:
        DeniedError: the registry does not let us.
        EnvironmentFault: it cannot be reached.
    """
    return places.store(squashed(image, places) if squash else image, f"docker://{name}").digest


def squashed(image: Image, places: Places) -> Image:
    """Return an image with the same files in one layer: what lower layers had, and upper ones took away, is gone.

    Raises:
        IntegrityError: a layer is not what its digests say.
    """
    tree = Tree.of(image)
    with places.new_layer() as writer:
        links = []
        for found in tree.walk():
            if found.own.kind == "hardlink":
                links.append(found)
            elif found.own.end:
                writer.copy(image.layers[found.layer], found.own)
            elif found.own.path:
                writer.directory(found.own.path)
        for found in links:
            _link(found, tree, writer, image.layers)
        layer = writer.finish()
    return image.changed(config=image.config.changed(history=()), layers=(layer,))


def _link(found: Found, tree: Tree, writer: LayerWriter, layers: tuple[Layer, ...]) -> None:
    """Add a hard link; where its other name leads elsewhere by now, a copy of the file."""
    target = tree.find(f"/{found.entry.path}", follow=False)
    if target is not None and target.entry == found.entry and target.own.kind != "hardlink":
        writer.hardlink(found.path, found.entry.path)
        return
    with layers[found.layer].content(found.entry) as content:
        entry = found.entry
        writer.file(found.path, content, entry.size, mode=entry.mode, uid=entry.uid, gid=entry.gid)
