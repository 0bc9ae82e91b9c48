"""What the scenes of this directory share: an empty stage, a camera, coloured lights, smooth surfaces, a picture."""

import colorsys
import os
from math import cos, pi, sin
from pathlib import Path

import bpy
from mathutils import Vector

#: Beside the directory of the inputs is that of the outputs, in an enclave as well as here.
OUTPUTS = Path(__file__).resolve().parent.parent / "encryptedOutputs"
SIZE = int(os.environ.get("PICTURE_SIZE", "500"))


def clear() -> None:
    """Take everything off the stage."""
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing, do_unlink=True)


def camera(place: tuple[float, float, float], target: tuple[float, float, float] = (0, 0, 0)) -> None:
    """Put the camera at a place, and have it look at another one."""
    made = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    made.location = place
    made.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(made)
    bpy.context.scene.camera = made


def rainbow_lights(radius: float = 5, count: int = 10, energy: float = 100) -> None:
    """Set lights of all colours around the stage, and one above it."""
    for index in range(count):
        angle = 2 * pi * index / count
        light = bpy.data.lights.new(f"rainbow {index}", "POINT")
        light.color = colorsys.hsv_to_rgb(index / count, 1, 1)
        light.energy = energy
        _place(light, (radius * cos(angle), radius * sin(angle), 0))
    above = bpy.data.lights.new("above", "SUN")
    above.energy = 0.5
    _place(above, (0, 0, 10))


def smooth(thing: bpy.types.Object, level: int = 0) -> None:
    """Show a surface without its edges, finer by a level of subdivision if there is one."""
    for polygon in thing.data.polygons:
        polygon.use_smooth = True
    if level:
        subdivision = thing.modifiers.new("subdivision", "SUBSURF")
        subdivision.levels = subdivision.render_levels = level


def picture(name: str) -> None:
    """Render what the camera sees into the outputs, without a display and without a graphics card."""
    scene = bpy.context.scene
    if scene.render.engine == "CYCLES":
        scene.cycles.device = "CPU"
        scene.cycles.samples = 16
        scene.cycles.use_denoising = False
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "PNG"
    OUTPUTS.mkdir(exist_ok=True)
    scene.render.filepath = str(OUTPUTS / name)
    bpy.ops.render.render(write_still=True)


def _place(light: bpy.types.Light, place: tuple[float, float, float]) -> None:
    made = bpy.data.objects.new(light.name, light)
    made.location = place
    bpy.context.scene.collection.objects.link(made)
