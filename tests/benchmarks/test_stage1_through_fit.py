import argparse

import pytest
from timing_stage1.through_fit import command, cut_fit


def test_a_preset_is_cut_to_the_steps_that_are_timed():
    asked = argparse.Namespace(root="", device="cpu", warm=2, evaluated=8)
    config = cut_fit("ResNet20", 64, "bf16-mixed", "compiled", 5, asked)
    assert config["trainer"]["limit_train_batches"] == 2 + 5 + 1
    assert (config["trainer"]["accelerator"], config["trainer"]["precision"]) == ("cpu", "bf16-mixed")
    assert (config["model"]["init_args"]["backbone"], config["model"]["init_args"]["compile"]) == (
        "ResNet20",
        "default",
    )
    assert (config["data"]["init_args"]["batch_size"], config["data"]["init_args"]["eval_batch_size"]) == (64, 8)


def test_a_command_that_fails_ends_the_script_with_what_it_said(tmp_path):
    with pytest.raises(SystemExit, match=r"lt-lightning: error: .*gone\.yaml"):
        command(tmp_path / "gone.yaml", 1)
