"""Options in which runs differ."""

from lt_lightning.report.options import as_typed, differing, flat, in_a_name


def sgd(**init_args):
    return {"class_path": "torch.optim.SGD", "init_args": init_args}


def adamw(**init_args):
    return {"class_path": "torch.optim.AdamW", "init_args": init_args}


def test_options_have_the_names_that_are_typed():
    callbacks = [
        {"class_path": "lt_lightning.callbacks.DRW", "init_args": {"start": 160}},
        {"class_path": "EarlyStopping"},
    ]
    config = {"model": {"optimizer": sgd(lr=1e-3, nesterov=None)}, "callbacks": callbacks, "sizes": [8, 30]}
    assert flat(config) == {
        "model.optimizer": "SGD",
        "model.optimizer.lr": "0.001",
        "model.optimizer.nesterov": "null",
        "callbacks": "DRW + EarlyStopping",
        "callbacks.DRW.start": "160",
        "sizes": "[8, 30]",
    }


def test_what_differs_is_found():
    runs = [flat({"epochs": 3, "optimizer": sgd(lr=lr, momentum=0.9)}) for lr in (0.1, 0.2)]
    assert differing(runs) == [{"optimizer.lr": "0.1"}, {"optimizer.lr": "0.2"}]
    assert as_typed(differing(runs)[0]) == "optimizer.lr=0.1"
    assert in_a_name(differing(runs)[0]) == "lr 0.1"


def test_of_other_classes_the_arguments_of_one_alone_say_nothing():
    runs = [flat({"optimizer": part}) for part in (sgd(lr=0.1, momentum=0.9), adamw(lr=0.01, amsgrad=False))]
    assert [in_a_name(options) for options in differing(runs)] == [
        "optimizer SGD and lr 0.1",
        "optimizer AdamW and lr 0.01",
    ]
    without = flat({"callbacks": None})
    runs = [without, *(flat({"callbacks": [{"class_path": "DRW", "init_args": {"start": start}}]}) for start in (1, 2))]
    assert [in_a_name(options) for options in differing(runs)] == [
        "callbacks null",
        "callbacks DRW and start 1",
        "callbacks DRW and start 2",
    ]


def test_a_name_has_room_for_few():
    assert in_a_name({}) is None
    assert in_a_name(dict.fromkeys("abcd", "1")) is None
    assert in_a_name({"root": "x" * 80}) is None
    assert in_a_name({"sizes": "[8, 30]"}) is None  # by commas names are told apart
    assert in_a_name({"stage1.lr": "0.1", "stage2.lr": "0.2"}) == "stage1.lr 0.1 and stage2.lr 0.2"


def test_a_stages_option_keeps_its_stage_and_two_of_a_kind_are_told_apart():
    assert in_a_name({"stage2.lort.model.optimizer.lr": "0.5"}) == "stage2.lort.model.optimizer.lr 0.5"
    runs = [
        flat({"callbacks": [{"class_path": "Saver", "init_args": {"by": by}} for by in figures]})
        for figures in (("loss", "all"), ("loss", "few"))
    ]
    assert differing(runs) == [{"callbacks.Saver2.by": "all"}, {"callbacks.Saver2.by": "few"}]
