"""What files hold, ours and others'."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lt_lightning import checkpoints
from lt_lightning.backbones import SmallCNN
from lt_lightning.checkpoints.leftovers import unexpected
from lt_lightning.errors import UsageError


@pytest.mark.parametrize("envelope", [None, "state_dict", "model", "model_state_dict", "net", "state_dict_ema"])
def test_state_dicts_are_found_under_the_usual_names(tmp_path, backbone, network, envelope):
    tensors = network(backbone)
    contents = tensors if envelope is None else {"epoch": 3, "best": torch.ones(1), envelope: tensors}
    if envelope == "state_dict_ema":  # with a plain tensor beside it the file would be a bare state dict
        del contents["best"]
    torch.save(contents, tmp_path / "x.pth")
    source = checkpoints.read(str(tmp_path / "x.pth"))
    assert list(source.tensors) == list(tensors)
    assert all(torch.equal(source.tensors[key], tensors[key]) for key in tensors)
    assert source.form == "PyTorch state dict" + (f" under {envelope!r}" if envelope else "")
    assert (source.class_counts, source.split, source.class_names, source.head) == (None, {}, None, None)
    outer = (envelope,) if envelope else ()
    assert source.places == {key: (*outer, key) for key in tensors}


def test_what_is_no_network_is_left_out(tmp_path):
    moments = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    contents = {"weight": torch.ones(2), "epoch": 3, "history": [1.0], "optimizer": moments}
    torch.save(contents, tmp_path / "x.pth")
    assert list(checkpoints.read(tmp_path / "x.pth").tensors) == ["weight"]


def test_the_network_goes_before_its_average(tmp_path, backbone, network):
    tensors, average = network(backbone), network(SmallCNN(8))
    for average_name, name, prefix in (("ema", "model", ""), ("state_dict_ema", "mine", "mine.")):
        torch.save({average_name: average, name: tensors}, tmp_path / "x.pth")
        source = checkpoints.read(tmp_path / "x.pth")
        assert list(source.tensors) == [prefix + key for key in tensors]
        assert all(torch.equal(source.tensors[prefix + key], value) for key, value in tensors.items())


def test_nested_and_split_files_become_one_state_dict(tmp_path):
    conv, fc, scales = torch.randn(2, 2), torch.randn(3, 2), torch.ones(3)
    balancing = {"state_dict_best": {"feat_model": {"module.conv": conv}, "classifier": {"module.fc.weight": fc}}}
    torch.save({**balancing, "centroids": {"x": conv}, "best_acc": 0.5}, tmp_path / "balancing.pth")
    source = checkpoints.read(tmp_path / "balancing.pth")
    assert list(source.tensors) == ["feat_model.module.conv", "classifier.module.fc.weight"]
    assert source.form == "PyTorch state dict under 'state_dict_best'"
    assert source.places["classifier.module.fc.weight"] == ("state_dict_best", "classifier", "module.fc.weight")

    mislas = {
        "state_dict_model": {"module.conv": conv},
        "state_dict_classifier": {"module.fc.weight": fc},
        "state_dict_lws_model": {"module.learned_norm": scales},
        "optimizer": {"state": {0: {"momentum_buffer": conv}}},
    }
    torch.save(mislas, tmp_path / "mislas.pth")
    names = list(checkpoints.read(tmp_path / "mislas.pth").tensors)
    assert names == [
        "state_dict_model.module.conv",
        "state_dict_classifier.module.fc.weight",
        "state_dict_lws_model.module.learned_norm",
    ]

    torch.save({"model": {"conv": conv}, "classifier": {"weight": fc}, "ema": {"conv": conv}}, tmp_path / "x.pth")
    assert list(checkpoints.read(tmp_path / "x.pth").tensors) == ["model.conv", "classifier.weight"]


def test_of_a_network_and_its_compiled_twin_one_is_taken(tmp_path):
    torch.save({"fc.weight": torch.ones(2), "_orig_mod.fc.weight": torch.zeros(2)}, tmp_path / "x.pth")
    source = checkpoints.read(tmp_path / "x.pth")
    assert source.tensors["fc.weight"].sum() == 2
    assert source.places == {"fc.weight": ("fc.weight",)}


def test_files_from_before_pytorch_1_6_are_read(tmp_path, backbone, network):
    torch.save(network(backbone), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert len(checkpoints.read(tmp_path / "old.pth").tensors) == 20


def test_our_checkpoints_say_what_they_were_trained_on(stage1, backbone):
    source = checkpoints.read(stage1)
    assert source.form == "Lightning checkpoint"
    assert source.class_counts == [100, 64, 41, 27, 17, 11, 7, 4, 3, 2]
    assert len(source.split["hashes"]["train"]) == 64
    assert source.head["class_path"] == "lt_lightning.heads.LinearHead"
    found = checkpoints.match(source, backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, source.path)
    assert (found.prefix, len(found.tensors), classifier.name) == ("backbone.", found.total, "head")
    assert unexpected(found, classifier) == []


@pytest.mark.parametrize(
    "where",
    [
        lambda names: {"class_names": names},
        lambda names: {"hyper_parameters": {"class_names": tuple(names), "lr": 0.1}},
        lambda names: {"lt_lightning": {"class_names": names}},
        lambda names: {"class_names": names, "classes": ["a cat", "a dog"]},
    ],
)
def test_class_names_are_read(tmp_path, where):
    torch.save({"state_dict": {"weight": torch.ones(2)}, **where(["cat", "dog"])}, tmp_path / "x.pth")
    assert checkpoints.read(tmp_path / "x.pth").class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ({"classes": ["cat", "dog"]}, {"classes": ["cat", "dog"]}),
        ({"class_to_idx": {"dog": 1, "cat": 0}}, {"class_to_idx": ["cat", "dog"]}),
        ({"class_to_idx": {"cat": 1, "dog": 2}, "classes": ("cat", "dog")}, {"classes": ["cat", "dog"]}),
        (
            {"class_to_idx": {"n2": 1, "n1": 0}, "classes": ("cat", "dog")},
            {"class_to_idx": ["n1", "n2"], "classes": ["cat", "dog"]},
        ),
    ],
)
def test_names_that_scripts_store_are_read_apart(tmp_path, entries, found):
    torch.save({"state_dict": {"weight": torch.ones(2)}, **entries}, tmp_path / "x.pth")
    source = checkpoints.read(tmp_path / "x.pth")
    assert (source.stored_names, source.class_names) == (found, None)


@pytest.mark.parametrize(
    "entries",
    [
        {"classes": 2},
        {"classes": []},
        {"classes": [0, 1]},
        {"class_to_idx": {}},
        {"class_to_idx": {"cat": 0, "dog": 2}},
        {"class_to_idx": {"cat": 0, "dog": 0}},
        {"class_to_idx": {"cat": False, "dog": True}},
        {"class_to_idx": ["cat", "dog"]},
    ],
)
def test_entries_that_order_no_classes_are_no_names(tmp_path, entries):
    torch.save({"state_dict": {"weight": torch.ones(2)}, **entries}, tmp_path / "x.pth")
    source = checkpoints.read(tmp_path / "x.pth")
    assert (source.stored_names, source.class_names) == ({}, None)


def test_a_head_is_believed_in_our_own_files_alone(tmp_path):
    arguments = {"head": {"class_path": "lt_lightning.heads.LinearHead"}}
    torch.save({"state_dict": {"weight": torch.ones(2)}, "hyper_parameters": arguments}, tmp_path / "x.pth")
    assert checkpoints.read(tmp_path / "x.pth").head is None


def test_a_dictionary_that_holds_itself_comes_to_an_end(tmp_path):
    for key, beside in (("model", 3), ("mine", 3), ("model", torch.ones(2))):
        contents = {"beside": beside}
        contents[key] = contents
        torch.save(contents, tmp_path / "x.pth")
        with pytest.raises(UsageError, match="holds no state dict"):
            checkpoints.read(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "neither bare nor under one of state_dict, model_state_dict, model, net, .*; its keys are none"),
        ({"epoch": 3, "lr": 0.1}, ".* its keys are 'epoch', 'lr'"),
        ({"state_dict": {}, "epoch": 3}, ".*"),
        ({"optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}, ".* its keys are 'optimizer'"),
        ({str(n): n for n in range(9)}, ".* its keys are '0', '1', '2', '3' and 5 more"),
    ],
)
def test_files_without_weights_are_refused(tmp_path, content, sentence):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UsageError, match=f"^`checkpoint` '.*x.pth' holds no state dict, {sentence}"):
        checkpoints.read(tmp_path / "x.pth")


# -- any nesting -------------------------------------------------------------------------------------------------------

PREFIXES = st.lists(
    st.sampled_from(["module", "model", "backbone", "encoder", "_orig_mod", "net", "trunk"]), max_size=4
)
ENVELOPES = st.lists(
    st.sampled_from(["state_dict", "model", "net", "model_state_dict", "state_dict_best", "snapshot"]), max_size=3
)
CLASSIFIERS = st.sampled_from(
    ["fc", "linear", "classifier", "head", "heads.head", "classifier.1", "fc.fc", "module.fc"]
)
CLUTTER = st.lists(st.sampled_from(["epoch", "optimizer", "state_dict_ema", "args", "scheduler"]), unique=True)


@settings(max_examples=20)
@given(prefix=PREFIXES, envelope=ENVELOPES, name=CLASSIFIERS, inside=st.booleans(), bias=st.booleans(), clutter=CLUTTER)
def test_any_nesting_of_envelopes_and_prefixes_is_found(
    tmp_path_factory, backbone, network, prefix, envelope, name, inside, bias, clutter
):
    path = tmp_path_factory.mktemp("nested") / "x.pth"
    dotted = "".join(f"{part}." for part in prefix)
    classifier = f"{dotted if inside else ''}{name}."
    contents = network(backbone, prefix=dotted, classifier=classifier, bias=bias)
    weight = contents[f"{classifier}weight"]
    for key in reversed(envelope):
        contents = {key: contents}
    if envelope:
        things = {
            "epoch": 3,
            "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(10, 8)}}},
            "state_dict_ema": network(SmallCNN(8), classifier="fc."),
            "args": {"lr": 0.1},
            "scheduler": {"last": torch.zeros(10, 8)},
        }
        contents |= {key: things[key] for key in clutter}
    torch.save(contents, path)

    source = checkpoints.read(path)
    fresh = SmallCNN(8)
    found = checkpoints.match(source, fresh)
    assert (found.missing, found.misshapen, len(found.tensors)) == ([], [], found.total)
    linear = checkpoints.find_classifier(found, 8, 10, path)
    assert torch.equal(linear.weight, weight)
    assert (linear.bias is not None) == bias
    assert unexpected(found, linear) == []
    fresh.load_state_dict(found.tensors)
    assert all(torch.equal(value, backbone.state_dict()[key]) for key, value in fresh.state_dict().items())
    for key, place in source.places.items():  # each tensor stands where the checkpoint says
        node = contents
        for step in place:
            node = node[step]
        assert torch.equal(node, source.tensors[key])
