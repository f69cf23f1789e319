"""One training, stopped and continued."""

import torch
from reproducing.training import Budget, Clock, train


def test_a_clock_counts_on_after_an_interruption(training, settings, tmp_path, counted):
    folder = tmp_path / "training"
    config = training.config(settings.for_all, {"seed_everything": 3})
    assert train(config, folder, counted(0)) is None
    (file,) = folder.rglob("last.ckpt")
    before = torch.load(file, weights_only=True)["callbacks"]["Clock"]["seconds"]
    assert train(config, folder, counted(0)) is None
    found = train(config, folder, Budget())
    assert found.results["seed"] == 3
    assert found.seconds > before > 0
    assert found.checkpoint.is_file()
    assert train(config, folder, Budget(0)) == found
    clock = Clock(Budget())
    clock.load_state_dict({"seconds": 5.0})
    assert clock.state_dict() == {"seconds": 5.0}
