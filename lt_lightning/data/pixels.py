"""Images of any mode as eight bits a channel, in colour or grey."""

import struct
from typing import Literal

import numpy as np
from PIL import Image

# What Pillow raises for damaged files: a SyntaxError for a PNG, a RuntimeError for an AVIF, and others.
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, Image.DecompressionBombError)

# In these formats mode "I" holds numbers of 16 bits.
_SIXTEEN_BITS = ("PNG", "PPM")


def eight_bits(image: Image.Image, mode: Literal["RGB", "L"]) -> Image.Image:
    """An opened image as RGB or grey.

    Of numbers of 16 bits the upper 8 are kept, as Pillow does in colour images; of grey ones it would make everything
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
