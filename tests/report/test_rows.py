"""What stands in one row, and what in one table."""

import pytest
import yaml

from lt_lightning import report


def sizes(row):
    return [len(runs) for runs in row.by_checkpoint]


def test_seeds_of_one_experiment_make_a_row(write, run, rows_of):
    for seed, value in enumerate((0.4, 0.5, 0.6)):
        config = f"seed_everything: {seed}\nmodel:\n  init_args:\n    checkpoint: stage1_{seed}.ckpt\n    lr: 0.1\n"
        write(f"runs/version_{seed}", run(value, seed=seed), config)
    (row,), notes = rows_of("runs")
    assert notes == []
    assert row.names[1:3] == ("made/lort", "LinearHead + LORTLoss")
    assert row.seeds == [0, 1, 2]
    assert (row.mean("all"), row.deviation("all")) == pytest.approx((0.5, 0.1))
    assert row.mean("few") is None  # an empty group
    assert row.mean("ece") == pytest.approx(0.1)


def test_seeds_stand_in_order_of_their_size(write, run, rows_of):
    for seed in (10, 9, None):
        write(f"runs/{seed}", run(0.4, seed=seed), f"seed_everything: {seed}\n")
    (row,), _ = rows_of("runs")
    assert row.seeds == [9, 10, None]


def test_places_that_take_several_lines_tell_no_experiments_apart(write, run, rows_of):
    for seed in range(2):
        checkpoint = " ".join(["a folder with blanks in its name"] * (seed + 3)) + "/last.ckpt"
        config = yaml.safe_dump({"model": {"init_args": {"checkpoint": checkpoint}, "lr": 0.1}}, sort_keys=False)
        assert config.count("\n") > 4
        write(f"runs/version_{seed}", run(0.4, seed=seed), config)
    (row,), _ = rows_of("runs")
    assert row.seeds == [0, 1]


def test_what_stands_below_the_name_of_a_place_is_no_place(write, run, rows_of):
    for depth in range(2):
        config = yaml.safe_dump({"backbone": {"init_args": {"config": {"depth": depth}}}})
        write(f"runs/version_{depth}", run(0.4, seed=depth), config)
    assert len(rows_of("runs")[0]) == 2


def test_other_heads_of_one_checkpoint_are_other_rows(write, run, rows_of):
    for place, by in (("a", "val: linear of compare"), ("b", "val: crt of compare"), ("c", "none: the last epoch")):
        write(place, run(0.4, selection=by), "lr: 0.1\n")
    rows, _ = rows_of("a", "b", "c")
    assert [(row.protocol.selection, len(row.runs)) for row in rows] == [("none", 1), ("val", 1), ("val", 1)]


def test_other_settings_and_other_data_are_other_rows(write, run, rows_of):
    write("a", run(0.4), "lr: 0.1\n")
    write("b", run(0.5, seed=1), "lr: 0.2\n")
    write("c", run(0.6, class_counts=[300, 50, 5]), "lr: 0.1\n")
    rows, _ = rows_of("a", "b", "c")
    assert [len(row.runs) for row in rows] == [1, 1, 1]
    shown = report.to_markdown(rows, "test")
    assert all(f"| LinearHead + LORTLoss with lr {rate} |" in shown for rate in (0.1, 0.2))
    assert shown.count("**test, made (") == 2


@pytest.mark.parametrize(
    "other",
    [
        {"bn_mode": "train"},
        {"selection": "best_on_test"},
        {"test_time_averaging": "flip"},
    ],
    ids=["bn_mode", "selection", "flip"],
)
def test_figures_of_other_protocols_never_meet(write, run, rows_of, other):
    write("a", run(0.4))
    write("b", run(0.6, seed=1, **other))
    rows, _ = rows_of("a", "b")
    assert len(rows) == 2
    assert len(list(report.tables(rows, "test"))) == 2
    assert report.to_markdown(rows, "test").count("| | all |") == 2


def test_weights_of_an_epoch_that_was_kept_are_not_called_the_last_ones(write, run, rows_of):
    write("a", run(0.4, selection="val: the epoch that ModelCheckpoint kept by val/all"))
    write("b", run(0.4, selection="val: the epoch that EarlyStopping ended at by val/all"))
    rows, _ = rows_of("a", "b")
    assert [(row.protocol.selection, row.protocol.aggregation) for row in rows] == [
        ("val", "chosen epoch"),
        ("val", "last epoch"),
    ]


def test_a_method_compared_with_other_settings_is_another_row(write, compared, rows_of):
    def lort(seed, delta, rate, batch_size=64):
        settings = {
            "batch_size": batch_size,
            "optimizer": {"class_path": "SGD", "init_args": {"lr": rate, "momentum": 0.9}},
            "loss": {"class_path": "LORTLoss", "init_args": {"delta": delta}},
        }
        seeds = [{"seed": seed, "accuracy": {"all": 0.5}}]
        return {"selection": "val", "settings": settings, "chosen": {"loss.delta": delta, "lr": rate}, "seeds": seeds}

    write("a", compared({"lort": lort(0, 0.9, 0.1)}))
    write("b", compared({"lort": lort(1, 0.98, 0.01)}))  # other images chose other values
    write("c", compared({"lort": lort(0, 0.9, 0.1, batch_size=256)}))
    rows, notes = rows_of("a", "b", "c")
    assert sorted(len(row.runs) for row in rows) == [1, 2]
    assert notes == []


def test_seeds_on_one_network_are_no_networks(write, compared, rows_of):
    accuracies = {number: [0.40 + 0.02 * number + 0.001 * seed for seed in range(5)] for number in range(3)}
    for number, values in accuracies.items():
        trained = [{"seed": seed, "accuracy": {"all": value}} for seed, value in enumerate(values)]
        rows = {"lort": trained, "tau_norm": trained[2:3]}  # which has nothing that a seed changes
        rows = {name: {"selection": "val", "seeds": seeds} for name, seeds in rows.items()}
        write(f"c{number}", compared(rows, path="model.pth", sha256=str(number) * 64))
    found = {row.names.method: row for row in rows_of(".")[0]}
    for row in found.values():
        assert (row.mean("all"), row.deviation("all")) == pytest.approx((0.422, 0.02))  # 0.017 over fifteen
    assert [sizes(found[name]) for name in ("lort", "tau_norm")] == [[5, 5, 5], [1, 1, 1]]
    (row,) = [row for row in rows_of("c0")[0] if row.names.method == "lort"]
    assert (row.deviation("all"), sizes(row)) == (pytest.approx(0.001 * 2.5**0.5), [5])


def test_every_checkpoint_counts_alike_however_many_seeds_it_has(write, run, rows_of):
    for number, (content, value) in enumerate([("1", 0.2), ("1", 0.4), ("2", 0.5)]):
        stage1 = {"path": "last.ckpt", "sha256": 64 * content}
        write(f"{number}", run(value, seed=number, stage1=stage1), f"seed_everything: {number}\n")
    (row,), _ = rows_of(".")
    assert (row.mean("all"), row.deviation("all")) == pytest.approx((0.4, 0.1 * 2**0.5))


def test_pipelines_have_a_network_each(write, pipeline, rows_of):
    for seed, value in enumerate((0.4, 0.5, 0.6)):
        record = pipeline({"lort": {"test": {"all": value}}}) | {"seed": seed}
        write(f"p{seed}", record, f"seed_everything: {seed}\n")
    (row,), _ = rows_of(".")
    assert (row.deviation("all"), sizes(row)) == (pytest.approx(0.1), [3])


def test_methods_tried_on_other_grids_are_other_rows(write, compared, rows_of):
    settings = {"optimizer": {"class_path": "SGD", "init_args": {"lr": 0.1}}}
    start = {"selection": "none", "settings": None, "seeds": [{"seed": 0, "accuracy": {"all": 0.3}}]}

    def lort(seed, rates, **more):
        tried = [{"point": {"lr": rate}, "mean": 0.5} for rate in rates]
        seeds = [{"seed": seed, "accuracy": {"all": 0.5}}]
        return {"selection": "val", "settings": settings, "chosen": {"lr": 0.1}, "seeds": seeds, "validation": tried}

    four, eight = {"lr": [1.0, 10.0]}, {"lr": [1.0, 10.0, 100.0]}
    write("a", compared({"lort": lort(0, (0.1, 1.0)), "stage 1": start}) | {"grid": "default"})
    write("b", compared({"lort": lort(1, (0.1, 1.0, 10.0)), "stage 1": start}) | {"grid": "default"})
    write("c", compared({"lort": lort(2, (0.1, 1.0, 10.0)), "stage 1": start}) | {"grid": {"default": eight}})
    write("d", compared({"lort": lort(3, (0.1, 1.0)), "stage 1": start}) | {"grid": {"default": four}})
    found = [(row.names.method, row.seeds) for row in rows_of(".")[0]]
    assert sorted(found) == [("lort", [0, 3]), ("lort", [1, 2]), ("stage 1", [0])]


def test_without_figures_of_what_was_tried_the_grid_tells_apart(write, compared, rows_of):
    settings = {"loss": {"class_path": "LORTLoss", "init_args": {"delta": 0.9}}}
    for number, grid in enumerate(["default", {"default": {"lr": [1.0]}}, {"delta": [0.9]}]):
        lort = {"selection": "val", "settings": settings, "seeds": [{"seed": 0, "accuracy": {"all": 0.5}}]}
        oracle = {"selection": "none", "settings": settings, "seeds": [{"seed": number, "accuracy": {"all": 0.6}}]}
        plain = {**lort, "selection": "unselected", "seeds": [{"seed": number, "accuracy": {"all": 0.4}}]}
        write(f"c{number}", compared({"lort": lort, "oracle": oracle, "plain": plain}) | {"grid": grid})
    names = [row.names.method for row in rows_of(".")[0]]
    assert {name: names.count(name) for name in names} == {"lort": 3, "oracle": 1, "plain": 1}


def test_comparisons_on_data_prepared_otherwise_are_other_rows(write, compared, rows_of):
    def record(seed, val_per_class, size, padding=4):
        seeds = [{"seed": seed, "epochs": 2, "accuracy": {"all": 0.5}}]
        lort = {"selection": "val", "settings": {"epochs": 2}, "seeds": seeds}
        start = {
            "selection": "none",
            "settings": None,
            "seeds": [{"seed": seed, "epochs": 0, "accuracy": {"all": 0.3}}],
        }
        hashes = {"val": f"{val_per_class}", "test": "same"}
        return compared({"lort": lort, "stage 1": start}) | {
            "data": {"dataset": "made", "val_per_class": val_per_class, "hashes": hashes},
            "transform": {"shown": {"image_size": size, "crop_padding": padding}, "test": {"image_size": size}},
        }

    made = [(0, 20, 32), (1, 20, 32), (0, 5, 32), (2, 20, 16), (3, 20, 32, 8)]
    for number, given in enumerate(made):
        write(f"c{number}", record(*given))
    rows, notes = rows_of(".")
    found = [(row.names.method, len(row.runs)) for row in rows]
    assert sorted(found) == [("lort", 1)] * 3 + [("lort", 2)] + [("stage 1", 1)] * 2
    assert notes == []


def test_images_prepared_otherwise_are_no_seeds(write, run, rows_of):
    for seed, size in ((0, 32), (1, 32), (2, 16)):
        write(f"{seed}", run(0.4, seed=seed, transform={"image_size": size}), f"seed_everything: {seed}\n")
    assert [row.seeds for row in rows_of(".")[0]] == [[0, 1], [2]]


def test_one_seed_on_other_images_of_one_set_is_another_row(write, run, rows_of):
    for number, images in enumerate("112"):
        data = {"dataset": "made", "hashes": {"test": images}}
        write(f"{number}", run(0.4, data=data), "lr: 0.1\n")
    rows, notes = rows_of(".")
    assert ([len(row.runs) for row in rows], len(notes)) == ([1, 1], 1)


def test_seeds_of_which_two_files_each_are_tested_make_a_row_of_each(write, run, rows_of):
    training = {"preset": "made", "settings": {"lr": 0.1}}
    for seed in range(3):
        for step in (5, 10):
            start = {"run": f"{seed}", "step": step, "seed": seed, **training}
            write(f"{seed}/{step}", run(0.1 * step, seed=seed, started_from=start), "lr: default\n")
    rows, notes = rows_of(".")
    assert ([(row.seeds, row.deviation("all")) for row in rows], notes) == ([([0, 1, 2], 0.0)] * 2, [])
    assert len(set(report.labels(rows))) == 2


def test_weights_of_which_nobody_says_how_they_were_trained_are_no_seeds_by_the_seed_of_their_test(write, run, rows_of):
    for number in range(3):
        start = {"path": "last.ckpt", "sha256": 64 * f"{number}", "run": f"{number}", "step": 9}
        write(f"{number}", run(0.4, started_from=start), "lr: default\n")
    rows, notes = rows_of(".")
    assert ([len(row.runs) for row in rows], notes) == ([1, 1, 1], [])
