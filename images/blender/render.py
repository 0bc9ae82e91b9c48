"""Render the .blend files of the inputs, each as its settings say, and number the pictures by their frames.

FILE.blend gives 0001.png in the outputs; of several files, each has a directory of its own name. Frames are those from
$FRAME_FIRST to $FRAME_LAST; without these, the first alone. Nothing that a .blend file would run is run.
"""

import os
import sys
from pathlib import Path

import bpy

INPUTS = Path(os.environ.get("RENDER_INPUTS", "/encryptedInputs"))
OUTPUTS = Path(os.environ.get("RENDER_OUTPUTS", "/encryptedOutputs"))


def frames() -> range:
    """Return the frames to render."""
    first = int(os.environ.get("FRAME_FIRST") or 1)
    return range(first, int(os.environ.get("FRAME_LAST") or first) + 1)


def render(path: Path, target: Path) -> None:
    """Render the scene that a file was saved with, whatever it says about where its pictures go."""
    bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False, use_scripts=False)
    settings = bpy.context.scene.render
    settings.image_settings.file_format = "PNG"
    settings.use_file_extension = False
    target.mkdir(parents=True, exist_ok=True)
    for frame in frames():
        bpy.context.scene.frame_set(frame)
        settings.filepath = str(target / f"{frame:04}.png")
        bpy.ops.render.render(write_still=True)


def main() -> None:
    """Render all."""
    found = sorted(INPUTS.rglob("*.blend"))
    if not found:
        sys.exit(f"there is no .blend file in {INPUTS}")
    for path in found:
        below = path.relative_to(INPUTS).with_suffix("")
        render(path, OUTPUTS if len(found) == 1 else OUTPUTS / below)


# Blender itself would go on after an error, and end as if there had been none.
try:
    main()
except Exception as error:  # noqa: BLE001 # the outermost door of this program
    sys.exit(f"cannot render: {error}")
