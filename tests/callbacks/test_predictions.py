"""predictions.csv."""

import csv

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from lt_lightning.callbacks import PredictionsWriter
from lt_lightning.losses import ClassBalancedLoss


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("eval_batch_size", [512, 120])
def test_a_row_per_image_in_the_order_of_the_data(tmp_path, trainer, digits, stage1_module, eval_batch_size, capsys):
    data = digits(eval_batch_size=eval_batch_size)
    module = stage1_module(data)
    run = trainer(logger=CSVLogger(tmp_path, name="", version=""), callbacks=[PredictionsWriter()])
    run.predict(module, datamodule=data)
    header, *rows = rows_of(tmp_path / "predictions.csv")
    assert header == ["position", "target", "prediction", *"0123456789"]
    assert [int(row[0]) for row in rows] == list(range(500))

    images, targets = data.split("test").__getitems__(list(range(500)))
    with torch.no_grad():
        expected = module.eval()(data.to_input(images, training=False, generator=None)).softmax(1)
    assert [int(row[1]) for row in rows] == targets.tolist()
    assert [int(row[2]) for row in rows] == expected.argmax(1).tolist()
    found = torch.tensor([[float(value) for value in row[3:]] for row in rows])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert capsys.readouterr().out == f"500 predictions written to {tmp_path}/predictions.csv\n"
    assert not list(tmp_path.glob("*.part"))


def test_probabilities_are_the_losss(tmp_path, trainer, digits, stage1_module):
    data = digits()
    module = stage1_module(data, loss=lambda counts: ClassBalancedLoss(counts, kind="sigmoid"))
    run = trainer(logger=CSVLogger(tmp_path, name="", version=""), callbacks=[PredictionsWriter()])
    run.predict(module, datamodule=data)
    sums = [sum(float(value) for value in row[3:]) for row in rows_of(tmp_path / "predictions.csv")[1:]]
    assert min(sums) > 1.5  # one sigmoid per class, not a softmax


def test_without_a_logger_the_root_folder_takes_the_file(tmp_path, trainer, digits, stage1_module):
    data = digits()
    run = trainer(default_root_dir=tmp_path, callbacks=[PredictionsWriter()])
    run.predict(stage1_module(data), datamodule=data)
    assert len(rows_of(tmp_path / "predictions.csv")) == 501
