import io
import sys

import pytest
import torch
from PIL import Image

from lt_lightning.data.parquet import ParquetSource
from lt_lightning.errors import UsageError

pytest.importorskip("pyarrow")


@pytest.fixture
def source(parquet_root):
    return ParquetSource({"train": sorted(parquet_root.glob("train-*")), "test": sorted(parquet_root.glob("test-*"))})


@pytest.fixture
def one_file(tmp_path, write_parquet, encode_png, make_pixels):
    """Makes a source of one training file."""

    def make(cells=None, labels=(0, 1), names=("a", "b"), channels=3, **columns):
        cells = [encode_png(make_pixels(i)) for i in range(len(labels))] if cells is None else cells
        write_parquet(tmp_path / "train-00000-of-00001.parquet", cells, labels, names, **columns)
        return ParquetSource({"train": [tmp_path / "train-00000-of-00001.parquet"]}, channels)

    return make


def test_labels_and_names_come_from_the_files(source):
    assert source.class_names[:2] == ["airplane", "automobile"]
    assert source.labels("train").tolist() == [i % 10 for i in range(160)]
    assert source.labels("train").dtype == torch.int64
    assert len(source.labels("test")) == 40


@pytest.mark.parametrize("rows", [[0], [159, 0, 17, 80, 79, 16, 15], list(range(160))])
def test_rows_come_in_the_order_asked_for(source, rows, make_pixels):
    images = source.images("train", torch.tensor(rows))
    assert images.shape == (len(rows), 3, 32, 32)
    assert images.dtype == torch.uint8
    for image, row in zip(images, rows, strict=True):
        assert torch.equal(image.permute(1, 2, 0), torch.from_numpy(make_pixels(row)))


def test_no_rows_give_no_images(source):
    assert len(source.images("train", torch.empty(0, dtype=torch.int64))) == 0


def test_only_the_rows_used_are_decoded_and_only_their_row_groups_read(source, monkeypatch):
    import pyarrow.parquet

    decoded, groups = [], []
    original_open, original_read = Image.open, pyarrow.parquet.ParquetFile.read_row_group

    def counting_open(*args, **kwargs):
        decoded.append(1)
        return original_open(*args, **kwargs)

    def counting_read(self, group, **kwargs):
        groups.append((group, kwargs["columns"]))
        return original_read(self, group, **kwargs)

    monkeypatch.setattr(Image, "open", counting_open)
    monkeypatch.setattr(pyarrow.parquet.ParquetFile, "read_row_group", counting_read)
    source.images("train", torch.tensor([100, 3, 4]))
    assert len(decoded) == 3
    assert groups == [(0, ["img"]), (1, ["img"])]  # rows 3 and 4 of the first shard, row 20 of the second


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_lossless_formats_decode_to_grey_or_colour(one_file, make_pixels, file_format):
    pixels = make_pixels(1, 6, 5, 1)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=file_format, lossless=True)
    grey = one_file([buffer.getvalue()], [0], channels=1, image_column="image").images("train", torch.tensor([0]))
    assert torch.equal(grey[0, 0], torch.from_numpy(pixels))
    colour = one_file([buffer.getvalue()], [0], image_column="image").images("train", torch.tensor([0]))
    assert torch.equal(colour[0], torch.from_numpy(pixels).expand(3, 6, 5))


def test_the_fine_label_wins_and_names_are_optional(one_file):
    source = one_file(labels=[1, 0], label_column="fine_label")
    assert source.labels("train").tolist() == [1, 0]
    assert source.class_names == ["a", "b"]
    unnamed = one_file(labels=[5, 0], names=None)
    assert unnamed.class_names == []
    assert unnamed.labels("train").tolist() == [5, 0]


def test_rows_without_a_label_are_refused(one_file):
    with pytest.raises(UsageError, match=r"has 1 rows without a label"):
        one_file(labels=[None, 0]).labels("train")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None], r"holds no image in row 0; use a file whose image column embeds `bytes`"),
        ([b""], r"holds no image in row 0"),
        ([b"not an image"], r"holds an image in row 0 that cannot be decoded"),
    ],
)
def test_cells_without_an_image_are_refused(one_file, cells, message):
    source = one_file(cells, [0])
    with pytest.raises(UsageError, match=message):
        source.images("train", torch.tensor([0]))


def test_a_damaged_image_is_refused(one_file, encode_png, make_pixels):
    source = one_file([encode_png(make_pixels(0))[:-60]], [0])
    with pytest.raises(UsageError, match=r"holds an image in row 0 that cannot be decoded"):
        source.images("train", torch.tensor([0]))


def test_images_of_two_sizes_are_refused(one_file, encode_png, make_pixels):
    source = one_file([encode_png(make_pixels(0)), encode_png(make_pixels(0, 16, 32))], [0, 1])
    with pytest.raises(UsageError, match=r"different sizes, \(3, 32, 32\) and \(3, 16, 32\)"):
        source.images("train", torch.tensor([0, 1]))


def test_another_schema_is_refused(one_file):
    with pytest.raises(UsageError, match=r"has the columns img, coarse_label, but one named fine_label or label is"):
        one_file(label_column="coarse_label").labels("train")
    with pytest.raises(UsageError, match=r"has the columns picture, label, but one named img or image is needed"):
        one_file(image_column="picture").images("train", torch.tensor([0]))


def test_a_file_that_is_no_parquet_file_is_refused(tmp_path):
    path = tmp_path / "train-0.parquet"
    path.write_bytes(b"something else")
    with pytest.raises(UsageError, match=r"train-0\.parquet cannot be read as a Parquet file"):
        ParquetSource({"train": [path]}).labels("train")


@pytest.mark.parametrize("ending", ["", "-1359597a978bc4fa"], ids=["plain", "with a checksum"])
def test_a_missing_shard_is_refused(parquet_root, ending):
    with pytest.raises(UsageError, match=r"is one of 2 files, but 1 of them are in"):
        ParquetSource({"train": [parquet_root / f"train-00000-of-00002{ending}.parquet"]})


def test_a_missing_pyarrow_is_named(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r'needs pyarrow.*`pip install "lt_lightning\[parquet\]"`'):
        source.labels("train")


@pytest.mark.parametrize(("labels", "kind"), [(["cat"], "string"), ([0.0], "double"), ([True], "bool")])
def test_labels_that_are_no_integers_are_refused(tmp_path, labels, kind):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "train-00000-of-00001.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"label": labels}), path)
    with pytest.raises(UsageError, match=rf"parquet holds {kind} in column label; write class numbers"):
        ParquetSource({"train": [path]}).labels("train")


def test_images_as_bare_bytes_are_refused(tmp_path, encode_png, make_pixels):
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "train-00000-of-00001.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"img": [encode_png(make_pixels(0))], "label": [0]}), path)
    with pytest.raises(UsageError, match="no image in row 0; use a file whose image column embeds `bytes`"):
        ParquetSource({"train": [path]}).images("train", torch.tensor([0]))
