"""Volumes as file systems that the kernel asks for through /dev/fuse, without libfuse."""

from __future__ import annotations

from bannock.shield.fuse.device import try_mount
from bannock.shield.fuse.server import FuseServer

__all__ = ["FuseServer", "try_mount"]
