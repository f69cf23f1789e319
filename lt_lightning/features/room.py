"""Whether several extractions together find room, asked before the first image passes."""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lt_lightning.backbones import Backbone
from lt_lightning.data import LTDataModule
from lt_lightning.data.base import Split
from lt_lightning.features.extract import ExtractionOptions, layout_of, store_of
from lt_lightning.features.memory import check_memory
from lt_lightning.features.store import DiskStore, no_room
from lt_lightning.features.views import Views
from lt_lightning.processes import on_first

Wanted = tuple[LTDataModule, Split, Views]
"""What one extraction is of."""


def check_room(backbone: Backbone, wanted: Sequence[Wanted], seed: int, options: ExtractionOptions) -> None:
    """Refuse features that together are more than memory or the cache's disk can hold.

    Each extraction checks for itself too, but the last one only after the others have run, maybe for hours.

    Args:
        backbone: As for :func:`extract`.
        wanted: The extractions, none twice.
        seed: Of their draws.
        options: How they are computed and kept.

    Raises:
        UsageError: If they need more than there is; what is in the cache already needs nothing.
    """
    layouts = [layout_of(backbone, *what, options) for what in wanted]
    if not options.cache:
        return check_memory(layouts)
    cache = Path(options.cache).absolute()
    free = on_first(lambda: _free(cache))
    if free is None or sum(layout.nbytes for layout in layouts) <= free:  # no image need be read for a key
        return None
    stores = [store_of(backbone, *what, seed, options)[0] for what in wanted]
    need = on_first(lambda: sum(store.lacking() for store in stores if isinstance(store, DiskStore)))
    if need > free:
        passes = sum(layout.views * layout.images for layout in layouts)
        raise no_room(Path(options.cache), need, free, f"the features of {passes:,} views of images")
    return None


def _free(folder: Path) -> int | None:
    """Bytes free where the folder is or will be; ``None`` if the system does not say, as of a folder without access."""
    with suppress(OSError):
        return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
    return None
