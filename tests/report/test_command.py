"""``report`` on real runs."""

import json
import subprocess
import sys

from lt_lightning import cli
from lt_lightning.main import main


def test_a_real_run_is_reported(here, tiny, stage1, capsys):
    main(tiny("test", "RepresentationModule", f"--ckpt_path={stage1}"))
    capsys.readouterr()
    cli.main(["report", "runs"])
    shown = capsys.readouterr().out
    assert "test, digits (276 images, 10 classes, 100 to 2; few <8, many >30)," in shown
    assert "LinearHead + CrossEntropyLoss" in shown


def test_a_saved_configuration_with_another_seed_is_the_same_experiment(here, tiny, capsys):
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1"))
    (config,) = here.rglob("config.yaml")
    main(["fit", "-c", str(config), "--seed_everything=1"])
    capsys.readouterr()
    cli.main(["report", "runs", "--split", "val", "--output", "table.json"])
    (row,) = json.loads((here / "table.json").read_text())
    assert (row["runs"], row["seeds"]) == (2, [0, 1])


def test_it_imports_no_torch():
    code = "import sys; import lt_lightning.report; assert not {'torch', 'numpy', 'yaml'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
