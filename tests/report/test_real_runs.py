"""Records that real runs leave."""

import json
from pathlib import Path

import interrupted_pipeline
import pytest
from lightning.pytorch import seed_everything
from lightning.pytorch.loggers import CSVLogger

from lt_lightning import cli, pipeline, report
from lt_lightning.callbacks import ResultsWriter
from lt_lightning.errors import UsageError
from lt_lightning.main import main
from lt_lightning.modules import RetrainModule


@pytest.fixture
def leave(here, trainer, digits):
    """Fits, or tests weights, and leaves what a command leaves in a folder."""

    def leave(name, module, seed=0, ckpt_path=None, max_epochs=1, command="fit"):
        callbacks = [ResultsWriter("made", seed=seed, print_table=False)]
        run = trainer(max_epochs, logger=CSVLogger(here, name=name, version=""), callbacks=callbacks)
        options = {} if command == "fit" else {"verbose": False}
        getattr(run, command)(module, datamodule=digits(), ckpt_path=ckpt_path, **options)
        config = f"seed_everything: {seed}\nckpt_path: {ckpt_path or 'null'}\ntrainer:\n  max_epochs: {max_epochs}\n"
        (here / name / "config.yaml").write_text(config)
        saved = Path(name) / "last.ckpt"
        run.save_checkpoint(saved)
        return saved

    return leave


def test_a_run_that_was_interrupted_is_one_like_the_others(leave, digits, stage1_module, rows_of):
    data = digits()
    for seed in (0, 1):
        leave(f"runs/{seed}", stage1_module(data), seed, max_epochs=2)
    half = leave("half", stage1_module(data), 2)
    leave("runs/2", stage1_module(data), 2, ckpt_path=half, max_epochs=2)
    (row,), notes = rows_of("runs", split="val")
    assert (report.to_markdown([row], "val").count("| 3 |"), notes) == (1, [])
    leave("runs/again", stage1_module(data), 2, max_epochs=2)  # from start to end
    (row,), notes = rows_of("runs", split="val")
    assert "| 3 |" in report.to_markdown([row], "val")
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


def test_seeds_that_are_fitted_then_tested_are_of_their_stage1(leave, digits, stage1_module, rows_of):
    data = digits()
    for number in range(2):
        seed_everything(number, verbose=False)
        network = leave(f"stage1/{number}", stage1_module(data), number)
        for seed in range(2):
            options = {"backbone": stage1_module(data).backbone, "group_thresholds": data.group_thresholds}
            module = RetrainModule(data.class_counts, str(network), **options)
            saved = leave(f"fits/{number}_{seed}", module, seed)
            saved = saved.rename(f"{number}_{seed}.ckpt")
            again = RetrainModule(data.class_counts, str(network), **options)
            leave(f"tests/{number}_{seed}", again, seed, ckpt_path=saved, command="test")
    for folder, split in (("fits", "val"), ("tests", "test")):
        (row,), notes = rows_of(folder, split=split)
        assert "| 2 × 2 |" in report.to_markdown([row], split)
        assert notes == []


def test_a_seed_that_was_submitted_again_counts_once_on_whatever_devices(here, tiny, rows_of):
    """Two files of equal weights differ: Lightning writes into them in which folder they lie."""
    for folder, seed, devices in (("a", 0, "auto"), ("b", 1, "auto"), ("c", 0, "1")):
        options = ("--trainer.max_epochs=1", f"--seed_everything={seed}", f"--trainer.devices={devices}")
        main(tiny("fit", "RepresentationModule", *options, f"--trainer.default_root_dir=fits/{folder}"))
        (saved,) = Path("fits", folder).rglob("last.ckpt")
        main(tiny("test", "RepresentationModule", f"--ckpt_path={saved}", f"--trainer.default_root_dir=tests/{folder}"))
    for folder, split in (("fits", "val"), ("tests", "test")):
        (row,), notes = rows_of(folder, split=split)
        assert "| 2 |" in report.to_markdown([row], split)
        assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


def test_without_a_seed_no_run_repeats_another(here, tiny, rows_of):
    for folder in ("a", "b"):
        options = ("--trainer.max_epochs=1", "--seed_everything=false", f"--trainer.default_root_dir=fits/{folder}")
        main(tiny("fit", "RepresentationModule", *options))
        (saved,) = Path("fits", folder).rglob("last.ckpt")
        main(tiny("test", "RepresentationModule", f"--ckpt_path={saved}", f"--trainer.default_root_dir=tests/{folder}"))
    for folder, split in (("fits", "val"), ("tests", "test")):
        (row,), notes = rows_of(folder, split=split)
        assert (len(row.runs), notes) == (2, [])


@pytest.fixture
def fit_and_test(tiny):
    """Fits with options and tests the last epoch, by a command line that names the file and the data alone."""

    def run(name, *options, command="test"):
        fitted = Path("fits", name)
        short = ("--trainer.max_epochs=1", f"--trainer.default_root_dir={fitted}")
        main(tiny("fit", "RepresentationModule", *short, *options))
        (saved,) = fitted.rglob("last.ckpt")
        main([command, f"--ckpt_path={saved}", "--data=DigitsLT", f"--trainer.default_root_dir=tests/{name}"])
        (record,) = Path("tests", name).rglob("results.json")
        return json.loads(record.read_text())

    return run


def test_networks_trained_otherwise_are_no_seeds_although_one_command_tests_them(here, fit_and_test, rows_of):
    changes = {
        "plain": (),
        "otherwise": ("--data.sampler=ClassBalancedSampler", "--trainer.max_epochs=2", "--data.batch_size=32"),
        "seed": ("--seed_everything=1",),
    }
    seeds = {name: fit_and_test(name, *options)["seed"] for name, options in changes.items()}
    assert seeds == {"plain": 0, "otherwise": 0, "seed": 1}
    rows, notes = rows_of("tests")
    assert (sorted((len(row.runs), row.seeds) for row in rows), notes) == ([(1, [0]), (2, [0, 1])], [])
    options = json.loads(report.to_json(rows, "test"))[0]["options"]
    assert set(options) == {"data.sampler", "trainer.max_epochs", "data.batch_size"}


def test_a_run_that_is_validated_again_counts_once(here, fit_and_test, rows_of):
    fit_and_test("a", command="validate")
    (row,), notes = rows_of(".", split="val")
    assert (len(row.runs), row.deviation("all")) == (1, None)
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


def test_a_network_evaluated_otherwise_or_before_its_end_is_another_row(here, tiny, rows_of):
    saver = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=3")
    options = (*saver, "--trainer.callbacks.save_top_k=-1", "--trainer.callbacks.filename={step}")
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", *options))
    for name, option in (
        ("last", "--data.eval_batch_size=100"),
        ("last", "--data.batch_size=7"),
        ("last", "--trainer.limit_test_batches=1"),
        ("step=3", "--data.batch_size=7"),
    ):
        (saved,) = Path("runs").rglob(f"{name}.ckpt")
        main(["test", f"--ckpt_path={saved}", "--data=DigitsLT", option, "--trainer.default_root_dir=tests"])
    rows, notes = rows_of("tests")
    assert [len(row.runs) for row in rows] == [1, 1, 1]
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


@pytest.fixture
def compare(stage1):
    def run(output, *options):
        given = ("--data=DigitsLT", "--draws=2", "--features.progress=false")
        cli.main(["compare", f"--checkpoint={stage1}", *given, f"--output={output}", *options])

    return run


@pytest.mark.filterwarnings("ignore:Stage 1 is no worse on validation images")
def test_what_nothing_trains_is_the_same_with_every_seed(here, compare, rows_of):
    for seed in range(2):
        compare("c", "--methods=tau_norm,crt", "--views=1", "--oracle=false", f"--seeds={seed}")
    rows, notes = rows_of("c")
    assert {row.names.method: len(row.runs) for row in rows} == {"stage 1": 1, "tau_norm": 1, "crt": 2}
    assert notes == []


def test_the_best_of_other_seeds_is_another_run(here, compare, rows_of):
    (here / "crt.yaml").write_text("{epochs: 1, sampler: ClassBalancedSampler}")
    for seed in (0, 5, 5):
        compare("p", "--methods=crt.yaml,tau_norm", "--protocol=paper", f"--seeds={seed}")
    rows, notes = rows_of("p")
    assert {row.names.method: len(row.runs) for row in rows} == {"stage 1": 1, "tau_norm": 1, "crt": 2}
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


def test_a_probe_that_is_done_again_counts_once(here, stage1, rows_of):
    for output in ("a", "b"):
        given = (f"--checkpoint={stage1}", "--backbone=SmallCNN", "--backbone.num_features=8", "--data=DigitsLT")
        cli.main(["probe", *given, "--features.progress=false", "--features.device=cpu", f"--output=probes/{output}"])
    (row,), notes = rows_of("probes")
    assert (len(row.runs), row.deviation("all")) == (1, None)
    assert notes == ["1 runs were done again with the same configuration and seed; the last one counts."]


def test_what_a_killed_pipeline_has_finished_counts_like_the_same_of_others(here, rows_of):
    arguments = interrupted_pipeline.write(here, lort=[interrupted_pipeline.stops("on_train_start")])
    with pytest.raises(UsageError, match="Interrupted"):
        pipeline.main(arguments)
    pipeline.main([*arguments, "--seed_everything=1"])
    rows, (note,) = rows_of("runs")
    assert {row.names.method: row.seeds for row in rows} == {"stage1": [0, 1], "lort": [1], "tau_norm": [1]}
    assert note.startswith("1 pipelines have not finished, of which the finished stages count: runs/tiny/version_0; ")


@pytest.mark.filterwarnings("ignore:.* validation image")
def test_jobs_that_copy_images_to_folders_of_other_names_are_seeds_of_one_run(here, folder_root, rows_of):
    for seed in range(2):
        root = folder_root.rename(here / f"job_{seed}")
        data = ("--data=ImageFolderLT", f"--data.root={root}", "--data.image_size=16", "--data.batch_size=4")
        small = (*data, "--data.num_workers=0", "--data.group_thresholds=[3,5]", "--trainer.enable_progress_bar=false")
        common = (f"--seed_everything={seed}", f"--trainer.default_root_dir=fits/{seed}", "--trainer.max_epochs=1")
        network = ("--model=RepresentationModule", "--model.backbone=SmallCNN", "--model.backbone.in_channels=3")
        main(["fit", *network, *small, *common])
        (saved,) = Path("fits", str(seed)).rglob("last.ckpt")
        main(["test", f"--ckpt_path={saved}", *small, f"--trainer.default_root_dir=tests/{seed}"])
        given = (f"--checkpoint={saved}", *data, "--data.num_workers=0", "--data.group_thresholds=[3,5]")
        options = ("--methods=tau_norm", "--views=1", "--draws=2", "--features.progress=false", "--output=compared")
        cli.main(["compare", *given, *options])
        folder_root = root
    for folder, split in (("fits", "val"), ("tests", "test")):
        (row,), notes = rows_of(folder, split=split)
        assert (row.seeds, notes) == ([0, 1], [])
    rows, _ = rows_of("compared")
    assert {row.names.method: len(row.by_checkpoint) for row in rows} == {"stage 1": 2, "tau_norm": 2}
