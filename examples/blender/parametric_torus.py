"""A torus with waves on it, made of a formula."""

import sys
from math import cos, pi, sin
from pathlib import Path

import bpy

sys.path.append(str(Path(__file__).resolve().parent))
import studio

AROUND, ACROSS = 160, 48


def surface(turn: float, roll: float) -> tuple[float, float, float]:
    """Return the point at two angles."""
    thickness = 0.5 + 0.08 * sin(6 * roll + 4 * turn)
    distance = 1.2 + thickness * cos(roll)
    return distance * cos(turn), distance * sin(turn), thickness * sin(roll)


def torus() -> bpy.types.Object:
    """Put it on the stage."""
    points = [
        surface(2 * pi * step / AROUND, 2 * pi * part / ACROSS) for step in range(AROUND) for part in range(ACROSS)
    ]

    def number(step: int, part: int) -> int:
        return step % AROUND * ACROSS + part % ACROSS

    faces = [
        (number(step, part), number(step + 1, part), number(step + 1, part + 1), number(step, part + 1))
        for step in range(AROUND)
        for part in range(ACROSS)
    ]
    mesh = bpy.data.meshes.new("torus")
    mesh.from_pydata(points, [], faces)
    made = bpy.data.objects.new("torus", mesh)
    bpy.context.scene.collection.objects.link(made)
    return made


def main() -> None:
    """Render it."""
    bpy.context.scene.render.engine = "CYCLES"
    studio.clear()
    studio.camera((0, -4, 3))
    studio.rainbow_lights()
    studio.smooth(torus())
    studio.picture("parametric_torus.png")


main()
