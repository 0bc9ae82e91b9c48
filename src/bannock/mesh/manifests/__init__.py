"""The manifests of services and of meshes: typed, read with the error quality of the session language."""

from bannock.mesh.manifests.model import MeshManifest, ServiceManifest
from bannock.mesh.manifests.parse import parse_manifest, parse_mesh, parse_service

__all__ = ["MeshManifest", "ServiceManifest", "parse_manifest", "parse_mesh", "parse_service"]
