"""What a head starts from; one's own must have it in its state, or a checkpoint would be tested as another head."""

import pytest
import torch

from lt_lightning.errors import UsageError
from lt_lightning.heads import AffineHead, Head, LinearHead
from lt_lightning.losses import ClassBalancedLoss, CrossEntropyLoss
from lt_lightning.modules import RetrainModule
from lt_lightning.modules.starting import check_kept, start_head

COUNTS = [9, 5, 3, 2]


class Mine(AffineHead):
    """A head that does everything right."""

    def forward(self, features):
        return super().forward(features)


class Centres(Head):
    """Class means, kept as a checkpoint finds them."""

    needs_features = True

    def __init__(self, in_features: int, class_counts: list[int]) -> None:
        super().__init__(in_features, class_counts)
        self.register_buffer("means", torch.zeros(self.num_classes, in_features))

    def forward(self, features):
        return -torch.cdist(features, self.means)

    def init_from(self, weight, bias):
        pass

    def init_from_features(self, features, targets):
        self.means.copy_(torch.stack([features[targets == label].mean(dim=0) for label in range(self.num_classes)]))


class Loose(Centres):
    """In an attribute."""

    def init_from_features(self, features, targets):
        self.found = features[:1] + targets[:1]

    def forward(self, features):
        return super().forward(features - getattr(self, "found", 0.0))


class Late(Centres):
    """In a buffer that a new head has not got."""

    def init_from_features(self, features, targets):
        super().init_from_features(features, targets)
        self.register_buffer("widths", features.std(dim=0))


class Longer(Mine):
    """The length of what stage 1 gave, in an attribute."""

    length = 1.0

    def init_from(self, weight, bias):
        super().init_from(weight, bias)
        self.length = float(weight.norm())

    def forward(self, features):
        return super().forward(features) / self.length


@pytest.mark.parametrize(
    ("head", "why"), [(Centres, None), (Loose, ";"), (Late, r" \(.*head|.*widths.*\);"), (Mine, None), (Longer, ";")]
)
def test_what_a_head_starts_from_is_in_its_state(head, why):
    def begin():
        made = head(6, COUNTS)
        features = torch.rand(sum(COUNTS), 6) + 1
        with check_kept(made):
            made.init_from(torch.ones(4, 6), torch.zeros(4))
            if made.needs_features:
                made.init_from_features(features, torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS)))

    if why is None:
        begin()
    else:
        with pytest.raises(
            UsageError, match=f"`model.head` {head.__name__} keeps what it .* go wrong{why}.*register_buffer"
        ):
            begin()


@pytest.mark.filterwarnings("ignore:.*works with validation images:UserWarning")
@pytest.mark.parametrize("head", [Loose, Longer])
def test_stage_2_refuses_what_no_checkpoint_would_hold(tmp_path, trainer, digits, stage1_module, head):
    data = digits()
    stage1 = trainer(max_epochs=1)
    stage1.fit(stage1_module(data), datamodule=data)
    stage1.save_checkpoint(tmp_path / "stage1.ckpt")
    stage2 = RetrainModule(data.class_counts, str(tmp_path / "stage1.ckpt"), stage1.lightning_module.backbone, head)
    with pytest.raises(UsageError, match=f"`model.head` {head.__name__} keeps what it starts from where no checkpoint"):
        trainer().test(stage2, datamodule=data, verbose=False)


def test_heads_start_from_stage_1_with_the_bias_of_the_loss():
    weight, bias = torch.randn(4, 8), torch.randn(4)
    head = LinearHead(8, COUNTS)
    start_head(head, CrossEntropyLoss(COUNTS), weight, bias)
    assert torch.equal(head.bias, bias)
    loss = ClassBalancedLoss(COUNTS, kind="sigmoid", init_bias=True)
    start_head(head, loss, weight, bias)
    assert head.bias.tolist() == pytest.approx([loss.initial_bias] * 4)
