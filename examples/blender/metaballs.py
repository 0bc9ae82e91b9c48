"""Balls that melt into each other, at places that a number decides."""

import random
import sys
from pathlib import Path

import bpy

sys.path.append(str(Path(__file__).resolve().parent))
import studio

BALLS = 24


def balls(seed: int) -> None:
    """Put them on the stage."""
    chance = random.Random(seed)  # noqa: S311 # nothing is to be kept secret by it
    family = bpy.data.metaballs.new("balls")
    family.resolution = family.render_resolution = 0.1
    made = bpy.data.objects.new("balls", family)
    bpy.context.scene.collection.objects.link(made)
    for _ in range(BALLS):
        ball = family.elements.new()
        ball.co = [chance.uniform(-1.5, 1.5) for _ in range(3)]
        ball.radius = chance.uniform(0.4, 1)


def main() -> None:
    """Render them."""
    bpy.context.scene.render.engine = "CYCLES"
    studio.clear()
    studio.camera((0, -9, 3))
    studio.rainbow_lights(radius=6, energy=250)
    balls(seed=1)
    studio.picture("metaballs.png")


main()
