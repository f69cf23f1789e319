"""Methods by name, preset, file and import path."""

import pytest

from lt_lightning.comparing.methods import built_in_methods, find_methods
from lt_lightning.comparing.settings import SettingsParser, as_text
from lt_lightning.errors import UsageError

PARSER = SettingsParser()
COUNTS = [30, 12, 5]


def find(wanted, counts=COUNTS):
    return find_methods(wanted, counts, PARSER)


def test_all_of_them():
    found = {method.name: method for method in find("all")}
    assert list(found) == built_in_methods()
    assert {"linear", "cosine", "crt", "lws", "tau_norm", "ncm", "ltwb", "disalign", "lort"} <= set(found)
    assert {name for name, method in found.items() if not method.trains} == {"tau_norm", "ncm", "logit_adjustment"}
    assert found["crt"].plain["sampler"] == "ClassBalancedSampler"
    assert (found["lort"].plain["epochs"], found["crt"].plain["epochs"]) == (20, 10)


def test_lort_has_another_delta_above_a_hundred_classes():
    assert find("lort", [2] * 100)[0].plain["loss"]["init_args"]["delta"] == 0.98
    assert find("lort", [2] * 101)[0].plain["loss"]["init_args"]["delta"] == 0.99


def test_presets_files_and_classes(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("loss: {class_path: FocalLoss, init_args: {gamma: 1.0}}\nepochs: 3\n")
    found = find(["imagenet_lt/lort", str(path), "lt_lightning.heads.CosineHead", "lt_lightning.losses.FocalLoss"])
    assert [method.name for method in found] == ["imagenet_lt/lort", "mine", "CosineHead", "FocalLoss"]
    assert found[0].plain["batch_size"] == 128
    assert (found[1].plain["epochs"], found[1].plain["head"]) == (3, "LinearHead")
    assert found[2].plain["head"] == {"class_path": "lt_lightning.heads.CosineHead"}
    assert as_text(found[0].plain) == as_text(dict(reversed(found[0].plain.items())))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("lrot", "`methods` names 'lrot', .*did you mean lort"),
        ("zzzzzz", "choose from balanced_softmax"),
        (" , ", "`methods` names none"),
        ("lort,lort", "`methods` names 'lort' twice"),
        ("nowhere.Loss", "`methods` names 'nowhere.Loss', which cannot be imported"),
        ("torch.nn.Linear", "neither a `Head` nor a `Loss`"),
        ("cifar100_lt/stage1/ce", "is a configuration of RepresentationModule"),
        ("quickstart", "is a configuration of no model|`methods` quickstart"),
    ],
)
def test_mistakes(wanted, message):
    with pytest.raises(UsageError, match=message):
        find(wanted)


@pytest.mark.parametrize(
    ("wanted", "called", "other"),
    [
        ("stage1.yaml", "stage1", "the row 'stage 1' of every comparison"),
        ("my head.yaml,myhead.yaml", "myhead", "'my head.yaml'"),
        ("imagenet_lt/lort,imagenet_lt_lort.yaml", "imagenet_lt_lort", "'imagenet_lt/lort'"),
        ("a/config.yaml,b/config.yaml", "config", "'a/config.yaml'"),
        ("lort,lort.yaml", "lort", "'lort'"),
        ("twins_a.Twin,twins_b.Twin", "Twin", "'twins_a.Twin'"),
    ],
)
def test_two_rows_of_one_name_in_files_are_refused(here, monkeypatch, wanted, called, other):
    monkeypatch.syspath_prepend(here)
    for module in ("twins_a", "twins_b"):
        (here / f"{module}.py").write_text(
            "from lt_lightning.heads import CosineHead\n\nclass Twin(CosineHead):\n    pass\n"
        )
    *_, last = names = wanted.split(",")
    for path in names:
        if path.endswith(".yaml"):
            (here / path).parent.mkdir(exist_ok=True)
            (here / path).write_text("head: TauNormHead\n")
    sentence = f"`methods` names '{last}', which would be called '{called}' in files, as {other} is; put it into a YAML"
    with pytest.raises(UsageError, match=f"^{sentence}"):
        find(wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "holds no settings"),
        ("epochs: 0", "`epochs` must be at least 1"),
        ("los: LORTLoss", "`methods` mine: .*los"),
        ("{loss: BalancedSoftmaxLoss, sampler: ClassBalancedSampler}", "would both correct for class imbalance"),
    ],
)
def test_files_with_mistakes(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        find(str(path))


def test_short_forms_of_fit(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{model: RetrainModule, data: CIFAR100LT, trainer: {max_epochs: 3}}")
    assert find(str(path))[0].plain["epochs"] == 3


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("stack: [cifar100_lt/linear, shared/losses/ldam_drw]", "callbacks"),
        ("{stack: cifar100_lt/linear, trainer: {callbacks: [DRW]}}", "callbacks"),
        ("{stack: cifar100_lt/linear, trainer: {gradient_clip_val: 1}}", "gradient_clip_val"),
        ("{stack: cifar100_lt/linear, trainer: {accumulate_grad_batches: 2}}", "accumulate_grad_batches"),
    ],
)
def test_what_only_a_trainer_does_is_refused(tmp_path, text, key):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"`methods` .*mine.yaml sets `trainer.{key}`, which `compare` cannot do"):
        find(str(path))
    path.write_text("{stack: cifar100_lt/linear, trainer: {accumulate_grad_batches: 1, callbacks: null}}")
    assert find(str(path))[0].plain == find("linear")[0].plain


def test_a_head_that_trains_needs_a_number_of_epochs(tmp_path):
    """As in the configuration of a run that other options have ended; where nothing trains, it is in all of them."""
    path = tmp_path / "mine.yaml"
    path.write_text("{stack: cifar100_lt/linear, trainer: {max_epochs: null, max_steps: 100}}")
    sentence = (
        "`methods` .*mine.yaml sets `trainer.max_epochs` to null, but `compare` trains heads for a number of epochs"
    )
    with pytest.raises(UsageError, match=f"^{sentence}; give it one, or train with `lt-lightning fit`"):
        find(str(path))
    path.write_text("{stack: cifar100_lt/tau_norm, trainer: {max_epochs: null}}")
    assert not find(str(path))[0].trains


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "{stack: shared/methods/lort, model: {init_args: {lr_scheduler: null}}}",
            "mine: `lr_scheduler` is null, which",
        ),
        (
            "{stack: shared/methods/lort, model: {init_args: {loss: {init_args: {gap: 1, delta: null}}}}}",
            "mine: `loss.delta` is",
        ),
        (
            "{stack: cifar100_lt/crt, data: {init_args: {sampler: null}}}",
            "mine: `sampler` is null, which it cannot be;",
        ),
        ("epochs: null", "mine: `epochs` is null, which it cannot be; give a value, or leave it out"),
        ("optimizer: null", "mine: `optimizer` is null"),
        (
            "{stack: shared/methods/lort, model: {lr_scheduler: null}}",
            ".*mine.yaml has `model.lr_scheduler` beside `init_args`, where nothing reads it; put it below `init_args`",
        ),
        (
            "{model: RetrainModule, data: {class_path: CIFAR100LT, batch_size: 3}}",
            ".*mine.yaml has `data.batch_size` beside `init_args`",
        ),
    ],
)
def test_what_would_silently_be_something_else_is_refused(tmp_path, text, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=f"^`methods` {sentence}"):
        find(str(path))


def test_data_whose_class_others_name_have_their_arguments_at_once(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("{model: RetrainModule, data: {batch_size: 3}}")
    assert find(str(path))[0].plain["batch_size"] == 3


def test_a_class_of_ones_own_with_an_argument_that_has_no_default(tmp_path, monkeypatch):
    (tmp_path / "my_centres.py").write_text(
        "from lt_lightning.heads import LinearHead\n"
        "from lt_lightning.losses import CrossEntropyLoss\n\n"
        "class Centres(CrossEntropyLoss):\n"
        "    def __init__(self, class_counts: list[int], num_features: int, share: float = 0.1) -> None:\n"
        "        super().__init__(class_counts)\n\n"
        "class Free(LinearHead):\n"
        "    def __init__(self, in_features: int, class_counts: list[int], share: float = 0.1, **options) -> None:\n"
        "        super().__init__(in_features, class_counts, **options)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (free,) = find("my_centres.Free")
    assert (free.name, free.given) == ("Free", "my_centres.Free")
    told = (
        r"which has no default for 'num_features'; give a YAML file with `loss: {class_path: my_centres.Centres, init_"
    )
    with pytest.raises(UsageError, match=told):
        find("my_centres.Centres")
