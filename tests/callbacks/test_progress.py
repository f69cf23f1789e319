"""What stands behind a run's bar."""

from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger

from lt_lightning.callbacks import RunProgressBar


def test_the_end_of_a_folders_name_is_no_number(tmp_path, capsys, trainer, digits, stage1_module):
    bar = RunProgressBar()
    run = trainer(callbacks=[bar], logger=CSVLogger(tmp_path, name="", version="version_1"), enable_progress_bar=True)
    run.fit(stage1_module(data := digits()), datamodule=data)
    assert RichProgressBar.get_metrics(bar, run, run.lightning_module)["v_num"] == "on_1"
    assert "v_num" not in bar.get_metrics(run, run.lightning_module)
    assert "v_num" not in capsys.readouterr().out
