"""Parts of one's own that cannot train, found before images pass through the network."""

import pytest
import torch

from lt_lightning.backbones import SmallCNN
from lt_lightning.comparing import Options
from lt_lightning.comparing.rehearsal import rehearse_methods
from lt_lightning.comparing.setup import Setup
from lt_lightning.errors import UsageError
from lt_lightning.modules import rehearsal
from lt_lightning.retraining.naming import naming

PARTS = """
import torch
from torch.nn import functional as F
from lt_lightning.heads import LinearHead, NCMHead, TauNormHead
from lt_lightning.losses import Loss
from lt_lightning.samplers import EpochSampler

DRAWN = []

class Centres(Loss):
    def __init__(self, class_counts: list[int], num_features: int = 5) -> None:
        super().__init__(class_counts)
        self.centres = torch.nn.Parameter(torch.zeros(len(class_counts), num_features))
    def forward(self, logits, targets, features=None):
        return F.cross_entropy(logits, targets) + (features - self.centres[targets]).square().mean()

class Particular(Loss):
    def forward(self, logits, targets, features=None):
        DRAWN.append(len(features))
        if len(features) < 20:
            raise RuntimeError("too few")
        if not (features.sum(1) == 1).all():
            raise ValueError("features must sum to 1")
        return F.cross_entropy(logits, targets)

class NoBias(LinearHead):
    def init_from(self, weight, bias):
        super().init_from(weight, bias.no_such_thing)

class Groups(LinearHead):
    def __init__(self, in_features: int, class_counts: list[int]) -> None:
        super().__init__(in_features, class_counts)
        self.norm = torch.nn.GroupNorm(4, in_features)
    def forward(self, features):
        return super().forward(self.norm(features))

class Wrong(TauNormHead):
    def forward(self, features):
        return super().forward(features) @ torch.zeros(3, 3)

class Drop(LinearHead):
    def forward(self, features):
        return super().forward(torch.dropout(features, 0.5, self.training))

class Forgetful(LinearHead):
    def init_from(self, weight, bias):
        super().init_from(weight, bias)
        self.start = weight.clone()
    def forward(self, features):
        return super().forward(features) + (features @ self.start.T if hasattr(self, "start") else 0)

class Stubborn(torch.optim.SGD):
    def step(self):
        super().step()

class Scaled(NCMHead):
    def __init__(self, in_features: int, class_counts: list[int], rows: int = 1) -> None:
        super().__init__(in_features, class_counts)
        self.scales = torch.nn.Parameter(torch.ones(rows, self.num_classes))
    def forward(self, features):
        return super().forward(features) * self.scales

class Singular(Scaled):
    def init_from_features(self, features, targets):
        torch.linalg.inv(torch.zeros(2, 2))

class PerImage(EpochSampler):
    def __init__(self, targets: torch.Tensor, seed: int = 0, images: int = 40) -> None:
        super().__init__(targets, seed)
        if len(self.targets) != images:
            raise RuntimeError(f"{images} weights for {len(self.targets)} images")
    def draw(self, generator):
        return torch.randperm(len(self), generator=generator)

class TooMany(EpochSampler):
    def draw(self, generator):
        return torch.arange(len(self) + 1)

class Growing(PerImage):
    def __len__(self):
        return 20 + 2 * self.epoch
"""


@pytest.fixture
def setup(foreign, make_data, tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)

    def make(methods):
        return Setup(str(foreign), SmallCNN(8, in_channels=3), make_data(), methods, {}, Options())

    return make


def said(error, capsys):
    return "".join(getattr(error.value, "__notes__", [])) or capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Centres", RuntimeError), ("NoBias", AttributeError), ("Wrong", RuntimeError)],
)
def test_what_fails_names_its_method_and_keeps_its_traceback(setup, capsys, name, kind):
    with pytest.raises(kind) as error:
        setup(f"lort,own_parts.{name}")
    assert "own_parts.py" in {str(entry.path).rpartition("/")[2] for entry in error.traceback}
    assert f"in method '{name}'" in said(error, capsys)


@pytest.fixture
def written(tmp_path):
    def write(settings):
        path = tmp_path / "mine.yaml"
        path.write_text(settings)
        return [str(path)]

    return write


@pytest.mark.parametrize("optimizer", ["torch.optim.LBFGS", "own_parts.Stubborn"])
def test_an_optimizer_takes_a_closure_or_none(setup, written, optimizer):
    (method,) = setup(written(f"optimizer: {{class_path: {optimizer}, init_args: {{lr: 0.1}}}}")).methods  # rehearsed
    assert (method.name, method.plain["optimizer"]["class_path"]) == ("mine", optimizer)


def test_a_sampler_of_ones_own_is_drawn_from(setup, written):
    setup(written("sampler: own_parts.PerImage"))  # with as many targets as there are training images
    with pytest.raises(UsageError, match=r"^`methods` mine: `draw` of `TooMany` must give indices of shape \(40,\)"):
        setup(written("sampler: own_parts.TooMany"))
    with pytest.raises(UsageError, match=r"^`methods` mine: .* Growing shows 20 images in epoch 0 and 22 in epoch 1"):
        setup(written("sampler: own_parts.Growing"))


def test_a_head_that_is_made_from_features_takes_a_step_too(setup, written, monkeypatch):
    setup("own_parts.Scaled")
    setup(written("head: {class_path: own_parts.Singular, init_args: {rows: 3}}"))  # which true features may not be
    wrong = written("head: {class_path: own_parts.Scaled, init_args: {rows: 3}}")
    with pytest.raises(RuntimeError, match="must match the size"):
        setup(wrong)
    monkeypatch.setattr(rehearsal, "_MOST_NUMBERS", 40 * 8 - 1)
    setup(wrong)


def test_a_broken_contract_is_a_sentence_that_names_the_method(setup):
    with pytest.raises(UsageError, match=r"^`methods` Forgetful: `model.head` Forgetful keeps what it starts from"):
        setup("own_parts.Forgetful")


def test_values_of_features_are_not_judged_and_batches_are_as_long_as_in_training(setup):
    setup("own_parts.Particular")
    import own_parts

    assert max(own_parts.DRAWN) == 64


def test_a_head_may_be_particular_about_its_length(setup):
    assert len(setup("own_parts.Groups").points["Groups"]) == 8


@pytest.mark.parametrize("name", ["Groups", "Drop"])
def test_it_leaves_no_trace(setup, name):
    found = setup(f"own_parts.{name}")
    torch.manual_seed(0)
    expected = torch.rand(1)
    classifier = found.source.classifier
    before = classifier.weight.clone()
    torch.manual_seed(0)
    rehearse_methods(found.points[name][:1], classifier, found.counts, found.parser, found.device)
    assert torch.equal(classifier.weight, before)
    assert torch.equal(torch.rand(1), expected)


def test_a_sentence_stays_as_it_is():
    with pytest.raises(UsageError) as error, naming("mine"):
        raise UsageError("`x` is wrong.")
    assert not getattr(error.value, "__notes__", [])
