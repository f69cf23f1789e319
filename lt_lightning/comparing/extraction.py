"""All features that a comparison needs, extracted before anything trains."""

from lt_lightning.comparing.kept_heads import check_heads
from lt_lightning.comparing.setup import Setup
from lt_lightning.data.base import Split
from lt_lightning.data.network_input import say_how_images_are_prepared
from lt_lightning.features import Features, Views, extract
from lt_lightning.features.extract import layout_of
from lt_lightning.features.room import Wanted, check_room
from lt_lightning.processes import is_first_of_group
from lt_lightning.wording import human


def extract_all(setup: Setup) -> dict[str, Features]:
    """Pass every image through the backbone as often as any method wants it.

    One extraction of as many views as the longest method has epochs serves all methods: shorter ones see the first of
    them. Sizes are said, and held against the memory there is, before the first pass.

    Returns:
        ``shown``, the training images as training shows them, and, without augmentation, ``train``, ``val`` if there is
        any, and ``test``; where settings are trained once more on images put back, ``whole`` and ``whole_shown``; where
        there is a balanced pool, ``pool``.

    Raises:
        UsageError: If features or heads have no room, an image cannot be read, or the backbone gives infinite numbers
            or NaN.
    """
    options, backbone, seed = setup.options.features, setup.source.backbone, setup.options.seeds[0]
    wanted = _wanted(setup)
    _announce(setup, wanted)
    found: dict[str, Features] = {}
    made: dict[tuple[int, Split, Views], Features] = {}
    for name, (data, split, views) in wanted.items():
        key = (id(data), split, views)
        if key not in made:
            made[key] = extract(backbone, data, split, views, seed, options)
        found[name] = made[key]
    return found


def _wanted(setup: Setup) -> dict[str, Wanted]:
    """What to extract, the largest first: it is what may find no room."""
    data, views = setup.data, setup.views
    wanted: dict[str, Wanted] = {"shown": (data, "train", views), "train": (data, "train", 1)}
    if data.has_validation:
        wanted["val"] = (data, "val", 1)
    wanted["test"] = (data, "test", 1)
    if setup.whole is not None:
        wanted |= {"whole_shown": (setup.whole, "train", views), "whole": (setup.whole, "train", 1)}
    if setup.pool is not None:
        wanted["pool"] = (setup.pool, "train", 1)
    return wanted


def _announce(setup: Setup, wanted: dict[str, Wanted]) -> None:
    """Say how much there is to do, and refuse what has no room."""
    options, backbone = setup.options.features, setup.source.backbone
    each = list(dict.fromkeys(wanted.values()))
    check_room(backbone, each, setup.options.seeds[0], options)
    layouts = [layout_of(backbone, *what, options) for what in each]
    size = sum(layout.nbytes for layout in layouts)
    check_heads(setup, 0 if options.cache else size)
    if is_first_of_group():
        passes = sum(layout.views * layout.images for layout in layouts)
        kept = f"in {options.cache}, where what is there already is not computed again"
        where = kept if options.cache else "of memory"
        say_how_images_are_prepared(setup.data)
        print(f"features: {passes:,} images pass through the backbone, {human(size)} {where}", flush=True)
