"""A smooth sphere under lights of all colours."""

import sys
from pathlib import Path

import bpy

# Modules beside this file are found wherever it is.
sys.path.append(str(Path(__file__).resolve().parent))
import studio


def main() -> None:
    """Render it."""
    studio.clear()
    studio.camera((0, -3.5, 0))
    studio.rainbow_lights()
    bpy.ops.mesh.primitive_ico_sphere_add()
    studio.smooth(bpy.context.object, level=3)
    studio.picture("simple_sphere.png")


main()
