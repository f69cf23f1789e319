"""Passing a split's images through a frozen backbone once."""

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lt_lightning.backbones import Backbone
from lt_lightning.backbones.base import features_of, in_type_of_weights, type_of_weights
from lt_lightning.data import LTDataModule
from lt_lightning.data.base import LabelledImages, Split
from lt_lightning.data.loading import options_of_workers
from lt_lightning.devices.choice import check_device, device_of
from lt_lightning.devices.tf32 import tf32
from lt_lightning.errors import UsageError, check_word
from lt_lightning.features.code import code_of
from lt_lightning.features.foresight import Foresight
from lt_lightning.features.keys import cache_key, weights_hash
from lt_lightning.features.memory import check_memory
from lt_lightning.features.store import DiskStore, MemoryStore, Store
from lt_lightning.features.views import BLOCK, Block, Features, Layout, StoredDtype, Views, check_views, draws
from lt_lightning.functional.checks import images_and_targets
from lt_lightning.functional.precision import outside_autocast
from lt_lightning.processes import is_first_of_group, on_first, rank_and_world_size
from lt_lightning.progress import progress_bar
from lt_lightning.seeds import Stream, seed_from

Precision = Literal["fp32", "bf16"]

_MOST_VIEWS = 100  # the largest number of stored draws that is looked for where fewer are asked for


@dataclass(frozen=True)
class ExtractionOptions:
    """How features are computed and kept; none of it changes the features beyond rounding.

    Attributes:
        cache: Folder in which features are kept from run to run, and from which they are mapped; empty keeps them in
            memory alone.
        dtype: Type of the stored numbers. Half precision halves the size, and keeps 3 (``float16``) or 2
            (``bfloat16``) decimal digits.
        precision: ``fp32``, or ``bf16`` for autocast: features within 1 to 2 %, and faster only where the hardware
            computes in it.
        channels_last: Whether convolutions run in the channels-last memory format.
        device: Where the backbone runs; ``auto`` takes a GPU if there is one.
        batch_size: Images per pass, between 1 and 256; changes nothing but time and memory.
        progress: Whether the first process shows how far it has come.

    Raises:
        UsageError: If ``batch_size`` is out of range, ``dtype`` or ``precision`` unknown, or there is no such device.
    """

    cache: str = ""
    dtype: StoredDtype = "float32"
    precision: Precision = "fp32"
    channels_last: bool = True
    device: str = "auto"
    batch_size: int = 128
    progress: bool = True

    def __post_init__(self) -> None:
        check_word("dtype", self.dtype, StoredDtype)
        check_word("precision", self.precision, Precision)
        check_device("features.device", self.device)
        if not 1 <= self.batch_size <= BLOCK:
            raise UsageError(f"`batch_size` of an extraction must lie in 1 to {BLOCK}, but got {self.batch_size}.")

    def what_remains(self) -> str:
        """What an interruption leaves of an extraction, in words."""
        if self.cache:
            return f"what has been extracted is in `features.cache` {self.cache!r}, so the same command goes on."
        return "nothing is kept; with a folder as `features.cache` the same command would go on from where it stopped."


_DEFAULTS = ExtractionOptions()


def extract(
    backbone: Backbone,
    data: LTDataModule,
    split: Split = "train",
    views: Views = 1,
    seed: int = 0,
    options: ExtractionOptions = _DEFAULTS,
) -> Features:
    """Pass the images of a split through a frozen backbone in evaluation mode.

    The backbone is copied, not changed. Batch normalisation uses its running statistics, so features stand for images
    exactly where stage 2 does the same (``bn_mode: eval``) and nowhere else.

    View ``v`` of image ``i`` follows from ``(seed, v, i)`` and the split alone: augmentation is drawn on the CPU for
    blocks of 256 neighbouring images, so neither ``batch_size`` nor the device nor the number of processes changes it.
    In a process group each process computes its share of the blocks, and all of them get all features.

    With a ``cache`` an interrupted extraction goes on where it stopped, and features that are there already are mapped,
    also the first of more draws than are asked for: they are found by a SHA-256 of the backbone's tensors and
    attributes, the images and their order, the transform, code of one's own and versions of other packages that these
    are made of, ``views``, ``seed``, ``dtype`` and ``precision``.

    Args:
        backbone: ``(B, C, H, W)`` to ``(B, D)``, with the weights to use.
        data: Source of the images.
        split: Which of its splits.
        views: 1, each image as evaluation shows it; n, in n draws of the training augmentation; ``all``, in each view
            that augmentation can make of it. Other than 1 for training images alone.
        seed: Seed of the draws, at least 0.
        options: How to compute and keep them.

    Returns:
        Features in the order of the split's images.

    Raises:
        UsageError: If the split is missing, its views cannot be made, cache or memory have no room, or a feature is
            infinite.
    """
    layout = layout_of(backbone, data, split, views, options)
    if not options.cache:
        check_memory([layout])
    images = _images(data, split, views)
    started = time.perf_counter()
    store, record = store_of(backbone, data, split, views, seed, options)
    with store:
        missing = store.missing()
        if missing:
            _fill(store, missing, backbone, images, data, views, seed, options, f"features of {split}")
        values = store.finish()[: layout.views]
    found = sum(block.stop - block.start for block in missing)
    if is_first_of_group():
        _say(split, layout, found, time.perf_counter() - started, store)
    return Features(values, images.targets, views, seed, record)


def layout_of(backbone: Backbone, data: LTDataModule, split: Split, views: Views, options: ExtractionOptions) -> Layout:
    """Shape, and so size, of what :func:`extract` would give for the same arguments.

    Raises:
        UsageError: If the split is missing or its views cannot be made.
    """
    check_views(views)
    if views != 1 and split != "train":
        raise UsageError(f"`views` {views} augment, which is for training images, but `split` is {split!r}; use 1.")
    number = len(_images(data, split, views))
    count = views if isinstance(views, int) else data.count_views()
    return Layout(count, number, backbone.num_features, getattr(torch, options.dtype))


def _images(data: LTDataModule, split: Split, views: Views) -> LabelledImages:
    return data.required(split, undistorted=views == 1)


def store_of(
    backbone: Backbone, data: LTDataModule, split: Split, views: Views, seed: int, options: ExtractionOptions
) -> tuple[Store, dict[str, Any]]:
    """Where :func:`extract` keeps the features, and their record, with the key that they have on disk."""
    layout = layout_of(backbone, data, split, views, options)
    record: dict[str, Any] = {
        "views": views,
        "seed": seed if layout.views > 1 and views != "all" else None,
        "precision": options.precision,
        "dtype": options.dtype,
    }
    if not options.cache:
        return MemoryStore(layout), record
    drawn = draws(views)
    inputs = on_first(
        lambda: {
            "weights": weights_hash(backbone),
            "split": data.fingerprint(split),
            "transform": data.describe_transform(training=views != 1),
            "code": code_of(backbone, [data, _images(data, split, views)], views != 1),
        }
    )

    def record_of(views: int) -> dict[str, Any]:
        own = {**record, "views": views} if drawn else record
        return {**own, "key": cache_key({**own, **inputs, "shape": (views, layout.images, layout.features)})}

    def folder(views: int) -> Path:
        return Path(options.cache) / f"{split}-{record_of(views)['key'][:20]}"

    held = on_first(lambda: _views_held(layout.views, folder)) if drawn else layout.views
    store = DiskStore(folder(held), replace(layout, views=held), record_of(held))
    return store, record_of(layout.views)


def _views_held(views: int, folder: Callable[[int], Path]) -> int:
    """Views of the folder to use: as asked for, or more, if only that exists; its first ones are the same."""
    if not folder(views).exists():
        return next((more for more in range(views + 1, _MOST_VIEWS + 1) if folder(more).exists()), views)
    return views


def _fill(
    store: Store,
    missing: list[Block],
    backbone: Backbone,
    images: LabelledImages,
    data: LTDataModule,
    views: Views,
    seed: int,
    options: ExtractionOptions,
    title: str,
) -> None:
    rank, world_size = rank_and_world_size()
    share = missing[rank::world_size]
    device = device_of(options.device)
    network = deepcopy(backbone).to(device).eval()
    if options.channels_last:
        network = network.to(memory_format=torch.channels_last)
    dtype = type_of_weights(network)
    drawn = draws(views)
    loader = DataLoader(
        _Blocks(images, share, seed if drawn else None),
        batch_size=None,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # seeds the workers; the caller's own stays as it is
        **options_of_workers(images, BLOCK, len(share), data.num_workers, data.trainer),
    )
    total = sum(block.stop - block.start for block in share)
    foresight = Foresight(title, total, len({block.view for block in share}), options.progress and rank == 0)
    products = tf32(options.precision != "fp32", device)
    with products, progress_bar(title, total, options.progress) as advance, torch.inference_mode():
        for block, pixels in zip(share, loader, strict=True):
            pixels = pixels.to(device, non_blocking=True)
            if views == "all":
                inputs = data.to_view(pixels, block.view)
            else:
                generator = torch.Generator().manual_seed(_block_seed(seed, block)) if drawn else None
                inputs = _to_input(data, pixels, generator)
            rows = _pass(network, in_type_of_weights(inputs, dtype), options)
            store.put(block, _checked(rows, store.layout, options))
            advance(len(rows))
            foresight.advance(len(rows))


def _to_input(data: LTDataModule, pixels: Tensor, generator: torch.Generator | None) -> Tensor:
    try:
        return data.to_input(pixels, generator is not None, generator)
    except RuntimeError as error:
        if generator is None or "device type for generator" not in str(error):
            raise
        raise UsageError(
            f"`data` {type(data).__name__} or its `augmentation` draws on the {pixels.device.type} device from a "
            f"generator on the CPU, as extraction gives every device; draw where the generator is and move what is "
            f"drawn, as `lt_lightning.augmentations.draw_uniform(images, generator)` does."
        ) from error


def _pass(network: Backbone, inputs: Tensor, options: ExtractionOptions) -> Tensor:
    rows = []
    for start in range(0, len(inputs), options.batch_size):
        batch = inputs[start : start + options.batch_size]
        if options.channels_last and batch.ndim == 4:
            batch = batch.contiguous(memory_format=torch.channels_last)
        half = options.precision == "bf16"
        with torch.autocast(batch.device.type, dtype=torch.bfloat16) if half else outside_autocast(batch):
            features: object = features_of(network, batch)
        if not isinstance(features, Tensor):
            raise UsageError(
                f"`backbone` {type(network).__name__} must give features (N, {network.num_features}), but gave a "
                f"{type(features).__name__}."
            )
        rows.append(features)
    return torch.cat(rows)


def _checked(rows: Tensor, layout: Layout, options: ExtractionOptions) -> Tensor:
    if rows.shape[1:] != (layout.features,):
        raise UsageError(
            f"`backbone` announces `num_features` {layout.features}, but gives features of shape "
            f"{tuple(rows.shape[1:])} for an image."
        )
    rows = rows.to("cpu", layout.dtype)
    if not bool(torch.isfinite(rows).all()):
        raise UsageError(
            f"`backbone` gives features that are infinite or not a number in `precision` {options.precision} and "
            f"`dtype` {options.dtype}; use fp32 and float32, or check its weights."
        )
    return rows


class _Blocks(Dataset[Tensor]):
    """Pixels of whole blocks; what is drawn while reading follows from the block, whichever process reads it."""

    def __init__(self, images: LabelledImages, blocks: list[Block], seed: int | None) -> None:
        self.images, self.blocks, self.seed = images, blocks, seed

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, number: int) -> Tensor:
        block = self.blocks[number]
        indices = list(range(block.start, block.stop))
        if self.seed is None:
            return self._read(indices)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed_from(Stream.READING, _block_seed(self.seed, block)))
            return self._read(indices)

    def _read(self, indices: list[int]) -> Tensor:
        images: Tensor = images_and_targets(self.images.__getitems__(indices), self.images, learns=False)[0]
        return images


def _block_seed(seed: int, block: Block) -> int:
    return seed_from(seed, block.view, block.start // BLOCK)


def _say(split: Split, layout: Layout, found: int, seconds: float, store: Store) -> None:
    views = "1 view" if layout.views == 1 else f"{layout.views} views"
    what = f"features of {split}: {views} of {layout.images:,} images × {layout.features}"
    if found:
        what += f", {found:,} computed in {seconds:.1f} s"
    if isinstance(store, DiskStore):
        what += f", {'kept in' if found else 'from'} {store.folder}"
    print(what, flush=True)
