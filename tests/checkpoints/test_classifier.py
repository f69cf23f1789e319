"""Classifiers in files, as they act."""

from pathlib import Path

import pytest
import torch

from lt_lightning import checkpoints, heads
from lt_lightning.checkpoints.classifier import Classifier
from lt_lightning.checkpoints.leftovers import unexpected
from lt_lightning.errors import UsageError

COUNTS = [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]


@pytest.fixture
def ours(backbone, in_memory):
    """A checkpoint of ours with some head, and that head."""

    def make(name, **arguments):
        torch.manual_seed(0)
        head = getattr(heads, name)(8, COUNTS, **arguments)
        with torch.no_grad():
            for tensor in head.state_dict().values():
                tensor.add_(0.1 * torch.rand_like(tensor))
        tensors = {f"backbone.{key}": value for key, value in backbone.state_dict().items()}
        tensors |= {f"head.{key}": value for key, value in head.state_dict().items()}
        record = {"class_path": f"lt_lightning.heads.{name}", "init_args": arguments}
        return in_memory(tensors, class_counts=COUNTS, head=record), head

    return make


def find(source, backbone):
    found = checkpoints.match(source, backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, source.path)
    assert unexpected(found, classifier) == []
    return classifier


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("LinearHead", {"reset": True}),
        ("LWSHead", {}),
        ("TauNormHead", {"tau": 0.7}),
        ("LogitAdjustmentHead", {"tau": 1.5}),
        ("MaxNormHead", {"radius": 2.0}),
        ("NCMHead", {"metric": "euclidean"}),
    ],
)
def test_our_heads_are_handed_over_as_they_predict(ours, backbone, name, arguments):
    source, head = ours(name, **arguments)
    if name == "NCMHead":
        source.tensors["head.means"].copy_(torch.randn(10, 8))
    before = torch.random.get_rng_state()
    classifier = find(source, backbone)
    assert torch.equal(torch.random.get_rng_state(), before)
    features = torch.randn(4, 8)
    logits = features @ classifier.weight.T + (0 if classifier.bias is None else classifier.bias)
    torch.testing.assert_close(logits, head.predict(features))
    assert classifier.note == ("" if name == "LinearHead" else f"{name} in its linear form")
    assert not classifier.weight.requires_grad


@pytest.mark.parametrize("arguments", [{"scale": 4.0}, {"learnable_scale": True}], ids=["fixed", "learnable"])
def test_a_cosine_head_hands_over_rows_that_choose_its_classes(ours, backbone, arguments):
    source, head = ours("CosineHead", **arguments)
    with torch.no_grad():
        head.weight.mul_(torch.linspace(0.1, 3, 10).unsqueeze(1))
        source.tensors["head.weight"].copy_(head.weight)
    classifier = find(source, backbone)
    features = torch.randn(50, 8)
    assert torch.equal((features @ classifier.weight.T).argmax(1), head(features).argmax(1))
    assert not torch.equal((features @ head.weight.T).argmax(1), head(features).argmax(1))
    torch.testing.assert_close(classifier.weight.norm(dim=1), head.weight.norm(dim=1).mean().expand(10))
    assert (classifier.bias, classifier.is_linear) == (None, False)
    assert classifier.note.startswith("CosineHead, whose rows at equal lengths choose the same classes")


def test_a_head_without_a_linear_form_hands_over_its_weight_and_says_so(ours, backbone):
    source, head = ours("DisAlignHead")
    classifier = find(source, backbone)
    assert torch.equal(classifier.weight, head.weight)
    assert torch.equal(classifier.bias, head.bias)
    assert classifier.note == "DisAlignHead has no linear form, so its weight and bias alone are handed over"


@pytest.mark.parametrize("record", [None, {"class_path": "os.system", "init_args": {"command": "true"}}])
def test_factors_are_multiplied_in_without_a_record_as_well(ours, backbone, record):
    source, head = ours("LWSHead")
    object.__setattr__(source, "head", record)
    classifier = find(source, backbone)
    features = torch.randn(4, 8)
    torch.testing.assert_close(features @ classifier.weight.T + classifier.bias, head(features))
    assert classifier.note.startswith("factors 'head.scales' multiplied in")
    assert classifier.keys == ("head.weight", "head.bias", "head.scales")


@pytest.mark.parametrize(
    "change",
    [
        {"class_path": "lt_lightning.heads.Head"},
        {"class_path": "lt_lightning.heads.GoneHead"},
        {"class_path": "lt_lightning.heads.base.UsageError"},
        {"class_path": "lt_lightning.heads.LinearHead", "init_args": {"gone": 1}},
        {"class_path": "lt_lightning.heads.NCMHead"},
    ],
)
def test_a_record_that_says_nothing_usable_is_passed_over(ours, backbone, change):
    source, head = ours("LinearHead")
    object.__setattr__(source, "head", change)
    classifier = find(source, backbone)
    assert torch.equal(classifier.weight, head.weight)
    assert classifier.note == ""


def test_a_head_of_ones_own_is_read_as_a_linear_layer_that_it_need_not_be(ours, backbone):
    source, head = ours("LinearHead")
    object.__setattr__(source, "head", {"class_path": "mine.NormHead", "init_args": {}})
    classifier = find(source, backbone)
    assert torch.equal(classifier.weight, head.weight)
    assert (
        classifier.note == "read as a linear layer, though its head, NormHead, may make something else of its weights"
    )
    assert classifier.is_linear is None


@pytest.fixture
def own(backbone, in_memory):
    """A checkpoint of ours with a head of somebody's own."""

    def make(**tensors):
        held = {f"backbone.{key}": value for key, value in backbone.state_dict().items()} | tensors
        return in_memory(held, class_counts=COUNTS, head={"class_path": "mine.Own", "init_args": {}})

    return make


@pytest.mark.parametrize(
    ("held", "shown"),
    [
        ({"etf": (10, 8), "project.weight": (8, 8), "project.bias": (8,)}, "'head.etf' .10, 8., 'head.project.weight'"),
        ({"neck.weight": (4, 8), "fc.weight": (10, 4)}, "'head.neck.weight' .4, 8., 'head.fc.weight' .10, 4."),
        ({"etf": (10, 8)}, "'head.etf' .10, 8."),
        ({"experts.0.weight": (10, 8), "experts.1.weight": (10, 8)}, "'head.experts.0.weight' .10, 8., .*1.weight'"),
    ],
)
def test_a_head_of_ones_own_without_one_linear_layer_is_refused_by_its_name(own, backbone, held, shown):
    source = own(**{f"head.{key}": torch.randn(shape) for key, shape in held.items()})
    sentence = (
        rf"'some.pth' has a head of somebody's own, Own, that holds {shown}.*, where stage 2 needs exactly one "
        r"`weight` of 10 rows of 8 features; have `lt-lightning probe --checkpoint` train"
    )
    with pytest.raises(UsageError, match=sentence):
        find(source, backbone)


def test_it_is_not_blamed_for_other_classes_nor_for_a_second_classifier_beside_it(own, backbone):
    source = own(**{"head.weight": torch.randn(7, 8)})
    object.__setattr__(source, "class_counts", COUNTS[:7])
    with pytest.raises(UsageError, match=r"has a classifier 'head\.weight' of 7 classes, but the data have 10; give"):
        find(source, backbone)
    source = own(**{"head.weight": torch.randn(10, 8), "other.weight": torch.randn(10, 8)})
    with pytest.raises(UsageError, match="has a second classifier 'other' beside 'head'"):
        find(source, backbone)


def test_what_was_done_to_its_weights_hides_no_doubt_about_it(own, backbone):
    """Whether it is a cosine classifier only its code says: it may keep a plain weight as (features, classes)."""
    doubt = "read as a linear layer, though its head, Own, may make something else of its weights"
    turned = find(own(**{"head.weight": torch.randn(8, 10)}), backbone)
    assert turned.note.startswith("taken for a cosine classifier's (features × classes), whose rows at equal lengths")
    assert turned.note.endswith(f", {doubt}")
    assert turned.is_linear is None
    scaled = find(own(**{"head.weight": torch.randn(10, 8), "head.scales": torch.ones(10)}), backbone)
    assert scaled.note == f"factors 'head.scales' multiplied in, {doubt}"


def test_a_head_without_weights_leaves_no_classifier(ours, backbone):
    source, _ = ours("NCMHead", metric="cosine")
    with pytest.raises(UsageError, match="must hold one linear classifier with 10 rows of 8 features, but has 0"):
        find(source, backbone)


def test_a_backbone_alone_is_not_enough(backbone, in_memory):
    with pytest.raises(
        UsageError, match="but has 0: nothing is left over beside the backbone; give the file of the wh"
    ):
        find(in_memory(dict(backbone.state_dict())), backbone)


def test_disaligns_factors_are_not_multiplied_in(ours, backbone):
    source, head = ours("DisAlignHead")
    object.__setattr__(source, "head", None)
    classifier = find(source, backbone)
    assert torch.equal(classifier.weight, head.weight)


def test_split_files_of_others_with_factors(tmp_path, backbone):
    weight, bias, factors = torch.randn(10, 8), torch.randn(10), torch.rand(10) + 0.5
    features = {f"module.{key}": value for key, value in backbone.state_dict().items()}
    linear = {"module.fc.weight": weight, "module.fc.bias": bias}
    mislas = {
        "state_dict_model": features,
        "state_dict_classifier": linear,
        "state_dict_lws_model": {"module.learned_norm": factors[None]},
        "best_acc1": torch.tensor(40.0),
    }
    balancing = {"state_dict_best": {"feat_model": features, "classifier": linear | {"module.scales": factors}}}
    for contents in (mislas, balancing):
        torch.save(contents, tmp_path / "x.pth")
        classifier = find(checkpoints.read(tmp_path / "x.pth"), backbone)
        torch.testing.assert_close(classifier.weight, weight * factors[:, None])
        torch.testing.assert_close(classifier.bias, bias * factors)
        assert classifier.name.endswith("classifier.module.fc")


def test_ldams_transposed_weight_is_turned_round(backbone, in_memory):
    weight = torch.randn(8, 10)
    source = in_memory({**backbone.state_dict(), "linear.weight": weight})
    classifier = find(source, backbone)
    features = torch.randn(50, 8)
    cosines = torch.nn.functional.normalize(weight, dim=0)
    assert torch.equal((features @ classifier.weight.T).argmax(1), (features @ cosines).argmax(1))
    assert classifier.weight.shape == (10, 8)
    assert (classifier.name, classifier.bias) == ("linear", None)
    assert classifier.note.startswith("a cosine classifier's (features × classes), whose rows at equal lengths")


def test_another_number_of_classes_is_refused(backbone, network, in_memory):
    found = checkpoints.match(in_memory(network(backbone, classes=7)), backbone)
    with pytest.raises(
        UsageError, match=r"'x' has a classifier 'fc.weight' of 7 classes, but the data have 10; give the"
    ):
        checkpoints.find_classifier(found, 8, 10, Path("x"))


def test_a_file_without_a_classifier_is_refused(backbone, in_memory):
    found = checkpoints.match(in_memory({**backbone.state_dict(), "scale": torch.ones(1)}), backbone)
    sentence = "must hold one linear classifier with 10 rows of 8 features, but has 0: left over .*'scale'"
    with pytest.raises(UsageError, match=sentence):
        checkpoints.find_classifier(found, 8, 10, Path("x"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a", "b"),
        ("fc", "head"),
        ("head", "head_dist"),  # timm's distilled DeiT, EfficientFormer
        ("head.linear", "head_dist.linear"),  # its LeViT
        ("head.l", "head_dist.l"),  # as the authors name them
        ("fc", "second"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_second_classifier_is_refused(backbone, network, in_memory, prefix, first, second):
    """The network may add its logits to those of the first: its figures are not those of one of them."""
    tensors = network(backbone, prefix=prefix, classifier=f"{prefix}{first}.")
    tensors |= network(backbone, prefix=prefix, classifier=f"{prefix}{second}.")
    found = checkpoints.match(in_memory(tensors), backbone)
    sentence = (
        rf"'x' has a second classifier '{prefix}{second}' beside '{prefix}{first}', and networks that "
        r"average both \(DeiT distilled.* delete it from the file if .* `lt-lightning probe` train one"
    )
    with pytest.raises(UsageError, match=sentence):
        checkpoints.find_classifier(found, 8, 10, Path("x"))


@pytest.mark.parametrize("second", ["centers", "aux.out"])
def test_centres_of_a_loss_and_what_stands_elsewhere_are_no_second_classifier(backbone, network, in_memory, second):
    tensors = network(backbone, prefix="net.") | {f"{second}.weight": torch.ones(10, 8)}
    if second == "aux.out":
        tensors["aux.out.bias"] = torch.ones(10)
    assert find(in_memory(tensors), backbone).name == "fc"


@pytest.mark.parametrize("second", ["fc_ema", "teacher_fc", "swa_fc", "fc_averaged"])
@pytest.mark.parametrize("has_bias", [True, False])
def test_averages_and_teachers_are_no_second_classifier(backbone, network, in_memory, second, has_bias):
    tensors = network(backbone, prefix="net.") | {f"{second}.weight": torch.ones(10, 8)}
    if has_bias:
        tensors[f"{second}.bias"] = torch.ones(10)
    else:
        del tensors["fc.bias"]
    assert find(in_memory(tensors), backbone).name == "fc"


@pytest.mark.parametrize("second", ["centers", "center_loss", "criterion", "prototypes"])
def test_what_a_loss_keeps_is_no_second_classifier_beside_one_without_a_bias(backbone, network, in_memory, second):
    tensors = network(backbone, prefix="net.") | {f"{second}.weight": torch.ones(10, 8)}
    del tensors["fc.bias"]
    assert find(in_memory(tensors), backbone).name == "fc"


def test_the_same_weights_again_are_no_second_classifier(backbone, network, in_memory):
    tensors = network(backbone, prefix="net.")
    tensors |= {f"second.{part}": tensors[f"fc.{part}"].clone() for part in ("weight", "bias")}
    assert find(in_memory(tensors), backbone).name == "fc"
    tensors |= {key: tensors[key].to("meta") for key in ("fc.weight", "second.weight")}  # which has no values
    assert find(in_memory(tensors), backbone).name == "fc"


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (("net.fc", "other.fc"), "net.fc"),  # the nearest to the backbone
        (("net.queue", "net.head.fc"), "net.head.fc"),  # the one with a classifier's name
    ],
)
def test_of_several_the_likeliest_is_taken(backbone, network, in_memory, names, chosen):
    tensors = {f"net.{key}": value for key, value in backbone.state_dict().items()}
    tensors |= {f"{name}.weight": torch.randn(10, 8) for name in names}
    found = checkpoints.match(in_memory(tensors), backbone)
    assert checkpoints.find_classifier(found, 8, 10, Path("x")).name == chosen


def test_another_task_beside_it_is_not_unexpected(backbone, in_memory):
    tensors = {f"net.{key}": value for key, value in backbone.state_dict().items()}
    tensors |= {"heads.0.weight": torch.ones(4, 8), "heads.1.weight": torch.ones(10, 8)}
    assert find(in_memory(tensors), backbone).name == "heads.1"


@pytest.mark.parametrize("more", ["sigma", "lora_A", "prior"])
def test_what_a_linear_layer_has_not_is_noted(more, backbone, network, in_memory):
    classifier = find(in_memory(network(backbone) | {f"fc.{more}": torch.ones(3)}), backbone)
    assert classifier.is_linear is None
    assert classifier.note.startswith(
        f"read as a linear layer, though 'fc.{more}' beside its weight may make something"
    )


@pytest.mark.parametrize(
    ("prefix", "more"), [("", "logit_bias"), ("net.", "net.logit_bias"), ("net.", "net.logit_scale")]
)
def test_what_may_act_on_its_logits_is_noted(prefix, more, backbone, network, in_memory):
    tensors = network(backbone, prefix=f"{prefix}backbone.", classifier=f"{prefix}head.")
    classifier = find(in_memory(tensors | {more: torch.ones(() if more.endswith("scale") else 10)}), backbone)
    assert classifier.is_linear is None
    assert classifier.note.startswith(f"read as a linear layer, though {more!r} beside its weight may make something")


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("class_weights", torch.ones(10)),  # of a loss
        ("per_cls_weights", torch.ones(10)),
        ("cls_num_list", torch.ones(10)),
        ("best_acc1", torch.tensor(40.0)),
        ("ema_decay", torch.tensor(0.9)),
        ("pixel_mean", torch.ones(1, 1, 1)),  # of images
        ("num_batches", torch.tensor(3.0)),
        ("margins", torch.ones(10)),
        ("p_model", torch.ones(10)),
        ("ema_beta", torch.tensor(0.9)),
        ("drop_prob", torch.tensor(0.1)),
        ("teacher_temperature", torch.tensor(0.04)),
        ("dummy_param", torch.tensor(0.0)),
        ("n_averaged", torch.tensor(3)),
        ("permutation", torch.arange(10)),
        ("other.logit_bias", torch.ones(10)),  # in another part
        ("token", torch.ones(8)),  # neither one for each class nor one for all
    ],
)
def test_what_training_leaves_beside_it_is_no_reason(name, tensor, backbone, network, in_memory):
    tensors = network(backbone, prefix="backbone.", classifier="head.") | {name: tensor}
    assert find(in_memory(tensors), backbone).is_linear


def test_a_single_logit_for_two_classes_is_refused(backbone, network, in_memory):
    found = checkpoints.match(in_memory(network(backbone, classes=1)), backbone)
    sentence = (
        "has a classifier 'fc.weight' with a single logit for two classes; save its weight and bias with two rows"
    )
    with pytest.raises(UsageError, match=sentence):
        checkpoints.find_classifier(found, 8, 2, Path("x"))


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_weights_of_training_that_diverged_are_refused(part, backbone, network, in_memory):
    tensors = network(backbone)
    tensors[f"fc.{part}"][0] = float("nan")
    with pytest.raises(UsageError, match="has a classifier 'fc' with weights that are infinite or no numbers"):
        find(in_memory(tensors), backbone)


@pytest.mark.parametrize("bias", [None, torch.arange(3.0)])
def test_rows_follow_the_order_of_the_data(bias):
    classifier = Classifier("fc", torch.arange(6.0).view(3, 2), bias, note="so")
    assert classifier.in_order(None) is classifier
    turned = classifier.in_order([2, 0, 1])
    assert turned.weight.tolist() == [[4, 5], [0, 1], [2, 3]]
    assert turned.bias is None if bias is None else turned.bias.tolist() == [2, 0, 1]
    assert turned.note == "so, rows put in the data's class order"
