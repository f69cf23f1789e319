"""Images of any mode as eight bits a channel, in colour or grey."""

import struct
from typing import Literal

import numpy as np
from PIL import Image

# What Pillow raises of a file that is damaged; of a PNG that is a SyntaxError, of an AVIF a RuntimeError.
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, Image.DecompressionBombError)

# Modes "I" of these are numbers of 16 bits, wherever Pillow's version opens them as such.
_SIXTEEN_BITS = ("PNG", "PPM")


def eight_bits(image: Image.Image, mode: Literal["RGB", "L"]) -> Image.Image:
    """An opened image as RGB or grey.

    Numbers of 16 bits lose their lower half, as Pillow does it in colour images; of grey ones it would make everything
    above 255 white. An alpha channel is left out.

    Args:
        image: As Pillow opens it.
        mode: ``RGB`` or ``L``.

    Raises:
        ValueError: If pixels are numbers of 32 bits, of which nobody knows what white is.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _SIXTEEN_BITS):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise ValueError("its pixels are numbers of 32 bits, of which nothing says what is white; save 8 or 16 bits")
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns about the direct way
    return image if image.mode == mode else image.convert(mode)
