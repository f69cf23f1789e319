"""Stage 1 as a comparison needs it: a frozen backbone, its classifier, and what the file says of them."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from lt_lightning import checkpoints
from lt_lightning.backbones import Backbone
from lt_lightning.checkpoints import Entry
from lt_lightning.comparing.training import Stage1
from lt_lightning.data import LTDataModule
from lt_lightning.modules import RetrainModule
from lt_lightning.modules.past import past_left
from lt_lightning.results import sha256_of


@dataclass(frozen=True)
class Source:
    """A checkpoint, read.

    Attributes:
        path: The file.
        backbone: Frozen, with the file's weights.
        classifier: Its classifier, rows in the data's class order.
        class_counts: Training images per class that it records; ``None`` for a foreign file.
        split: What it records of the data that it was trained on; empty for a foreign file.
        past: What its weights, and those that it may lack, had been trained on before, the latest first.
        sha256: Of the file's bytes: another one may have its name.
        selection: What its classifier was chosen by, as it records it; ``None`` where it does not.
        order_is_said: Whether names, typed or the file's, say which class each row stands for.
    """

    path: str
    backbone: Backbone
    classifier: Stage1
    class_counts: list[int] | None
    split: dict[str, Any]
    past: list[Entry]
    sha256: str
    selection: str | None = None
    order_is_said: bool = False

    @property
    def origins(self) -> list[Entry]:
        """What its weights have been trained on, the latest first, for what starts from them to record."""
        return checkpoints.origins(self.split, self.past)


def read_source(
    path: str, backbone: Backbone, data: LTDataModule, class_names: list[str] | None, allow_partial: bool
) -> Source:
    """Read a checkpoint into a backbone, and print what matched.

    Other data than the checkpoint's are no mistake here: whether its validation images are unseen is asked elsewhere.

    Raises:
        UsageError: If the file does not fit backbone and classes.
    """
    module = RetrainModule(
        data.class_counts,
        path,
        backbone,
        allow_changed_data=True,
        allow_partial=allow_partial,
        checkpoint_class_names=class_names,
    )
    # The module looks for class names in the data of its trainer; no trainer is needed for anything else.
    module.trainer = cast(Any, SimpleNamespace(datamodule=data))
    source = checkpoints.read(path)
    module.start_from(source, group="")
    layer = module.head.to_linear()
    bias = None if layer.bias is None else layer.bias.detach()
    classifier = Stage1(layer.weight.detach(), bias)
    digest = sha256_of(source.path)
    past = [*source.past, *past_left(module.backbone, allow_partial)]
    said = (source.class_counts, source.split, past)
    named = checkpoints.names_of_rows(source, data.class_names, class_names) is not None
    return Source(path, module.backbone, classifier, *said, digest, source.selection, named)
