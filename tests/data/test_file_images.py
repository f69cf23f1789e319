import io
import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from lt_lightning.data.file_images import FileImages, FileList, SeededBatch, SeededBatches, read_rgb
from lt_lightning.data.transforms import train_transform
from lt_lightning.errors import UsageError
from lt_lightning.samplers import InstanceSampler, ShardedBatchSampler


def test_paths_are_a_list_without_its_strings():
    """Counting references to a million of these would copy them into every worker process."""
    names = ["ant/0.png", "", "bee/Käfer 名.jpg", "cat/\udcff\ud800.png", "ant/0.png"]
    files = FileList(names, torch.arange(5))
    assert [*files.paths] == [files.paths[i] for i in range(5)] == names
    assert (len(files.paths), files.paths[-2], files.paths[1:4:2]) == (5, names[3], names[1:4:2])
    assert list(files.rows(torch.tensor([4, 2])).paths) == [names[4], names[2]]
    with pytest.raises(IndexError):
        files.paths[5]
    images = FileImages(Path("root"), files, train_transform(12))
    assert FileList(images.paths, images.targets).paths is images.paths  # packed once
    assert not any(isinstance(each, str | list) for each in vars(images.paths).values())
    assert list(pickle.loads(pickle.dumps(images.paths))) == names


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
    with pytest.raises(UsageError, match=r"The image .*broken\.png cannot be read \(.*\); replace it, remove it"):
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


def test_an_image_too_large_for_the_memory_is_named(images):
    images.transform = lambda image: bytearray(2**62)
    with pytest.raises(UsageError, match=r"The image .*ant.4\.png takes more memory than there is; replace it by"):
        images.__getitems__([4])


def test_a_seeded_batch_draws_from_its_seed_and_leaves_the_generator_alone(images):
    state = torch.get_rng_state()
    first = images.__getitems__(SeededBatch([0, 1, 2], 5))[0]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, images.__getitems__(pickle.loads(pickle.dumps(SeededBatch([0, 1, 2], 5))))[0])
    assert not torch.equal(first, images.__getitems__(SeededBatch([0, 1, 2], 6))[0])


def seeds_of(epoch=0, **options):
    sampler = InstanceSampler(torch.zeros(10, dtype=torch.int64), seed=1)
    sampler.set_epoch(epoch)
    plain, seeded = (ShardedBatchSampler(sampler, 4, **options) for _ in range(2))
    batches = list(SeededBatches(seeded))
    assert batches == list(plain)
    return [batch.seed for batch in batches]


def test_every_batch_has_a_seed_of_its_own(monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "4")
    first = seeds_of()
    others = [seeds_of(epoch=1), seeds_of(rank=0, world_size=2), seeds_of(rank=1, world_size=2)]
    assert others[1] == first  # the first of two processes is known by its number alone
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    found = [*first, *others[0], *others[2], *seeds_of()]
    assert len(set(found)) == len(found) == 12


def test_a_resumed_epoch_has_the_seeds_of_its_steps():
    assert seeds_of(skip_batches=1) == seeds_of()[1:]


def test_lightning_finds_the_sampler_and_the_number_of_batches():
    sampler = InstanceSampler(torch.zeros(10, dtype=torch.int64), seed=1)
    batches = SeededBatches(ShardedBatchSampler(sampler, 4))
    assert batches.sampler is sampler
    assert len(batches) == 3
