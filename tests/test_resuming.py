"""What is typed beside `--ckpt_path`, what the checkpoint says, and which of the two holds."""

import json
from typing import ClassVar

import lightning.pytorch.callbacks
import pytest
import torch
import yaml

from lt_lightning import callbacks, predict, resuming
from lt_lightning.backbones import SmallCNN
from lt_lightning.backbones.base import loads_published_weights
from lt_lightning.callbacks.results import SCHEDULES
from lt_lightning.errors import UsageError
from lt_lightning.export import rebuild
from lt_lightning.main import LTCLI, main
from lt_lightning.records import read_record
from lt_lightning.resuming import with_backbone


class Rooted(SmallCNN):
    """Has an argument that is called as one of the data."""

    def __init__(self, root: int = 1, num_features: int = 8, in_channels: int = 1) -> None:
        super().__init__(num_features, in_channels)


class Published(SmallCNN):
    """Would fetch weights where it is to begin with published ones."""

    asked: ClassVar[list[bool]] = []

    def __init__(self, num_features: int = 8, in_channels: int = 1) -> None:
        super().__init__(num_features, in_channels)
        self.asked.append(loads_published_weights())


def figures(here):
    (path,) = here.rglob("results.json")
    return json.loads(path.read_text())["evaluation"]["test"]


def test_what_is_typed_holds_and_a_difference_is_said(here, tiny, stage1):
    with pytest.warns(
        UserWarning, match=r"other settings than are given, which count: `model.flip_average` True \(there"
    ):
        main(tiny("test", "RepresentationModule", f"--ckpt_path={stage1}", "--model.flip_average=true"))
    assert figures(here)["test_time_averaging"] == "flip"


def test_what_is_not_typed_is_the_checkpoints(here, tiny, stage1):
    parts = ("--model.head=CosineHead", "--model.head.scale=7", "--model.loss=FocalLoss")
    main(tiny("fit", "RetrainModule", f"--model.checkpoint={stage1}", "--trainer.max_epochs=1", *parts))
    (checkpoint,) = here.rglob("last.ckpt")

    class Made(LTCLI):
        def instantiate_trainer(self, **kwargs):
            raise StopIteration  # the model is made by now

    with pytest.raises(StopIteration) as stopped:
        Made(tiny("test", "RetrainModule", "--model.checkpoint=gone.ckpt", f"--ckpt_path={checkpoint}"))
    made = stopped.traceback[1].locals["self"]
    assert type(made.model.loss).__name__ == "FocalLoss"
    assert made.model.head.scale == 7
    assert made.config.test.ckpt_path == str(checkpoint)


def test_a_resumed_run_says_what_goes_on_as_it_was(here, tiny, stage1):
    options = ("--model.optimizer=torch.optim.SGD", "--model.optimizer.lr=0.5", "--trainer.max_epochs=3")
    with pytest.warns(
        UserWarning, match=r"optimizers and schedules go on as .*`model.optimizer.lr` 0.5 \(there 0.01\)"
    ):
        main(tiny("fit", "RepresentationModule", f"--ckpt_path={stage1}", *options))
    (record,) = [json.loads(path.read_text()) for path in here.rglob("results.json")]
    assert record["epochs"] == 3


def test_a_model_made_in_python_is_typed(here, tiny, trainer, digits, stage1_module):
    run = trainer()
    run.fit(stage1_module(data := digits()), datamodule=data)
    run.save_checkpoint(here / "python.ckpt")
    main(tiny("test", "RepresentationModule", "--ckpt_path=python.ckpt"))
    assert sum(figures(here)["per_class"]["total"]) == 500


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_a_missing_file_is_one_sentence(here, tiny, command):
    with pytest.raises(UsageError, match=r"`ckpt_path` 'gone.ckpt' is not a file; give a `last.ckpt`"):
        main(
            tiny(
                command,
                "RepresentationModule",
                "--ckpt_path=gone.ckpt",
                *["--trainer.max_epochs=1"][command != "fit" :],
            )
        )


def test_a_file_without_weights_is_one_sentence(here, tiny):
    (here / "notes.ckpt").write_text("no weights")
    with pytest.raises(UsageError, match=r"`ckpt_path` 'notes.ckpt' is neither a PyTorch nor a safetensors file"):
        main(tiny("test", "RepresentationModule", "--ckpt_path=notes.ckpt"))


def test_stage_2_does_not_go_on_from_stage_1(here, tiny, stage1):
    options = (f"--model.checkpoint={stage1}", f"--ckpt_path={stage1}", "--trainer.max_epochs=3")
    with pytest.raises(
        UsageError, match=r"is of a RepresentationModule, and .* RetrainModule; stage 2 starts from it by"
    ):
        main(tiny("fit", "RetrainModule", *options))


def test_training_does_not_go_on_from_weights_alone(here, tiny, stage1):
    contents = torch.load(stage1, weights_only=True)
    del contents["optimizer_states"]
    torch.save(contents, "weights.ckpt")
    with pytest.raises(UsageError, match=r"`ckpt_path` 'weights.ckpt' holds weights without the state of an optimiser"):
        main(tiny("fit", "RepresentationModule", "--ckpt_path=weights.ckpt", "--trainer.max_epochs=3"))
    main(tiny("test", "RepresentationModule", "--ckpt_path=weights.ckpt"))
    assert figures(here)["accuracy"]["all"] >= 0


def test_a_word_that_lightning_knows_is_no_file(here, tiny):
    with pytest.warns(UserWarning, match="no last checkpoint available"):
        main(tiny("fit", "RepresentationModule", "--ckpt_path=last", "--trainer.max_epochs=1"))
    assert torch.load(next(here.rglob("last.ckpt")), weights_only=True)["epoch"] == 0


def of_data(tiny):
    return [word for word in tiny("test", "RepresentationModule") if not word.startswith("--model")]


def test_a_test_takes_its_model_from_the_checkpoint(here, stage1, tiny):
    main([*of_data(tiny), f"--ckpt_path={stage1}"])
    assert figures(here)["test_time_averaging"] == "none"


def test_single_arguments_of_a_model_from_the_checkpoint_hold(here, stage1, tiny):
    with pytest.warns(UserWarning, match=r"`model.flip_average` True \(there False\)"):
        main([*of_data(tiny), "--model.flip_average=true", f"--ckpt_path={stage1}"])
    assert figures(here)["test_time_averaging"] == "flip"


def test_a_test_of_a_foreign_file_says_what_is_needed(here, tiny):
    torch.save({"state_dict": {"fc.weight": torch.zeros(2, 2)}}, here / "theirs.ckpt")
    with pytest.raises(UsageError, match=r"`ckpt_path` 'theirs.ckpt' is no checkpoint of this package"):
        main([*of_data(tiny), "--ckpt_path=theirs.ckpt"])


SIZES = ("--data.image_size=16", "--data.resize=18", "--data.mean=[0.1,0.2,0.3]")


def prepared(path):
    found = yaml.safe_load(path.read_text())["data"]["init_args"]
    return found["image_size"], found["resize"], found["mean"]


def test_images_are_prepared_as_the_checkpoints_but_for_what_is_typed(here, tiny, folder_root):
    of_data = ("--data=ImageFolderLT", f"--data.root={folder_root}", "--data.num_workers=0")
    options = [word for word in tiny("fit", "RepresentationModule", *SIZES) if word != "--data=DigitsLT"]
    main([options[0], *of_data, *options[1:], "--model.backbone.in_channels=3", "--trainer.max_epochs=1"])
    (checkpoint,) = here.rglob("last.ckpt")
    evaluated = ["test", f"--ckpt_path={checkpoint}", *of_data, "--trainer.accelerator=cpu"]
    main([*evaluated, f"--trainer.default_root_dir={here / 'same'}"])
    (path,) = (here / "same").rglob("config.yaml")
    assert prepared(path) == (16, 18, [0.1, 0.2, 0.3])
    with pytest.warns(UserWarning, match=r"otherwise than the checkpoint's: `data.image_size` 14 \(there 16\), `data"):
        main([*evaluated, "--data.image_size=14", f"--trainer.default_root_dir={here / 'other'}"])
    (path,) = (here / "other").rglob("config.yaml")
    assert prepared(path) == (14, None, [0.1, 0.2, 0.3])


@pytest.mark.parametrize("command", ["fit", "test", "predict", "export"])
def test_weights_that_a_checkpoint_follows_are_not_fetched(here, stage1, command, recwarn):
    contents = torch.load(stage1, weights_only=True)
    contents["hyper_parameters"]["backbone"]["class_path"] = f"{__name__}.Published"
    torch.save(contents, here / "published.ckpt")
    Published.asked.clear()
    if command == "export":
        rebuild(read_record("published.ckpt"))
    else:
        model = ["--model=RepresentationModule", f"--model.backbone={__name__}.Published", "--trainer.max_epochs=3"]
        options = ["--data=DigitsLT", "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]
        run = predict.main if command == "predict" else main
        run([command, "--ckpt_path=published.ckpt", *options, *(model if command == "fit" else [])])
    assert Published.asked == [False]
    assert not any("other settings than are given" in str(warning.message) for warning in recwarn)


def test_a_model_that_no_checkpoint_follows_may_fetch_its_weights(here, tiny):
    Published.asked.clear()
    made = {"trainer": {"accelerator": "cpu"}, "data": "DigitsLT"}
    model = {"class_path": "RepresentationModule", "init_args": {"backbone": f"{__name__}.Published"}}
    LTCLI({**made, "model": model}, run=False)
    assert Published.asked == [True]


def test_a_comparisons_backbone_is_the_checkpoints_unless_typed(stage1, tmp_path):
    command = ["compare", f"--checkpoint={stage1}", "--data=DigitsLT"]
    *before, added = with_backbone(command)
    assert before == command
    backbone = json.loads(added.removeprefix("--backbone="))
    assert backbone["class_path"].endswith("SmallCNN")
    assert backbone["init_args"]["num_features"] == 8
    assert with_backbone([*command, "--backbone.num_features=4"])[-2:] == [added, "--backbone.num_features=4"]
    for typed in ("--backbone=SmallCNN", "--config=mine.yaml"):
        assert with_backbone([*command, typed]) == [*command, typed]
    foreign = tmp_path / "model.pth"
    torch.save({"weight": torch.zeros(2)}, foreign)
    foreign_alone = ["compare", "--checkpoint", str(foreign)]
    assert with_backbone(foreign_alone) == foreign_alone
    typo = ["compare", f"--checkpoint={tmp_path / 'nowhere.pth'}"]
    with pytest.raises(UsageError, match=r"`checkpoint` '.*nowhere.pth' is not a file;"):
        with_backbone(typo)
    assert with_backbone([*typo, "--help"]) == [*typo, "--help"]


@pytest.fixture
def begun(here, tiny):
    """The checkpoint of a run that trained for an epoch."""
    main(tiny("fit", "RepresentationModule", "--trainer.max_epochs=1", "--trainer.default_root_dir=begun"))
    (saved,) = here.rglob("last.ckpt")
    return saved


def test_an_edited_configuration_is_said_when_training_goes_on(begun, tiny):
    options = ["--trainer.max_epochs=2", f"--ckpt_path={begun}"]
    edited = ["--data.flip=true", "--seed_everything=1", "--trainer.gradient_clip_val=0.5", "--data.num_workers=0"]
    edited += ["--trainer.callbacks=DRW", "--trainer.callbacks.start=0.6", "--trainer.callbacks+=LearningRateMonitor"]
    with pytest.warns(UserWarning, match="was made with other settings than are given") as found:
        main(tiny("fit", "RepresentationModule", *options, *edited))
    (said,) = (str(one.message) for one in found if "other settings" in str(one.message))
    assert said.endswith(
        "as they were left there: `seed_everything` 1 (there 0), `trainer.gradient_clip_val` 0.5 (there None), "
        "`trainer.callbacks` DRW(start=0.6, beta=0.9999) (there none), `data.flip` True (there False)."
    )


def test_every_callback_that_is_recorded_as_changing_what_is_learnt_is_compared():
    classes = [*vars(callbacks).values(), *vars(lightning.pytorch.callbacks).values()]
    found = {one.__name__ for one in classes if isinstance(one, type) and issubclass(one, SCHEDULES)}
    assert found - {"DeferredCallback", "BaseFinetuning"} == set(resuming._SCHEDULES)


@pytest.mark.parametrize("lacking", [False, True])
def test_nothing_is_said_where_nothing_was_edited_or_nobody_knows(begun, tiny, lacking, recwarn):
    config = begun.parent.parent / "config.yaml"
    config.write_text("trainer: 1\n") if lacking else None
    options = ["--trainer.max_epochs=2", f"--ckpt_path={begun}", "--trainer.devices=1", "--data.eval_batch_size=32"]
    main(tiny("fit", "RepresentationModule", *options, *(["--data.flip=true"] if lacking else [])))
    assert not any("other settings than are given" in str(warning.message) for warning in recwarn)


def test_an_image_folders_run_goes_on_as_it_was(here, tiny, folder_root, recwarn):
    """What its configuration left to the data is left to them again, and nothing is said of it."""
    words = tiny("fit", "RepresentationModule", "--data.image_size=16", f"--data.root={folder_root}")
    options = ["--data=ImageFolderLT" if word == "--data=DigitsLT" else word for word in words]
    options += ["--data.num_workers=0", "--model.backbone.in_channels=3"]
    main([*options, "--trainer.max_epochs=1", "--trainer.default_root_dir=begun"])
    (saved,) = here.rglob("last.ckpt")
    shorter = [word for word in options if not word.startswith("--data.image_size")]
    for number, words in enumerate((options, shorter)):
        main([*words, "--trainer.max_epochs=2", f"--ckpt_path={saved}", f"--trainer.default_root_dir={number}"])
        (path,) = (here / str(number)).rglob("config.yaml")
        assert prepared(path)[:2] == (16, None)
    assert not any("other settings than are given" in str(warning.message) for warning in recwarn)


def test_a_models_argument_that_is_called_as_one_of_the_data_counts(here, tiny):
    words = [*tiny("fit", "RepresentationModule"), f"--model.backbone={__name__}.Rooted"]
    main([*words, "--trainer.max_epochs=1", "--trainer.default_root_dir=begun"])
    (saved,) = here.rglob("last.ckpt")
    with pytest.warns(UserWarning, match=r"`model.backbone.root` 2 \(there 1\)"):
        main([*words, "--model.backbone.root=2", "--trainer.max_epochs=2", f"--ckpt_path={saved}"])
