"""Images from Parquet files in the schema that the Hugging Face Hub exports."""

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lt_lightning.data.pixels import DAMAGED, eight_bits
from lt_lightning.data.sources import ImageSource, SourceSplit
from lt_lightning.errors import UsageError

IMAGE_COLUMNS = ("img", "image")
FORMATS = ("WEBP", "PNG", "JPEG", "BMP", "GIF", "TIFF")  # guessing among all doubles the time for small images
LABEL_COLUMNS = ("fine_label", "label")  # CIFAR-100 has a coarse one too, which is not asked for


class ParquetSource(ImageSource):
    """Encoded images in an ``img`` or ``image`` column, classes in ``fine_label`` or ``label``.

    Labels are read alone. Of the images, only the row groups that hold a wanted row are read, and only wanted rows
    decoded.

    Args:
        files: Files of each split, in the order of their rows.
        channels: 3 decodes to RGB, 1 to grey.

    Raises:
        UsageError: If pyarrow is not installed, a file cannot be read, is not of this schema or one of its shards is
            missing, or labels are no integers.
    """

    def __init__(self, files: Mapping[SourceSplit, Sequence[Path]], channels: int = 3) -> None:
        self._files = {split: list(paths) for split, paths in files.items()}
        self._mode: Literal["RGB", "L"] = "RGB" if channels == 3 else "L"
        for paths in self._files.values():
            _check_shards(paths)

    @property
    def class_names(self) -> list[str]:
        """Names from the file's metadata; empty where it has none."""
        path = self._files["train"][0]
        metadata = _open(path).schema_arrow.metadata or {}
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        names = (features.get(column, {}).get("names") for column in LABEL_COLUMNS)
        return next((list(found) for found in names if found), [])

    def labels(self, split: SourceSplit) -> Tensor:
        """Classes of a split, ``(N,)``, int64."""
        parts = []
        for path in self._files[split]:
            file = _open(path)
            name = _column(file, path, LABEL_COLUMNS)
            column = file.read(columns=[name]).column(0)
            if column.null_count:
                raise UsageError(f"{path} has {column.null_count} rows without a label; use a labelled split.")
            numbers = column.to_numpy()
            if numbers.dtype.kind not in "iu":
                raise UsageError(f"{path} holds {column.type} in column {name}; write class numbers, integers from 0.")
            parts.append(torch.from_numpy(numbers.astype(np.int64)))
        return torch.cat(parts)

    def images(self, split: SourceSplit, indices: Tensor) -> Tensor:
        """Decode the rows asked for, ``(n, C, H, W)``."""
        # Rows are visited in the file's order, so each row group is read once; `place` puts them back in the asked one.
        rows, place = torch.sort(indices)
        images: np.ndarray[Any, np.dtype[np.uint8]] | None = None
        start, done = 0, 0
        for path in self._files[split]:
            file = _open(path)
            column = _column(file, path, IMAGE_COLUMNS)
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                until = int(torch.searchsorted(rows, stop))
                if until > done:
                    wanted = (rows[done:until] - start).numpy()
                    encoded = file.read_row_group(group, columns=[column]).column(0).take(wanted).to_pylist()
                    for offset, cell in enumerate(encoded):
                        pixels = self._decode(cell, path, start + int(wanted[offset]))
                        if images is None:
                            images = np.empty((len(rows), *pixels.shape), dtype=np.uint8)
                        if pixels.shape != images.shape[1:]:
                            raise UsageError(
                                f"{path} holds images of different sizes, {images.shape[1:]} and {pixels.shape}; "
                                f"only sets of one size are kept in memory."
                            )
                        images[int(place[done + offset])] = pixels
                    done = until
                start = stop
        if images is None:
            return torch.empty(0, 3 if self._mode == "RGB" else 1, 0, 0, dtype=torch.uint8)
        return torch.from_numpy(images)

    def _decode(self, cell: Any, path: Path, row: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        data = cell.get("bytes") if isinstance(cell, Mapping) else None
        if not isinstance(data, bytes) or not data:
            raise UsageError(f"{path} holds no image in row {row}; use a file whose image column embeds `bytes`.")
        try:
            pixels = np.asarray(eight_bits(Image.open(io.BytesIO(data), formats=FORMATS), self._mode))
        except DAMAGED as error:
            raise UsageError(f"{path} holds an image in row {row} that cannot be decoded: {error}.") from error
        return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _open(path: Path) -> Any:  # a pyarrow.parquet.ParquetFile, which has no type information
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            f"Reading {path} needs pyarrow, which is not installed; install it with "
            f'`pip install "lt_lightning[parquet]"`.'
        ) from error
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise UsageError(f"{path} cannot be read as a Parquet file: {error}.") from error


def _column(file: Any, path: Path, candidates: Sequence[str]) -> str:
    columns = file.schema_arrow.names
    for name in candidates:
        if name in columns:
            return name
    raise UsageError(
        f"{path} has the columns {', '.join(columns)}, but one named {' or '.join(candidates)} is needed; "
        f"export it in the Hugging Face image schema."
    )


def _check_shards(paths: Sequence[Path]) -> None:
    """Refuse ``train-00000-of-00002.parquet`` without its sibling: the pool would silently be another one."""
    for path in paths:
        match = re.search(r"-of-(\d+)(?:-[0-9a-f]+)?\.parquet$", path.name)  # older exports end in a checksum
        if match and int(match[1]) != len(paths):
            raise UsageError(
                f"{path} is one of {int(match[1])} files, but {len(paths)} of them are in {path.parent}; "
                f"copy all of them there, and no others."
            )
