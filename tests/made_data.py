"""Small data sets, written anew for each test in the layouts that users have."""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def pixels(seed: int, height: int = 32, width: int = 32, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def make_pixels() -> Callable[..., np.ndarray]:
    """The pixels of a seed, (32, 32, 3) or as asked."""
    return pixels


@pytest.fixture(scope="session")
def encode_png() -> Callable[[np.ndarray], bytes]:
    """An array of pixels as the bytes of a PNG file."""
    return png


@pytest.fixture(scope="session")
def write_parquet() -> Callable[..., None]:
    """Writes a Parquet file in the Hugging Face image schema; `cells` are encoded images, None for a missing one."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    def write(
        path: Path,
        cells: Sequence[bytes | None],
        labels: Sequence[int | None],
        names: Sequence[str] | None,
        image_column: str = "img",
        label_column: str = "label",
        row_group_size: int = 16,
    ) -> None:
        structs = pa.array(
            [{"bytes": cell, "path": None} for cell in cells],
            type=pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        )
        table = pa.table({image_column: structs, label_column: pa.array(labels, type=pa.int64())})
        if names is not None:
            features = {image_column: {"_type": "Image"}, label_column: {"names": list(names), "_type": "ClassLabel"}}
            table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, row_group_size=row_group_size)

    return write


@pytest.fixture(scope="session")
def parquet_root(tmp_path_factory: pytest.TempPathFactory, write_parquet: Callable[..., None]) -> Path:
    """A CIFAR-10 of 16 training images a class in two shards, and 4 test images a class.

    Training image i has class i % 10 and the pixels of `pixels(i)`; test image i those of `pixels(1000 + i)`.
    """
    root = tmp_path_factory.mktemp("parquet")
    for shard in range(2):
        rows = range(80 * shard, 80 * shard + 80)
        write_parquet(
            root / f"train-0000{shard}-of-00002.parquet",
            [png(pixels(i)) for i in rows],
            [i % 10 for i in rows],
            CIFAR10_NAMES,
        )
    write_parquet(
        root / "test-00000-of-00001.parquet",
        [png(pixels(1000 + i)) for i in range(40)],
        [i % 10 for i in range(40)],
        CIFAR10_NAMES,
    )
    return root


@pytest.fixture(scope="session")
def cifar100_root(tmp_path_factory: pytest.TempPathFactory, write_parquet: Callable[..., None]) -> Path:
    """A CIFAR-100 of 6 training images and 1 test image a class, without class names."""
    root = tmp_path_factory.mktemp("cifar100")
    for split, per_class in (("train", 6), ("test", 1)):
        cells = [png(pixels(i + 5000 * per_class)) for i in range(100 * per_class)]
        labels = [i % 100 for i in range(100 * per_class)]
        write_parquet(root / f"{split}-00000-of-00001.parquet", cells, labels, None, label_column="fine_label")
    return root


def write_image(path: Path, seed: int, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels(seed, 20 + seed % 7, 30 - seed % 5))
    if mode == "palette":
        image.convert("P").save(path, transparency=bytes([10, 200]))
    else:
        image.convert(mode).save(path)


@pytest.fixture
def folder_root(tmp_path: Path) -> Path:
    """`train`: 9 ants, 4 bees, 2 cats; `val`: 2 ants, 1 bee; `test`: 2 of each. Sizes and modes vary."""
    root = tmp_path / "folder"
    modes = ["RGB", "L", "RGBA", "palette"]
    seed = 0
    for split, counts in {
        "train": {"ant": 9, "bee": 4, "cat": 2},
        "val": {"ant": 2, "bee": 1},
        "test": {"ant": 2, "bee": 2, "cat": 2},
    }.items():
        for name, count in counts.items():
            for number in range(count):
                write_image(root / split / name / f"{number}.png", seed, modes[seed % 4])
                seed += 1
    return root


@pytest.fixture
def list_root(tmp_path: Path) -> Path:
    """Images in `pictures`, and `train.txt` (classes of 3, 7 and 2 images), `val.txt`, `test.txt` (3 images each)."""
    root = tmp_path / "lists"
    seed = 0
    for split, counts in {"train": [3, 7, 2], "val": [1, 1, 1], "test": [1, 1, 1]}.items():
        lines = []
        for label, count in enumerate(counts):
            for number in range(count):
                name = f"pictures/{split} {label} {number}.png"
                write_image(root / name, seed)
                lines.append(f"{name} {label}")
                seed += 1
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return root


def write_mnist(root: Path, name: str = "MNIST", number: int = 30) -> dict[str, np.ndarray]:
    """Training images, ten test images fewer, in torchvision's layout; the images of either split."""
    images = {}
    for split, count in (("train", number), ("t10k", number - 10)):
        images[split] = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        _write_idx(root / name / "raw" / f"{split}-images-idx3-ubyte", images[split])
        _write_idx(root / name / "raw" / f"{split}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    return images


def _write_idx(path: Path, array: np.ndarray) -> None:
    """The format of MNIST's raw files: magic number, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.tobytes())
