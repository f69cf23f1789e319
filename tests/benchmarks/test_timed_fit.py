from types import SimpleNamespace

import timed_fit


def test_what_validation_compiles_before_training_does_not_count(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(timed_fit, "now", lambda: clock[0])
    found = timed_fit.Clock(warm=1, steps=1)
    run = SimpleNamespace(is_global_zero=True)
    for seconds in (60.0, 2.0):
        found.on_validation_start(run, None)
        clock[0] += seconds
        found.on_validation_batch_end(run, None, None, (None, [0] * 8), 0)
        found.on_validation_end(run, None)
    assert found.found["evaluation"] == 2.0 / 8
    config = timed_fit.cut(timed_fit.configuration("ResNet32", ""), 1, 1, 8, {})
    assert config["trainer"]["num_sanity_val_steps"] == config["trainer"]["limit_val_batches"] == 1
