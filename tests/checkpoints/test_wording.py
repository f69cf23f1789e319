"""What fits, in words."""

import torch

from lt_lightning import checkpoints
from lt_lightning.backbones import SmallCNN
from lt_lightning.checkpoints.wording import explain_mismatch


def test_a_whole_match_is_one_sentence(backbone, network, in_memory):
    found = checkpoints.match(in_memory(network(backbone, prefix="net.")), backbone)
    classifier = checkpoints.find_classifier(found, 8, 10, found.source.path)
    assert checkpoints.report(found, classifier) == (
        "checkpoint some.pth (PyTorch state dict): 18 of 18 backbone tensors matched under the prefix 'net.'; "
        "classifier 'fc' (10 classes × 8 features, with bias)"
    )


def test_what_does_not_fit_is_counted_and_named(backbone, network, in_memory):
    tensors = network(SmallCNN(8, in_channels=3), bias=False)
    del tensors["layers.4.bias"]
    found = checkpoints.match(in_memory(tensors), backbone)
    extra = ["a", "b", "c", "d", "e"]
    explained = (
        "16 of 18 backbone tensors match; 1 missing: 'layers.4.bias'; 1 of another shape: 'layers.0.weight: "
        "(4, 3, 3, 3) in the file, (4, 1, 3, 3) in the backbone'; 5 unexpected: 'a', 'b' and 3 more"
    )
    assert explain_mismatch(found, extra) == explained
    classifier = checkpoints.find_classifier(found, 8, 10, found.source.path)
    assert checkpoints.report(found, classifier, extra) == (
        f"checkpoint some.pth (PyTorch state dict): {explained}; classifier 'fc' (10 classes × 8 features, no bias)"
    )


def test_counts_of_batches_that_a_file_lacks_are_none_of_its_tensors(backbone, network, in_memory):
    tensors = {key: value for key, value in network(backbone).items() if not key.endswith("num_batches_tracked")}
    found = checkpoints.match(in_memory(tensors), backbone)
    assert "15 of 15 backbone tensors matched" in checkpoints.report(found, None)
    del tensors["layers.4.bias"]
    found = checkpoints.match(in_memory(tensors), backbone)
    assert explain_mismatch(found, []).startswith("14 of 15 backbone tensors match; 1 missing: ")


def test_copies_and_notes_are_told(backbone, network, in_memory):
    tensors = network(backbone, prefix="net.") | {f"ema.{key}": value for key, value in backbone.state_dict().items()}
    found = checkpoints.match(in_memory(tensors | {"scales": torch.ones(10)}), backbone)
    line = checkpoints.report(found, checkpoints.find_classifier(found, 8, 10, found.source.path))
    assert "matched under the prefix 'net.' (copies under 'ema.' left aside); classifier" in line
    assert line.endswith("with bias), factors 'scales' multiplied in")


def test_layers_that_nobody_uses_are_named(backbone, network, in_memory):
    """A layer between backbone and classifier would explain figures that are too low."""
    tensors = network(backbone, prefix="net.")
    tensors |= {"neck.weight": torch.ones(8), "again.weight": tensors["fc.weight"]}
    found = checkpoints.match(in_memory(tensors), backbone)
    line = checkpoints.report(found, checkpoints.find_classifier(found, 8, 10, found.source.path))
    assert line.endswith("with bias); left aside: 'neck.weight'")
    given = checkpoints.report(found, checkpoints.find_classifier(found, 8, 10, found.source.path), (), "LWSHead")
    assert given.endswith("with bias) given to LWSHead; left aside: 'neck.weight'")
