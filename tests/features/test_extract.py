import importlib
import shutil
from collections import namedtuple

import pytest
import torch

from lt_lightning.augmentations import Augmentation, AutoAugment, Cutout, NoAugmentation
from lt_lightning.backbones import Backbone, ResNet20, SmallCNN
from lt_lightning.data import DigitsLT, ImageFolderLT, shared_memory
from lt_lightning.devices.tf32 import tf32
from lt_lightning.errors import UsageError
from lt_lightning.features import ExtractionOptions, extract
from lt_lightning.features.extract import _block_seed
from lt_lightning.features.views import BLOCK, Block
from tests.one_device import OneDevice


@pytest.fixture
def digits_data():
    return DigitsLT(crop_padding=1)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_one_view_is_what_evaluation_shows(split, counting, digits_data, options):
    images = digits_data.split(split)
    found = extract(counting, digits_data, split, options=options())
    pixels, targets = images.__getitems__(list(range(len(images))))
    with torch.inference_mode():
        expected = counting.eval()(digits_data.to_input(pixels, training=False, generator=None))
    torch.testing.assert_close(found.values[0], expected)
    assert torch.equal(found.targets, targets)
    assert found.values.shape == (1, len(images), 8)
    assert found.record == {"views": 1, "seed": None, "precision": "fp32", "dtype": "float32"}


def test_the_backbone_is_left_as_it_was(counting, digits_data, options):
    before = {name: tensor.clone() for name, tensor in counting.state_dict().items()}
    extract(counting, digits_data, options=options(channels_last=True))
    assert counting.training
    assert all(parameter.requires_grad for parameter in counting.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in counting.state_dict().items())


def test_draws_depend_on_seed_and_view_and_not_on_the_batch(counting, digits_data, options):
    first = extract(counting, digits_data, views=3, seed=1, options=options())
    again = extract(counting, digits_data, views=3, seed=1, options=options(batch_size=19))
    fewer = extract(counting, digits_data, views=2, seed=1, options=options())
    other = extract(counting, digits_data, views=2, seed=2, options=options())
    torch.testing.assert_close(first.values, again.values)
    torch.testing.assert_close(first.values[:2], fewer.values)
    assert not torch.allclose(first.values[0], first.values[1])
    assert not torch.allclose(fewer.values, other.values)


def test_each_block_of_a_view_draws_for_itself():
    places = [Block(view, start, start + BLOCK) for view in range(3) for start in range(0, 4 * BLOCK, BLOCK)]
    assert len({_block_seed(seed, place) for seed in (0, 1) for place in places}) == 24


def test_extraction_leaves_random_states_as_they_were(counting, digits_data, options):
    before = torch.get_rng_state()
    extract(counting, digits_data, views=2, seed=1, options=options())
    assert torch.equal(torch.get_rng_state(), before)


def test_all_views_hold_every_draw(counting, options):
    data = DigitsLT(crop_padding=1, flip=True)
    every = extract(counting, data, views="all", options=options())
    drawn = extract(counting, data, views=2, options=options())
    plain = extract(counting, data, options=options())
    assert every.values.shape[0] == data.count_views() == 18
    distance = (every.values[None] - drawn.values[:, None]).abs().amax(-1)  # (2, 18, N)
    assert float(distance.amin(1).max()) < 1e-5
    torch.testing.assert_close(every.values[4], plain.values[0])  # the crop in the middle


def test_files_are_drawn_by_position_too(folder_root, options):
    data = ImageFolderLT(str(folder_root), image_size=16, num_workers=0)
    in_workers = ImageFolderLT(str(folder_root), image_size=16, num_workers=1)
    backbone = ResNet20()
    here = extract(backbone, data, views=2, seed=3, options=options())
    there = extract(backbone, in_workers, views=2, seed=3, options=options())
    torch.testing.assert_close(here.values, there.values)
    assert not torch.allclose(here.values[0], here.values[1])
    # One view is the middle of the image, also of those that train.
    pixels, _ = data.undistorted("train").__getitems__([0, 1])
    plain = extract(backbone, data, options=options())
    with torch.inference_mode():
        expected = backbone.eval()(data.to_input(pixels, training=False, generator=None))
    torch.testing.assert_close(plain.values[0, :2], expected)


@pytest.mark.parametrize(("dtype", "precision", "tolerance"), [("float16", "fp32", 1e-3), ("bfloat16", "bf16", 3e-2)])
def test_half_precision_is_near(dtype, precision, tolerance, counting, digits_data, options):
    exact = extract(counting, digits_data, options=options()).values
    near = extract(counting, digits_data, options=options(dtype=dtype, precision=precision, cache=True)).values
    assert near.dtype == getattr(torch, dtype)
    assert 0 < float((near.float() - exact).abs().max() / exact.abs().max()) < tolerance


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"views": 0}, '`views` must be 1, a larger number or "all", but got 0'),
        ({"views": 2, "split": "test"}, "`views` 2 augment, which is for training images, but `split` is 'test'; use"),
        ({"views": "all", "split": "val"}, "`views` all augment"),
        ({"split": "val", "data": DigitsLT(val_from="none")}, r"`DigitsLT` has no validation images\.$"),
    ],
)
def test_what_cannot_be_extracted_is_said(arguments, sentence, counting, digits_data, options):
    with pytest.raises(UsageError, match=sentence):
        extract(counting, arguments.pop("data", digits_data), options=options(), **arguments)


def test_files_have_no_list_of_views(folder_root, options):
    with pytest.raises(UsageError, match=r'`views` "all" needs .* `ImageFolderLT` has none; give'):
        extract(SmallCNN(8, in_channels=3), ImageFolderLT(str(folder_root)), views="all", options=options())


class Typed(DigitsLT):
    """Digits whose input is whatever the pixels become."""

    def __init__(self, become):
        super().__init__()
        self.become = become

    def to_input(self, images, training, generator):
        return self.become(images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_inputs_come_in_the_type_of_the_weights(dtype, counting, options):
    found = extract(counting, Typed(lambda images: images.to(dtype)), "val", options=options())
    expected = extract(counting, Typed(lambda images: images.float()), "val", options=options())
    assert torch.equal(found.values, expected.values)


def test_inputs_that_are_not_taken_are_named(counting, options):
    with pytest.raises(UsageError, match=r"`backbone` Counting does not take inputs in torch.int64 \(.*images.float"):
        extract(counting, Typed(lambda images: images.long()), "val", options=options())
    with pytest.raises(UsageError, match="must give one tensor, but gave a dictionary with 'pixels'"):
        extract(counting, Typed(lambda images: {"pixels": images}), "val", options=options())


def test_batches_that_are_no_pairs_are_refused(monkeypatch, counting, digits_data, options):
    images = type(digits_data.split("val"))
    monkeypatch.setattr(images, "__getitems__", lambda self, indices: {"pixels": self.images[indices]})
    with pytest.raises(UsageError, match=r"`InMemoryImages` must give batches .* but gave a dictionary with 'pixels'"):
        extract(counting, digits_data, "val", options=options())


def test_broken_backbones_are_found(monkeypatch, counting, digits_data, options):
    counting.num_features = 9
    with pytest.raises(UsageError, match=r"announces `num_features` 9, but gives features of shape \(8,\)"):
        extract(counting, digits_data, options=options())
    counting.num_features = 8
    with monkeypatch.context() as patch:
        patch.setattr(counting, "forward", lambda images: (images, images))
        with pytest.raises(UsageError, match=r"must give features \(N, 8\), but gave a tuple"):
            extract(counting, digits_data, options=options())
    torch.nn.init.constant_(counting.inner.layers[0].weight, float("nan"))
    with pytest.raises(UsageError, match="infinite or not a number in `precision` fp32 and `dtype` float32"):
        extract(counting, digits_data, options=options())


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"batch_size": 0}, "`batch_size` of an extraction must lie in 1 to 256, but got 0"),
        ({"device": "gpu"}, "`features.device` must be `auto` or a device of this machine, cpu.*, but got 'gpu'"),
        ({"batch_size": 257}, "`batch_size` of an extraction must lie in 1 to 256, but got 257"),
        ({"precision": "fp16"}, "`precision` must be one of fp32, bf16, but got 'fp16'"),
        ({"dtype": "float64"}, "`dtype` must be one of float32, bfloat16, float16, but got 'float64'"),
    ],
)
def test_options_are_checked(given, sentence):
    with pytest.raises(UsageError, match=sentence):
        ExtractionOptions(**given)


# -- cache ---------------------------------------------------------------------------------------------------------


def test_a_second_run_computes_nothing(counting, digits_data, options, capsys):
    first = extract(counting, digits_data, views=2, options=options(cache=True))
    passes = counting.passes
    assert "computed in" in capsys.readouterr().out
    second = extract(counting, digits_data, views=2, options=options(cache=True))
    assert counting.passes == passes
    assert torch.equal(first.values, second.values)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("features of train: 2 views of 276 images × 8, from ")
    torch.testing.assert_close(first.values, extract(counting, digits_data, views=2, options=options()).values)


def test_the_first_of_more_draws_are_found(counting, digits_data, options, capsys):
    more = extract(counting, digits_data, views=5, seed=3, options=options(cache=True))
    passes = counting.passes
    capsys.readouterr()
    found = extract(counting, digits_data, views=2, seed=3, options=options(cache=True))
    assert counting.passes == passes
    assert torch.equal(found.values, more.values[:2])
    assert (found.record["views"], more.record["views"]) == (2, 5)
    assert found.record["key"] != more.record["key"]
    assert capsys.readouterr().out.startswith("features of train: 2 views of 276 images × 8, from ")
    for other in ({"views": 2, "seed": 4}, {"views": 1, "seed": 3}, {"views": 6, "seed": 3}):
        passes = counting.passes
        extract(counting, digits_data, **other, options=options(cache=True))
        assert counting.passes > passes, other


@pytest.mark.parametrize("change", ["weight", "statistic", "images", "order", "padding", "mean", "seed", "precision"])
def test_what_has_changed_is_extracted_anew(change, counting, digits_data, options, monkeypatch):
    extract(counting, digits_data, views=2, options=options(cache=True))
    passes, seed, more = counting.passes, 0, {}
    if change == "weight":
        counting.inner.layers[0].weight.data[0, 0, 0, 0] += 1e-6
    elif change == "statistic":
        counting.inner.layers[1].running_var[0] += 1e-6
    elif change == "images":
        digits_data.split("train").images[0, 0, 0, 0] += 1
    elif change == "order":
        images = digits_data.split("train").images
        images[:2] = images[:2].flip(0)
    elif change == "padding":
        digits_data = DigitsLT(crop_padding=2)
    elif change == "mean":
        facts = digits_data.facts
        monkeypatch.setattr(DigitsLT, "facts", type(facts)(**vars(facts) | {"mean": (0.5,)}))
    elif change == "seed":
        seed = 1
    else:
        more = {"precision": "bf16"}
    extract(counting, digits_data, views=2, seed=seed, options=options(cache=True, **more))
    assert counting.passes > passes


def test_what_plays_no_part_changes_nothing(counting, options):
    extract(counting, DigitsLT(), options=options(cache=True))
    passes = counting.passes
    other = DigitsLT(batch_size=5, crop_padding=3, flip=True)  # augmentation, of which one plain view has none
    extract(counting, other, seed=7, options=options(cache=True, batch_size=5, progress=True))
    assert counting.passes == passes


def test_a_changed_file_is_read_again(folder_root, options, capsys):
    data = ImageFolderLT(str(folder_root), image_size=16, num_workers=0)
    backbone = ResNet20()
    first = extract(backbone, data, options=options(cache=True))
    names = data.split("train").paths
    shutil.copyfile(folder_root / names[-1], folder_root / names[0])
    changed = ImageFolderLT(str(folder_root), image_size=16, num_workers=0)
    capsys.readouterr()
    second = extract(backbone, changed, options=options(cache=True))
    assert "computed" in capsys.readouterr().out
    torch.testing.assert_close(second.values[:, 0], first.values[:, -1])


def test_an_interrupted_extraction_goes_on(counting, digits_data, options, tmp_path, capsys):
    expected = extract(counting, digits_data, views=5, options=options(batch_size=256)).values
    counting.__class__.passes, counting.__class__.fails_after = 0, 6  # two blocks a view
    with pytest.raises(KeyboardInterrupt):
        extract(counting, digits_data, views=5, options=options(cache=True, batch_size=256))
    (left,) = (tmp_path / "cache").glob("*.partial")
    assert not (left / "record.json").exists()
    counting.__class__.fails_after = None
    capsys.readouterr()
    found = extract(counting, digits_data, views=5, options=options(cache=True, batch_size=256))
    assert counting.passes == 10
    assert "6 of 10 blocks are in" in capsys.readouterr().out
    assert torch.equal(found.values, expected)
    assert not left.exists()


def test_full_disks_are_found_before_the_first_pass(counting, digits_data, options, monkeypatch, tmp_path):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 5_000))
    sentence = r"`cache` '.*cache' needs 17.7 kB for the features of 2 views of 276 images, but has 5.0 kB free; make"
    with pytest.raises(UsageError, match=sentence):
        extract(counting, digits_data, views=2, options=options(cache=True))
    assert counting.passes == 0


def test_a_long_extraction_of_a_split_says_so(counting, digits_data, options, monkeypatch, capsys):
    monkeypatch.setattr("time.perf_counter", lambda: 128.0 * counting.passes)  # a second an image: 256 in the first two
    extract(counting, digits_data, views=2, options=options(progress=True))
    said = "features of train: about 9.2 minutes; `views` 1 would take 4.6 minutes\n"  # 276 images
    assert capsys.readouterr().out.count(said) == 1


class OnDevice(Augmentation):
    """Draws where the images are, which a generator on the CPU cannot."""

    def __call__(self, images, generator=None):
        torch.rand(len(images), generator=generator, device=images.device)
        return images


class Zeros(Backbone):
    """Images of a device without values have features on the CPU, all of them 0."""

    num_features = 8

    def forward(self, images):
        return torch.zeros(len(images), 8)


@pytest.fixture
def elsewhere(options):
    """Options for a device that draws from no generator on the CPU."""
    with OneDevice():
        yield options(device="meta")


@pytest.mark.parametrize("augmentation", [NoAugmentation, AutoAugment, Cutout])
def test_views_of_images_on_another_device_are_drawn_on_the_cpu(augmentation, elsewhere):
    data = DigitsLT(crop_padding=1, augmentation=augmentation)
    found = extract(Zeros(), data, views=2, options=elsewhere)
    assert found.values.shape == (2, len(data.split("train")), 8)


def test_an_augmentation_that_draws_on_another_device_is_told_how(elsewhere):
    data = DigitsLT(augmentation=OnDevice)
    with pytest.raises(UsageError, match="`data` DigitsLT or its `augmentation` draws on the meta device"):
        extract(Zeros(), data, views=2, options=elsewhere)


def test_other_errors_of_an_augmentation_stay_what_they_are(counting, options):
    class Broken(OnDevice):
        def __call__(self, images, generator=None):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        extract(counting, DigitsLT(augmentation=Broken), views=2, options=options())


@pytest.mark.filterwarnings("ignore:Please use the new API settings to control TF32")  # torch 2.9, to whoever asks
def test_features_in_fp32_are_no_products_of_tf32_numbers(monkeypatch, digits_data, options):
    """Whatever the process had allowed before; convolutions of torch may be, unless told otherwise."""
    module = importlib.import_module(extract.__module__)
    monkeypatch.setattr(module, "tf32", lambda allowed, _: tf32(allowed, torch.device("cuda")))
    found = []

    class Asking(SmallCNN):
        def forward(self, images):
            found.append(torch.backends.cudnn.allow_tf32)
            return super().forward(images)

    for precision in ("fp32", "bf16"):
        extract(Asking(8), digits_data, "val", options=options(precision=precision))
    assert found[:1] + found[-1:] == [False, True]


def test_blocks_that_shared_memory_has_no_room_for_are_refused(folder_root, counting, options, monkeypatch):
    data = ImageFolderLT(str(folder_root), image_size=16, num_workers=1)
    monkeypatch.setattr(shared_memory, "free_room", lambda place: 768)
    with pytest.raises(UsageError, match=r"^`data\.num_workers` 1 need at least .* of /dev/shm"):
        extract(counting, data, options=options())
