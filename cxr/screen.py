"""Pictures shown on the user's screen or in a notebook."""

import io
import os
import sys


def show(picture: bytes) -> bool:
    """Displays an image file in the notebook that runs this process, or on a screen; whether either is there."""
    from PIL import Image, ImageShow

    image = Image.open(io.BytesIO(picture))
    if in_notebook():
        from IPython.display import display

        display(image)
        return True
    screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return screen and ImageShow.show(image)


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel; a `!command` of a notebook is a process of its own."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")
