import io
import pickle

import pytest
import torch
from PIL import Image

from lt_lightning.data.file_images import FileImages, FileList, read_rgb
from lt_lightning.data.seeded_batches import SeededBatch
from lt_lightning.data.transforms import train_transform
from lt_lightning.errors import UsageError


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "1", "P", "CMYK"])
def test_every_mode_is_read_as_rgb(tmp_path, mode):
    name = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB", (4, 3), (255, 255, 255)).convert(mode).save(name)
    image = read_rgb(name)
    assert (image.mode, image.size) == ("RGB", (4, 3))
    assert min(low for low, _ in image.getextrema()) > 250


def test_a_transparent_palette_is_read_without_a_warning(folder_root):
    path = folder_root / "train" / "ant" / "3.png"
    with Image.open(path) as image:
        assert image.mode == "P"
        assert isinstance(image.info["transparency"], bytes)
    assert read_rgb(path).mode == "RGB"


def dds_of_no_format():
    """A file of which Pillow says NotImplementedError, as it says RuntimeError of a damaged AVIF."""
    buffer = io.BytesIO()
    Image.new("RGBA", (4, 4)).save(buffer, format="DDS")
    return buffer.getvalue()[:80] + bytes(4) + buffer.getvalue()[84:]


@pytest.mark.parametrize("content", [b"", b"text", None, dds_of_no_format()])
def test_an_unreadable_image_is_named(tmp_path, content):
    path = tmp_path / "broken.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"The image .*broken\.png cannot be read \(.*\); replace it, take it off"):
        read_rgb(path)


def test_a_cut_off_image_is_named(folder_root):
    path = folder_root / "train" / "ant" / "0.png"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UsageError, match=r"ant.0\.png cannot be read"):
        read_rgb(path)


@pytest.fixture
def images(folder_root):
    return FileImages(
        folder_root, FileList([f"train/ant/{i}.png" for i in range(9)], torch.arange(9)), train_transform(12)
    )


def test_a_batch_is_stacked(images):
    batch, targets = images.__getitems__([4, 1, 8])
    assert batch.shape == (3, 3, 12, 12)
    assert batch.dtype == torch.uint8
    assert targets.tolist() == [4, 1, 8]
    assert len(images) == 9


def test_a_seeded_batch_draws_from_its_seed_and_leaves_the_generator_alone(images):
    state = torch.get_rng_state()
    first = images.__getitems__(SeededBatch([0, 1, 2], 5))[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, images.__getitems__(pickle.loads(pickle.dumps(SeededBatch([0, 1, 2], 5))))[0])
    assert not torch.equal(first, images.__getitems__(SeededBatch([0, 1, 2], 6))[0])
