"""The room of meshes: from manifests of services and of a mesh to images, sessions and a chart."""

__all__: list[str] = []
