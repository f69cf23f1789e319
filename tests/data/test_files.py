import os

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer

from lt_lightning.augmentations import ColorJitter, NoAugmentation
from lt_lightning.data import ImageFolderLT
from lt_lightning.data.file_images import read_rgb
from lt_lightning.data.files import ImageFilesLT
from lt_lightning.data.transforms import eval_transform
from lt_lightning.errors import UsageError

# A machine with one core, and Python 3.12 and later, warn about worker processes; neither is what is tested here.
with_workers = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def test_batches_are_mirrored_image_by_image_while_training(folder_root):
    data = ImageFolderLT(root=str(folder_root))
    images = torch.randint(0, 256, (400, 3, 2, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    plain = data.to_input(images, False, None)
    seen = data.to_input(images, True, torch.Generator().manual_seed(0))
    mirrored = (seen == plain.flip(-1)).flatten(1).all(dim=1)
    assert torch.equal(mirrored, ~(seen == plain).flatten(1).all(dim=1))
    assert 170 < int(mirrored.sum()) < 230
    assert torch.equal(seen, data.to_input(images, True, torch.Generator().manual_seed(0)))


def test_augmentation_changes_colours_only_if_asked(folder_root):
    images = torch.tensor([100, 150, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(6, 3, 5, 5).contiguous()
    made = [ImageFolderLT(root=str(folder_root), augmentation=kind) for kind in (NoAugmentation, ColorJitter)]
    plain, jittered = (data.to_input(images, True, torch.Generator().manual_seed(0)) for data in made)
    assert torch.equal(plain, made[1].to_input(images, False, None))
    assert len(jittered.flatten(1).unique(dim=0)) == 6


def epochs(folder_root, num_workers, number=2):
    data = ImageFolderLT(root=str(folder_root), image_size=12, batch_size=4, eval_batch_size=2, num_workers=num_workers)
    data.setup("fit")
    loader = data.train_dataloader()
    seen = []
    for epoch in range(number):
        data.train_sampler.set_epoch(epoch)
        seen.append(list(loader))
    return seen, list(data.val_dataloader())


@pytest.mark.parametrize("num_workers", [pytest.param(2, marks=with_workers)])
def test_what_an_epoch_shows_does_not_depend_on_the_number_of_workers(folder_root, num_workers):
    alone, alone_val = epochs(folder_root, 0)
    helped, helped_val = epochs(folder_root, num_workers)
    for left, right in zip([*alone, alone_val], [*helped, helped_val], strict=True):
        assert len(left) == len(right)
        for (images, targets), (same, also) in zip(left, right, strict=True):
            assert torch.equal(images, same)
            assert torch.equal(targets, also)
    assert not torch.equal(alone[0][0][0], alone[1][0][0])
    assert sorted(torch.cat([t for _, t in alone[0]]).tolist()) == [0] * 9 + [1] * 4 + [2] * 2


def test_one_image_looks_different_every_time_it_is_drawn(folder_root):
    path = folder_root / "train" / "ant" / "0.png"
    for number in range(1, 9):
        (folder_root / "train" / "ant" / f"{number}.png").write_bytes(path.read_bytes())
    seen, _ = epochs(folder_root, 0, number=3)
    views = torch.cat([images[targets == 0] for epoch in seen for images, targets in epoch])
    assert len(views.flatten(1).unique(dim=0)) == len(views) == 27


def test_a_resumed_epoch_goes_on_where_it_stopped(folder_root):
    seen, _ = epochs(folder_root, 0, number=1)
    data = ImageFolderLT(root=str(folder_root), image_size=12, batch_size=4, num_workers=0)
    data.load_state_dict({"batches_seen": 2})
    data.setup("fit")
    rest = list(data.train_dataloader())
    assert len(rest) == len(seen[0]) - 2
    for (images, targets), (same, also) in zip(seen[0][2:], rest, strict=True):
        assert torch.equal(images, same)
        assert torch.equal(targets, also)


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=with_workers)])
def test_an_unreadable_image_stops_the_loader_with_its_name(folder_root, num_workers):
    (folder_root / "val" / "bee" / "0.png").write_bytes(b"damaged")
    data = ImageFolderLT(root=str(folder_root), image_size=12, num_workers=num_workers)
    data.setup("fit")
    with pytest.raises(UsageError, match=r"The image .*bee.0\.png cannot be read"):
        list(data.val_dataloader())


def test_inputs_are_normalised_with_imagenets_statistics(folder_root):
    data = ImageFolderLT(root=str(folder_root))
    images = torch.full((2, 3, 4, 4), 51, dtype=torch.uint8)
    expected = [(0.2 - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    for training in (False, True):
        torch.testing.assert_close(data.to_input(images, training, None)[0, :, 0, 0], torch.tensor(expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 0}, r"`data\.image_size` must be at least 1, but got 0"),
        ({"crop_padding": -1}, r"`data\.crop_padding` must be at least 0, but got -1"),
        ({"val_from": "val"}, r"`data\.val_from` must be one of source, train, none, but got 'val'"),
        ({"augmentation": ColorJitter()}, r"`data\.augmentation` must be what makes one, such as the class `Color"),
    ],
)
def test_values_of_no_use_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        ImageFolderLT(**arguments)


def test_a_source_without_training_images_is_refused():
    class Nothing(ImageFilesLT):
        class_names = ("a",)

        def list_files(self, split):
            return None

    with pytest.raises(UsageError, match=r"`Nothing` has no training images in `root` here"):
        _ = Nothing(root="here").class_counts


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")  # Lightning 2.6 on torch 2.15
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
def test_lightning_tells_the_sampler_its_epoch(folder_root):
    class Looks(LightningModule):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(()))
            self.seen = []

        def training_step(self, batch, index):
            self.seen.append((self.current_epoch, batch[0].clone()))
            return self.weight * 0

        def validation_step(self, batch, index):
            assert len(batch[0]) == 3

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.1)

    data = ImageFolderLT(root=str(folder_root), image_size=8, batch_size=16, num_workers=0)
    trainer = Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    model = Looks()
    trainer.fit(model, datamodule=data)
    assert data.train_sampler.epoch == 1
    expected = ImageFolderLT(root=str(folder_root), image_size=8, batch_size=16, num_workers=0)
    expected.setup("fit")
    loader = expected.train_dataloader()
    for epoch, images in model.seen:
        expected.train_sampler.set_epoch(epoch)
        ((raw, _),) = loader
        plain = expected.to_input(raw, False, None)
        either = [(images == seen).flatten(1).all(dim=1) for seen in (plain, plain.flip(-1))]
        assert torch.equal(either[0], ~either[1])


def test_training_images_can_be_shown_as_evaluation_shows_them(folder_root):
    data = ImageFolderLT(root=str(folder_root), image_size=8, num_workers=0)
    first, again = (data.undistorted("train").__getitems__([3, 0]) for _ in range(2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], data.split("train").targets[[3, 0]])
    plain = eval_transform(8, 9)
    assert torch.equal(first[0][1], plain(read_rgb(folder_root / data.split("train").paths[0])))
    without = ImageFolderLT(root=str(folder_root), val_from="none")
    assert without.undistorted("val") is None


@pytest.mark.parametrize("split", ["val", "test"])
def test_other_images_are_shown_as_they_are(folder_root, split):
    data = ImageFolderLT(root=str(folder_root), image_size=8, crop_padding=2, num_workers=0)
    images = data.split(split)
    plain = eval_transform(8, 9)
    shown = images.__getitems__([0, 1])[0]
    assert torch.equal(shown, torch.stack([plain(read_rgb(folder_root / path)) for path in images.paths[:2]]))


def test_a_validation_knows_which_images_were_trained_on(folder_root):
    data = ImageFolderLT(root=str(folder_root))
    data.setup("validate")
    assert set(data.describe_split()["hashes"]) == {"train", "val"}


@pytest.mark.parametrize("padding", [0, 2])
def test_training_images_are_moved_instead_of_resized_if_asked(folder_root, padding):
    torch.manual_seed(0)
    data = ImageFolderLT(root=str(folder_root), image_size=8, crop_padding=padding, num_workers=0)
    middle = data.undistorted("train").__getitems__([0] * 40)[0]
    shown = data.split("train").__getitems__([0] * 40)[0]
    canvas = torch.nn.functional.pad(middle[0], (padding,) * 4)
    moves = range(2 * padding + 1)
    crops = {canvas[:, y : y + 8, x : x + 8].numpy().tobytes() for y in moves for x in moves}
    found = {image.numpy().tobytes() for image in shown}
    assert found <= crops
    assert len(found) == 1 if padding == 0 else len(found) > 5


def test_fingerprints_notice_changed_files(folder_root):
    def found():
        return ImageFolderLT(root=str(folder_root)).fingerprint("train")

    before = found()
    assert before == found()
    assert before != ImageFolderLT(root=str(folder_root)).fingerprint("test")
    path = folder_root / ImageFolderLT(root=str(folder_root)).train_files().paths[0]
    changed = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(changed, changed))
    assert found() != before


def test_the_transform_is_described_by_what_changes_it():
    made = [ImageFolderLT(root=".", image_size=size, augmentation=ColorJitter) for size in (8, 9)]
    plain = [data.describe_transform(training=False) for data in made]
    assert plain[0] != plain[1]
    assert made[0].describe_transform(training=True) == plain[0] | {"augmentation": ColorJitter().describe()}
    moved = ImageFolderLT(root=".", image_size=8, crop_padding=1)
    assert moved.describe_transform(training=False) == plain[0]
    assert moved.describe_transform(training=True)["crop_padding"] == 1
