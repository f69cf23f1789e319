"""The file of predictions."""

import builtins
import csv
import errno
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils._python_dispatch import TorchDispatchMode

from lt_lightning.callbacks import PredictionsWriter
from lt_lightning.callbacks.predictions import _WRITERS, Share, _in_order, _likeliest
from lt_lightning.data.predict_folder import NO_TARGET, UNREADABLE
from lt_lightning.errors import UsageError
from lt_lightning.losses import ClassBalancedLoss, LogisticLoss


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def logger(folder):
    return CSVLogger(folder, name="", version="")


def probabilities_of(module, data):
    images, targets = data.split("test").__getitems__(list(range(500)))
    with torch.no_grad():
        return module.loss.probabilities(module.eval()(data.to_input(images, training=False, generator=None))), targets


@pytest.mark.parametrize(("eval_batch_size", "top_k"), [(512, 5), (120, 1), (120, 99)])
def test_a_row_per_image_in_the_order_of_the_data(
    tmp_path, trainer, digits, stage1_module, eval_batch_size, top_k, capsys
):
    data = digits(eval_batch_size=eval_batch_size)
    module = stage1_module(data)
    trainer(logger=logger(tmp_path), callbacks=[PredictionsWriter(top_k)]).predict(module, datamodule=data)
    rows = rows_of(tmp_path / "predictions.csv")
    expected, targets = probabilities_of(module, data)
    found = min(top_k, 10)
    names = [f"{name}_{rank + 1}" for rank in range(found) for name in ("class", "index", "probability")]
    assert list(rows[0]) == ["position", "target", *names]
    assert [int(row["position"]) for row in rows] == list(range(500))
    assert [int(row["target"]) for row in rows] == targets.tolist()
    values, classes = expected.sort(dim=1, descending=True)
    assert [int(row["index_1"]) for row in rows] == classes[:, 0].tolist()
    assert [row[f"class_{found}"] for row in rows] == [str(label) for label in classes[:, found - 1].tolist()]
    written = [[float(row[f"probability_{rank + 1}"]) for rank in range(found)] for row in rows]
    torch.testing.assert_close(torch.tensor(written), values[:, :found], rtol=1e-4, atol=1e-6)
    assert capsys.readouterr().out == f"500 predictions written to {tmp_path}/predictions.csv\n"
    assert not list(tmp_path.glob(".*"))


def test_probabilities_are_the_losss(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, loss=lambda counts: ClassBalancedLoss(counts, kind="sigmoid"))
    trainer(logger=logger(tmp_path), callbacks=[PredictionsWriter(10)]).predict(module, datamodule=data)
    sums = [
        sum(float(row[f"probability_{rank}"]) for rank in range(1, 11)) for row in rows_of(tmp_path / "predictions.csv")
    ]
    assert min(sums) > 1.5  # one sigmoid per class, not a softmax


@pytest.mark.parametrize("flip_average", [False, True])
def test_classes_are_those_of_test_where_probabilities_are_equal(
    tmp_path, trainer, digits, stage1_module, flip_average
):
    """Sigmoids of large logits are 1 in fp32, those of low ones 0."""
    data = digits()
    module = stage1_module(data, loss=LogisticLoss, flip_average=flip_average)
    with torch.no_grad():
        module.head.weight.mul_(1e6)
    run = trainer(logger=logger(tmp_path), callbacks=[PredictionsWriter(10)])
    run.test(module, datamodule=data, verbose=False)
    run.predict(module, datamodule=data)
    rows = rows_of(tmp_path / "predictions.csv")
    assert sum(row["probability_1"] == row["probability_2"] == "1" for row in rows) > 100
    assert sum(row["probability_9"] == row["probability_10"] == "0" for row in rows) > 100
    correct = torch.tensor([int(row["target"]) for row in rows if row["index_1"] == row["target"]])
    assert correct.bincount(minlength=10).tolist() == module.evaluation["test"]["per_class"]["correct"]
    pixels, _ = data.split("test").__getitems__(list(range(500)))
    with torch.no_grad():
        logits = module.eval().averaged(data.to_input(pixels, training=False, generator=None))
    order = logits.sort(dim=1, descending=True, stable=True).indices
    assert [[int(row[f"index_{rank}"]) for rank in range(1, 11)] for row in rows] == order.tolist()


def test_parquet_holds_the_same(tmp_path, trainer, digits, stage1_module):
    parquet = pytest.importorskip("pyarrow.parquet")
    data = digits()
    module = stage1_module(data)
    callbacks = [PredictionsWriter(2), PredictionsWriter(2, format="parquet")]
    trainer(logger=logger(tmp_path), callbacks=callbacks).predict(module, datamodule=data)
    table = parquet.read_table(tmp_path / "predictions.parquet")
    assert [str(field.type) for field in table.schema] == ["int64", "string", *["string", "int32", "float"] * 2]
    for there, here in zip(table.to_pylist(), rows_of(tmp_path / "predictions.csv"), strict=True):
        assert list(there) == list(here)
        assert there["class_2"] == here["class_2"]
        assert there["probability_2"] == pytest.approx(float(here["probability_2"]), rel=1e-4)


def test_an_earlier_file_stays(tmp_path, trainer, digits, stage1_module):
    """Without a logger the root folder takes the file, which may hold one already."""
    data = digits()
    for _ in range(3):
        run = trainer(default_root_dir=tmp_path, callbacks=[PredictionsWriter()])
        run.predict(stage1_module(data), datamodule=data)
    names = sorted(path.name for path in tmp_path.glob("pred*"))
    assert names == ["predictions.csv", "predictions_1.csv", "predictions_2.csv"]
    assert all(len(rows_of(tmp_path / name)) == 500 for name in names)


def test_a_named_file_is_written_once(tmp_path, trainer, digits, stage1_module, monkeypatch):
    data, place = digits(), tmp_path / "deep" / "mine.csv"
    module = stage1_module(data)
    trainer(callbacks=[PredictionsWriter(output=str(place))]).predict(module, datamodule=data)
    before = place.read_bytes()
    run = trainer(callbacks=[PredictionsWriter(output=str(place))])
    monkeypatch.setattr(module, "predict_step", lambda *_: pytest.fail("found out too late"))
    with pytest.raises(UsageError, match=r"`output` '.*mine.csv' already exists and will not be overwritten"):
        run.predict(module, datamodule=data)
    assert place.read_bytes() == before


def test_a_file_that_appears_meanwhile_stays(tmp_path, trainer, digits, stage1_module, monkeypatch):
    data, place = digits(), tmp_path / "mine.csv"
    writer = PredictionsWriter(output=str(place))
    run = trainer(callbacks=[writer])
    module = stage1_module(data)
    step = module.predict_step

    def slow(*batch):
        place.write_text("another run's")
        return step(*batch)

    monkeypatch.setattr(module, "predict_step", slow)
    with pytest.raises(UsageError, match="exists"):
        run.predict(module, datamodule=data)
    assert place.read_text() == "another run's"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_a_full_disk_is_named_and_nothing_left(tmp_path, trainer, digits, stage1_module, monkeypatch):
    def full(path, *rows):
        path.write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setitem(_WRITERS, "csv", full)
    data = digits()
    run = trainer(logger=logger(tmp_path), callbacks=[PredictionsWriter()])
    with pytest.raises(UsageError, match=r"predictions.csv' cannot be written \(No space left on device\)"):
        run.predict(stage1_module(data), datamodule=data)
    assert not list(tmp_path.glob("*predictions*"))


def test_a_folder_that_cannot_be_made_is_named_first(tmp_path, trainer, digits, stage1_module):
    (tmp_path / "file").touch()
    data = digits()
    run = trainer(callbacks=[PredictionsWriter(output=str(tmp_path / "file" / "mine.csv"))])
    with pytest.raises(UsageError, match=r"`output` '.*mine.csv' cannot be written"):
        run.predict(stage1_module(data), datamodule=data)


def test_a_folder_that_takes_no_file_is_named_first(tmp_path, trainer, digits, stage1_module, monkeypatch):
    def read_only(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    data = digits()
    module = stage1_module(data)
    run = trainer(callbacks=[PredictionsWriter(output=str(tmp_path / "mine.csv"))])
    monkeypatch.setattr(module, "predict_step", lambda *_: pytest.fail("found out too late"))
    monkeypatch.setattr(Path, "touch", read_only)
    with pytest.raises(UsageError, match=r"`output` '.*mine.csv' cannot be written \(.*Permission denied"):
        run.predict(module, datamodule=data)


def test_probabilities_that_are_no_numbers_are_no_prediction(tmp_path, trainer, digits, stage1_module):
    """They would be in the order of the classes, the first of which every image would get."""
    data = digits()
    module = stage1_module(data)
    with torch.no_grad():
        module.head.weight[3] = float("nan")
    run = trainer(logger=logger(tmp_path), callbacks=[PredictionsWriter()])
    sentence = r"The probabilities of \d+ of \d+ images, that of position 0 first, are not numbers, so the checkpoint"
    with pytest.raises(UsageError, match=sentence):
        run.predict(module, datamodule=data)
    assert not list(tmp_path.glob("*predictions*"))


def share(positions, targets):
    number = len(positions)
    classes = torch.tensor(positions).unsqueeze(1).expand(number, 2)
    return Share(torch.tensor(positions), torch.tensor(targets), classes, torch.ones(number, 2))


@pytest.mark.parametrize(("classes", "levels"), [(4, 2), (50, 2), (50, 8), (50, 10**6), (3000, 50), (3000, 10**6)])
def test_the_likeliest_are_the_first_of_a_stable_sort(classes, levels):
    """Also among equals, and where there are more of these than find room."""
    drawn = torch.randint(levels, (64, classes), generator=torch.Generator().manual_seed(0)).float() / levels
    order = drawn.sort(dim=1, descending=True, stable=True).indices
    assert torch.equal(_likeliest(drawn, 5), order[:, :5])


def test_the_likeliest_are_found_without_a_sort_of_all_classes():
    """Which takes 25 times as long as `topk`."""
    drawn = torch.rand(64, 3000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    class Sorted(TorchDispatchMode):
        entries = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten.sort.stable:
                self.entries += args[0].numel()
            return func(*args, **(kwargs or {}))

    with Sorted() as mode:
        _likeliest(drawn, 5)
    assert 0 < mode.entries <= 2 * 64 * 5


def test_an_image_that_two_processes_predicted_is_written_once():
    found = _in_order(share([4, 0, 2, 0, 3, 1], [0] * 6))
    assert found.positions.tolist() == [0, 1, 2, 3, 4]
    assert found.classes[:, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("unreadable", [[1], [0, 1, 2, 3, 4, 5, 6, 7]])
def test_images_left_out_are_counted_and_named(
    tmp_path, trainer, digits, stage1_module, monkeypatch, unreadable, capsys
):
    data = digits(eval_batch_size=500)
    module = stage1_module(data)
    step = module.predict_step

    def marked(*batch):
        found = step(*batch)
        found["targets"].fill_(NO_TARGET)[unreadable] = UNREADABLE
        return found

    monkeypatch.setattr(module, "predict_step", marked)
    trainer(logger=logger(tmp_path), callbacks=[PredictionsWriter(1)]).predict(module, datamodule=data)
    rows = rows_of(tmp_path / "predictions.csv")
    assert "target" not in rows[0]
    assert [int(row["position"]) for row in rows] == [n for n in range(500) if n not in unreadable]
    names = "1" if len(unreadable) == 1 else "0, 1, 2, 3, 4 and 3 more"
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{len(unreadable)} of 500 images could not be read and were left out: {names}"


def test_no_readable_image_is_an_error(tmp_path, trainer, digits, stage1_module, monkeypatch):
    data = digits()
    module = stage1_module(data)
    values = dict.fromkeys(("logits", "probabilities"), torch.ones(500, 10))
    nothing = {**values, "targets": torch.full((500,), UNREADABLE)}
    monkeypatch.setattr(module, "predict_step", lambda *_: nothing)
    with pytest.raises(UsageError, match="None of the 500 images can be read"):
        trainer(logger=logger(tmp_path), callbacks=[PredictionsWriter()]).predict(module, datamodule=data)
    assert not list(tmp_path.glob("*predictions*"))


def test_without_pyarrow_the_reason_comes_first(trainer, digits, stage1_module, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    data = digits()
    run, module = trainer(callbacks=[PredictionsWriter(format="parquet")]), stage1_module(data)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r'needs pyarrow, .* `pip install "lt_lightning\[parquet\]"`, or use csv'):
        run.predict(module, datamodule=data)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"top_k": 0}, "`top_k` must be at least 1, but got 0"),
        ({"output": "new/"}, "`output` must name a file, but got 'new/'; give one, such as predictions.csv"),
        ({"format": "xls"}, "`format` must be one of csv, parq"),
        ({"output": "a.parquet"}, "`output` 'a.parquet' ends in .parquet, but `format` is csv; give `format` parquet"),
        ({"output": "a.CSV", "format": "parquet"}, "`output` 'a.CSV' ends in .csv, but `format` is parquet"),
    ],
)
def test_wrong_options_are_named(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        PredictionsWriter(**options)
