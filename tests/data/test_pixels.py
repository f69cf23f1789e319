"""Images of any mode as eight bits a channel."""

import io
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from lt_lightning.data.file_images import read_rgb
from lt_lightning.data.parquet import ParquetSource
from lt_lightning.data.pixels import eight_bits
from lt_lightning.errors import UsageError

STEPS = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)  # in 8 bits 0 to 255


@pytest.mark.parametrize("ending", ["png", "tif", "pgm"])
def test_grey_of_16_bits_keeps_its_shades(tmp_path, ending):
    path = tmp_path / f"grey.{ending}"
    Image.fromarray(STEPS.astype(np.int32) if ending == "pgm" else STEPS).save(path)  # Pillow 10 writes no other PGM
    found = np.asarray(read_rgb(path))
    assert (found == np.arange(256).reshape(16, 16, 1)).all()


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_numbers_of_32_bits_have_no_white(tmp_path, kind):
    path = tmp_path / "grey.tif"
    Image.fromarray(STEPS.astype(kind)).save(path)
    with pytest.raises(UsageError, match=r"grey\.tif cannot be read \(its pixels are numbers of 32 bits, of which"):
        read_rgb(path)


@pytest.mark.parametrize(("mode", "value"), [("RGB", (7, 7, 7)), ("L", 7)])
@pytest.mark.parametrize("found", ["RGB", "RGBA", "L", "LA"])
def test_colour_and_grey_are_made_of_each_other(found, mode, value):
    image = eight_bits(Image.new("RGB", (3, 2), (7, 7, 7)).convert(found), mode)
    assert (image.mode, image.getpixel((1, 1))) == (mode, value)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_transparent_palette_is_no_reason_to_warn(tmp_path, mode):
    path = tmp_path / "palette.png"
    Image.new("RGB", (3, 2), (7, 7, 7)).convert("P").save(path, transparency=bytes([10, 200]))
    with warnings.catch_warnings(), Image.open(path) as image:
        warnings.simplefilter("error")
        assert eight_bits(image, mode).mode == mode


@pytest.fixture
def one_image(tmp_path, write_parquet):
    def read(cell, channels):
        path = tmp_path / "train-00000-of-00001.parquet"
        write_parquet(path, [cell], [0], ["a"])
        return ParquetSource({"train": [path]}, channels).images("train", torch.tensor([0]))

    return read


@pytest.mark.parametrize("channels", [1, 3])
def test_parquet_files_may_hold_16_bits(one_image, channels):
    buffer = io.BytesIO()
    Image.fromarray(STEPS).save(buffer, "PNG")
    found = one_image(buffer.getvalue(), channels)
    assert found.shape == (1, channels, 16, 16)
    assert found[0, -1].flatten().tolist() == list(range(256))


def test_a_damaged_png_in_a_parquet_file_is_named(one_image, encode_png, make_pixels):
    cell = bytearray(encode_png(make_pixels(0)))
    cell[33:37] = bytes(4)  # how long its second part is
    with pytest.raises(UsageError, match="holds an image in row 0 that cannot be decoded"):
        one_image(bytes(cell), 3)
