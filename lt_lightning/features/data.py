"""Features in the place of images, for everything that takes a data module."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lt_lightning.data import LTDataModule
from lt_lightning.data.base import Batch, LabelledImages, Split
from lt_lightning.errors import UsageError
from lt_lightning.features.views import Features
from lt_lightning.samplers import EpochSampler


class FeaturesLT(LTDataModule):
    """A data module whose images have become features.

    Samplers, shards and resuming are those of images, and so are counts, names, thresholds and the record of the split.
    Each epoch shows one view of each training image: see :meth:`Features.shown`.

    Args:
        source: The data module that the features were extracted from, or one of the same arguments.
        features: Of each split that will be asked for.
        batch_size: Images per optimiser step, over all processes together; ``None`` takes the source's.
        sampler: Makes the training sampler from ``(targets, seed)``; ``None`` takes the source's.

    Raises:
        UsageError: If features of validation or test images have several views, or, when a split is loaded, if the
            training features are not those of the source's counts.
    """

    def __init__(
        self,
        source: LTDataModule,
        features: Mapping[Split, Features],
        batch_size: int | None = None,
        sampler: Callable[[Tensor, int], EpochSampler] | None = None,
    ) -> None:
        super().__init__(
            batch_size=source.batch_size if batch_size is None else batch_size,
            eval_batch_size=source.eval_batch_size,
            sampler=source.sampler if sampler is None else sampler,
            group_thresholds=source.group_thresholds,
        )
        for split, found in features.items():
            if split != "train" and len(found.values) != 1:
                raise UsageError(f"`features` of {split} must have 1 view, but got {len(found.values)}.")
        self.source = source
        self.features = dict(features)

    @property
    def class_counts(self) -> list[int]:
        """The images' counts."""
        return self.source.class_counts

    @property
    def class_names(self) -> list[str]:
        """The images' names."""
        return self.source.class_names

    def load(self, split: Split) -> LabelledImages | None:
        """What was extracted of a split."""
        found = self.features.get(split)
        return None if found is None else _Shown(found, self._epoch)

    def to_input(self, images: Tensor, training: bool, generator: torch.Generator | None) -> Tensor:  # noqa: ARG002
        """Features are input already; those stored in half precision become fp32: ``(B, D)``."""
        return images.float()

    def describe_split(self) -> dict[str, Any]:
        """The source's record, and what its features are."""
        extracted = {split: found.record for split, found in self.features.items()}
        return {**self.source.describe_split(), "features": extracted}

    def describe_transform(self, training: bool) -> dict[str, Any]:
        """The images', which whoever uses the retrained model will have to repeat."""
        return self.source.describe_transform(training)

    def _epoch(self) -> int:
        # Lightning tells the sampler, before each epoch and after a resumed run has found its place.
        return 0 if self.train_sampler is None else self.train_sampler.epoch


class _Shown:
    """The features of a split as the current epoch shows them, read a batch at a time."""

    def __init__(self, features: Features, epoch: Callable[[], int]) -> None:
        self.features = features
        self.targets = features.targets
        self._epoch = epoch
        self._views = (-1, features.targets)  # of which epoch, and which view of each image

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, indices: list[int]) -> Batch:
        """Features ``(B, D)``, and their classes ``(B,)``."""
        epoch = self._epoch()
        if self._views[0] != epoch:
            self._views = (epoch, self.features.shown(epoch))
        rows = torch.tensor(indices, dtype=torch.int64)
        return self.features.rows(rows, self._views[1]), self.targets[rows]
