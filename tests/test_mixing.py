"""Mixup, CutMix, and a choice between them."""

import json
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from short_runs import sgd
from torch import Tensor

from lt_lightning.errors import UsageError
from lt_lightning.losses import CrossEntropyLoss, Loss
from lt_lightning.main import main
from lt_lightning.mixing import CutMix, Draws, Mixed, Mixing, Mixup, NoMixing, RandomMixing

WAYS = {
    "none": NoMixing(),
    "mixup": Mixup(),
    "cutmix": CutMix(probability=1.0),
    "either": RandomMixing([Mixup(0.2), CutMix()]),
}
every = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def batch(n: int = 6, height: int = 8, width: int = 8) -> tuple[Tensor, Tensor]:
    """Images that are all of one value, their class's number, so that a pixel tells where it came from."""
    targets = torch.arange(n)
    return targets.double()[:, None, None, None].expand(-1, 3, height, width).contiguous(), targets


def mixed_at(way: Mixing, step: int, rank: int = 0, **shape: int) -> Mixed:
    return way.mix(*batch(**shape), Draws.at(0, 0, step, rank))


# -- what is mixed -----------------------------------------------------------------------------------------------------


def test_no_mixing_changes_nothing():
    images, targets = batch()
    mixed = NoMixing().mix(images, targets, Draws.at(0, 0, 0, 0))
    assert mixed.images is images
    assert mixed.targets is targets
    assert (mixed.partners, mixed.share) == (None, 1.0)


@settings(max_examples=20)
@given(alpha=st.floats(0.05, 8), step=st.integers(0, 10_000), n=st.integers(1, 9))
def test_mixup_averages_pairs(alpha, step, n):
    images, targets = batch(n)
    mixed = Mixup(alpha).mix(images, targets, Draws.at(0, 0, step, 0))
    assert 0 <= mixed.share <= 1
    assert sorted(mixed.partners.tolist()) == targets.tolist()
    for image, own, other in zip(mixed.images, targets, mixed.partners, strict=True):
        expected = mixed.share * images[own] + (1 - mixed.share) * images[other]
        torch.testing.assert_close(image, expected)
    assert torch.equal(images, batch(n)[0])


@settings(max_examples=50)
@given(
    alpha=st.floats(0.05, 8),
    step=st.integers(0, 10_000),
    n=st.integers(1, 9),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
)
def test_cutmix_pastes_one_rectangle_and_shares_by_its_area(alpha, step, n, height, width):
    images, targets = batch(n, height, width)
    mixed = CutMix(alpha, 1.0).mix(images, targets, Draws.at(0, 0, step, 0))
    assert sorted(mixed.partners.tolist()) == targets.tolist()
    pasted = set()
    for image, own, other in zip(mixed.images, targets, mixed.partners, strict=True):
        if own == other:
            assert torch.equal(image, images[own])
            continue
        changed = image == other
        assert bool(((image == own) | changed).all())
        assert bool((changed == changed[0]).all())  # the same in every channel
        rows, columns = changed[0].any(1), changed[0].any(0)
        assert torch.equal(changed[0], rows[:, None] & columns)  # a rectangle
        for side in (rows, columns):
            assert int(side.sum()) == 0 or bool(side[side.nonzero().min() : side.nonzero().max() + 1].all())
        share = 1 - float(changed[0].double().mean())
        assert mixed.share == pytest.approx(share)
        pasted.add(tuple(changed[0].flatten().tolist()))
    assert len(pasted) <= 1  # one rectangle for the batch
    assert torch.equal(images, batch(n, height, width)[0])


def test_cutmix_covers_all_places_and_half_the_batches_by_default():
    mixes = [mixed_at(CutMix(), step, height=16, width=16) for step in range(2000)]
    done = [mixed for mixed in mixes if mixed.partners is not None]
    assert 0.46 < len(done) / 2000 < 0.54
    assert all(mixed.share == 1.0 for mixed in mixes if mixed.partners is None)
    changed = sum((mixed.images != batch(height=16, width=16)[0])[:, 0].double().mean(0) for mixed in done) / len(done)
    # Rectangles are cut off at the edges, so the middle is covered more; both directions alike.
    assert 0.05 < float(changed[0, 0]) < float(changed[8, 8])
    assert float((changed - changed.T).abs().max()) < 0.05
    assert not any(mixed_at(CutMix(probability=0.0), step).partners is not None for step in range(50))
    assert all(mixed_at(CutMix(probability=1.0), step).partners is not None for step in range(50))


def test_a_rectangle_has_the_proportions_of_its_image():
    whole = 0
    for step in range(100):
        images = mixed_at(CutMix(probability=1.0), step, height=8, width=32).images
        changed = (images != batch(height=8, width=32)[0]).any(1).any(0)
        rows, columns = changed.any(1), changed.any(0)
        if rows.any() and not (rows[[0, -1]].any() or columns[[0, -1]].any()):  # no edge has cut it off
            assert int(columns.sum()) // 4 == int(rows.sum())
            whole += 1
    assert whole > 10


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_the_beta_distribution(alpha):
    shares = torch.tensor([mixed_at(Mixup(alpha), step, height=1, width=1).share for step in range(2000)])
    # Mean 1/2 and variance 1 / (4 (2α + 1)), to within 5 standard errors.
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(float(shares.mean()) - 0.5) < 5 * math.sqrt(variance / 2000)
    assert float(shares.var()) == pytest.approx(variance, rel=0.15)


def test_one_of_several_is_chosen_by_weight():
    def chosen(way: Mixing) -> float:
        kinds = [mixed_at(way, step) for step in range(1000)]
        return sum(mixed.partners is None for mixed in kinds) / 1000

    assert 0.45 < chosen(RandomMixing([NoMixing(), Mixup()])) < 0.55
    assert 0.15 < chosen(RandomMixing([NoMixing(), Mixup()], [1, 4])) < 0.25
    assert chosen(RandomMixing([NoMixing(), Mixup()], [0, 1])) == 0


# -- where draws come from ---------------------------------------------------------------------------------------------


@every
@settings(max_examples=20)
@given(place=st.tuples(st.integers(0, 99), st.integers(0, 300), st.integers(0, 5000), st.integers(0, 7)))
def test_mixing_depends_on_its_place_alone(way, place):
    torch.manual_seed(place[0])
    first = way.mix(*batch(), Draws.at(*place))
    before = torch.get_rng_state()
    again = way.mix(*batch(), Draws.at(*place))
    assert torch.equal(torch.get_rng_state(), before)  # nobody else's draws move
    assert torch.equal(first.images, again.images)
    assert first.share == again.share


@pytest.mark.parametrize("way", [Mixup(), CutMix(probability=1.0)])
def test_processes_share_the_numbers_and_draw_their_own_partners(way):
    steps = [[mixed_at(way, step, rank, n=32) for rank in range(4)] for step in range(5)]
    assert all(len({mixed.share for mixed in ranks}) == 1 for ranks in steps)
    assert len({tuple(mixed.partners.tolist()) for ranks in steps for mixed in ranks}) == 20
    assert len({ranks[0].share for ranks in steps}) > 1


@every
def test_nothing_is_read_back_from_the_device(way):
    images, targets = (tensor.to("meta") for tensor in batch())  # tensors without content: reading one is an error
    for step in range(5):
        mixed = way.mix(images, targets, Draws.at(0, 0, step, 0))
        assert (mixed.images.device.type, mixed.images.shape) == ("meta", images.shape)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@every
def test_images_keep_their_precision(way, dtype):
    images, targets = batch()
    assert {way.mix(images.to(dtype), targets, Draws.at(0, 0, step, 0)).images.dtype for step in range(5)} == {dtype}


def test_seeds_and_epochs_draw_anew():
    shares = {Draws.at(seed, epoch, 0, 0).shared.random() for seed in range(5) for epoch in range(5)}
    assert len(shares) == 25


# -- the loss ----------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(share=st.floats(0, 1), seed=st.integers(0, 1000))
def test_the_loss_is_that_of_mixed_labels(share, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    targets = torch.randint(4, (6,), generator=generator)
    partners = targets[torch.randperm(6, generator=generator)]
    mixed = Mixed(logits, targets, partners, share)
    one_hot = torch.nn.functional.one_hot
    labels = share * one_hot(targets, 4) + (1 - share) * one_hot(partners, 4)
    expected = -(labels * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(mixed.loss(CrossEntropyLoss([1] * 4), logits, logits), expected)
    # With class weights: the mean over all pairs of an image and a class.
    weight = torch.tensor([0.1, 1, 2, 5], dtype=torch.float64)
    expected = -(labels * weight * logits.log_softmax(1)).sum() / weight[targets].sum()
    found = mixed.loss(CrossEntropyLoss([1] * 4, weight=weight.tolist()), logits, logits)
    torch.testing.assert_close(found, expected)


def test_a_batch_that_is_not_mixed_takes_one_loss():
    class Counting(Loss):
        calls = 0

        def forward(self, logits, targets, features=None):
            self.calls += 1
            assert features is not None
            return logits.gather(1, targets[:, None]).mean()

    loss, logits = Counting([1, 1]), torch.randn(3, 2)
    targets = torch.tensor([0, 1, 1])
    Mixed(logits, targets).loss(loss, logits, logits)
    assert loss.calls == 1
    Mixed(logits, targets, targets, 0.5).loss(loss, logits, logits)
    assert loss.calls == 3


class Accumulating(CrossEntropyLoss):
    """Keeps account of what it has seen."""

    def __init__(self, class_counts):
        super().__init__(class_counts)
        self.register_buffer("seen", torch.zeros(len(class_counts)))


def test_a_loss_that_keeps_account_is_refused(digits, stage1_module):
    sentence = "`model.mixing` Mixup and `model.loss` Accumulating do not go together: .* use NoMixing, or another loss"
    with pytest.raises(UsageError, match=sentence):
        stage1_module(digits(), loss=Accumulating, mixing=Mixup)
    with pytest.raises(UsageError, match=sentence):
        stage1_module(digits(), loss=Accumulating, mixing=lambda: RandomMixing([Mixup()]))
    assert isinstance(stage1_module(digits(), loss=Accumulating).mixing, NoMixing)


def test_several_ways_to_mix_refuse_what_one_of_them_does():
    class Choosy(Mixup):
        def check(self, loss):
            raise UsageError(f"not with {type(loss).__name__}.")

    RandomMixing([NoMixing()]).check(Accumulating([3, 2]))  # which suits every loss
    RandomMixing([NoMixing(), Mixup()]).check(CrossEntropyLoss([3, 2]))
    with pytest.raises(UsageError, match=r"^not with CrossEntropyLoss"):
        RandomMixing([NoMixing(), Choosy()]).check(CrossEntropyLoss([3, 2]))


@pytest.mark.parametrize("share", [-0.1, 1.5, 30, math.nan])
def test_a_share_is_no_more_than_the_whole(share):
    images, targets = batch()
    with pytest.raises(UsageError, match=rf"`share` of `Mixed` must be one number .*, from 0 to 1, but got {share}\."):
        Mixed(images, targets, targets, share)
    assert Mixed(images, targets, targets, torch.tensor(0.5)).share == 0.5


def test_a_loss_with_parameters_is_no_account(digits, stage1_module):
    class Tempered(CrossEntropyLoss):
        def __init__(self, class_counts):
            super().__init__(class_counts)
            self.temperature = torch.nn.Parameter(torch.ones(()))

    assert isinstance(stage1_module(digits(), loss=Tempered, mixing=CutMix).mixing, CutMix)


@pytest.mark.parametrize("way", [CutMix(probability=0.0), RandomMixing([Mixup(), CutMix()], [1, 0])])
def test_rectangles_are_cut_from_images_alone_whatever_is_drawn(way):
    images, targets = batch()
    way.mix(images, targets, Draws.at(0, 0, 0, 0))
    for shape in ((6, 192), (6, 3, 64)):
        sentence = f"CutMix pastes rectangles and needs images (N, C, H, W), but got {shape}; use Mixup"
        with pytest.raises(UsageError, match=re.escape(sentence)):
            way.mix(images.reshape(shape), targets, Draws.at(0, 0, 0, 0))


@pytest.mark.parametrize("way", [Mixup(), RandomMixing([NoMixing(), RandomMixing([Mixup()])], [1, 0])])
def test_whole_numbers_are_not_averaged(way):
    images, targets = batch()
    way.mix(images.flatten(1), targets, Draws.at(0, 0, 0, 0))
    with pytest.raises(UsageError, match=r"`model.mixing` Mixup averages images, but got them in torch.int64; have"):
        way.mix(images.flatten(1).long(), targets, Draws.at(0, 0, 0, 0))


def test_one_of_ones_own_mixes_whatever_it_gets():
    class Turned(Mixing):
        def mix(self, images, targets, draws):
            return Mixed(images.flip(0), targets.flip(0))

    images, targets = batch()
    mixed = RandomMixing([Turned()]).mix(images.flatten(1).long(), targets, Draws.at(0, 0, 0, 0))
    assert torch.equal(mixed.targets, targets.flip(0))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Mixup(0), "`alpha` must be above 0, but got 0"),
        (lambda: CutMix(-1.0), "`alpha` must be above 0, but got -1.0"),
        (lambda: Mixup(math.nan), "`alpha` must be a finite number, but got nan"),
        (lambda: CutMix(probability=1.5), r"`probability` must lie in \[0, 1\], but got 1.5"),
        (lambda: RandomMixing([]), "`mixings` of `RandomMixing` must name at least one way to mix, but is empty"),
        (lambda: RandomMixing([Mixup()], [1, 2]), r"`weights` of `RandomMixing` must hold 1 numbers .* \[1.0, 2.0\]"),
        (lambda: RandomMixing([Mixup()], [0]), r"`weights` of `RandomMixing` .* not all 0, but got \[0.0\]"),
        (lambda: RandomMixing([Mixup(), CutMix()], [2, -1]), r"`weights` of `RandomMixing` .* got \[2.0, -1.0\]"),
    ],
)
def test_options_are_checked(make, sentence):
    with pytest.raises(UsageError, match=sentence):
        make()


# -- in training -------------------------------------------------------------------------------------------------------


class Seen(Callback):
    """Notes what the backbone is given, while training and while not."""

    def __init__(self):
        self.training: list[Tensor] = []
        self.evaluation: list[Tensor] = []

    def setup(self, trainer, pl_module, stage):
        pl_module.backbone.register_forward_pre_hook(self.note)

    def note(self, backbone, arguments):
        (self.training if backbone.training else self.evaluation).append(arguments[0].clone())


@pytest.mark.parametrize("way", [Mixup, CutMix, lambda: RandomMixing([Mixup(), CutMix(probability=1.0)])])
def test_stage_1_trains_on_mixtures_and_validates_without(trainer, digits, stage1_module, way):
    shown = []
    for mixing in (NoMixing, way):
        torch.manual_seed(0)
        data, seen = digits(), Seen()
        module = stage1_module(data, mixing=mixing)
        before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
        trainer(callbacks=[seen], max_epochs=2).fit(module, datamodule=data)
        assert all(
            not torch.equal(before[key], tensor) for key, tensor in module.head.state_dict(prefix="head.").items()
        )
        shown.append(seen)
    plain, mixed = shown
    assert len(plain.training) == len(mixed.training) == 10
    assert any(not torch.equal(a, b) for a, b in zip(plain.training, mixed.training, strict=True))
    assert len(plain.evaluation) > 0
    assert all(torch.equal(a, b) for a, b in zip(plain.evaluation, mixed.evaluation, strict=True))


@pytest.mark.parametrize("step", [5, 7])  # after an epoch, and inside one
def test_a_resumed_run_mixes_as_the_uninterrupted_one(tmp_path, trainer, digits, stage1_module, step):
    runs = []
    for again in (False, True):
        torch.manual_seed(int(again))  # neither initial weights nor the global generator may matter
        data, seen = digits(), Seen()
        module = stage1_module(data, optimizer=sgd, mixing=lambda: RandomMixing([Mixup(), CutMix(probability=1.0)]))
        keep = ModelCheckpoint(tmp_path / str(again), filename="{step}", save_top_k=-1, every_n_train_steps=1)
        run = trainer(max_epochs=3, callbacks=[seen, keep], enable_checkpointing=True)
        run.fit(module, datamodule=data, ckpt_path=tmp_path / "False" / f"step={step}.ckpt" if again else None)
        runs.append((seen.training, module.state_dict()))
    (whole, weights), (resumed, weights_again) = runs
    assert len(resumed) == 15 - step
    assert all(torch.equal(a, b) for a, b in zip(whole[step:], resumed, strict=True))
    assert all(torch.equal(weights_again[key], tensor) for key, tensor in weights.items())


def test_batches_of_one_accumulated_step_are_mixed_apart(trainer, digits, stage1_module):
    shares = []

    class Noting(Mixup):
        def mix(self, images, targets, draws):
            mixed = super().mix(images, targets, draws)
            shares.append(mixed.share)
            return mixed

    data = digits()
    trainer(accumulate_grad_batches=5).fit(stage1_module(data, mixing=Noting), datamodule=data)
    assert len(set(shares)) == len(shares) == 5


def test_the_command_line_chooses_and_records_it(here, tiny):
    options = ("--model.mixing=Mixup", "--model.mixing.alpha=0.2", "--trainer.max_epochs=1", "--seed_everything=3")
    main(tiny("fit", "RepresentationModule", *options))
    (config,) = here.rglob("config.yaml")
    assert "class_path: lt_lightning.mixing.Mixup\n      init_args:\n        alpha: 0.2\n" in config.read_text()
    assert json.loads((config.parent / "results.json").read_text())["config"].endswith(config.name)
    (checkpoint,) = here.rglob("last.ckpt")
    hyper_parameters = torch.load(checkpoint, weights_only=True)["hyper_parameters"]
    assert hyper_parameters["mixing"] == {"class_path": "lt_lightning.mixing.Mixup", "init_args": {"alpha": 0.2}}


def test_the_command_line_takes_short_names_in_a_list(here, tiny, capsys):
    options = ("--model.mixing=RandomMixing", "--model.mixing.mixings=[Mixup, CutMix]", "--print_config")
    with pytest.raises(SystemExit) as stop:
        main(tiny("fit", "RepresentationModule", *options))
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert "class_path: lt_lightning.mixing.CutMix" in shown
    assert "probability: 0.5" in shown


def test_one_share_serves_the_whole_batch():
    images, targets = batch()
    assert float(Mixed(images, targets, targets.flip(0), torch.tensor(0.3)).share) == pytest.approx(0.3)
    with pytest.raises(UsageError, match=r"`share` of `Mixed` must be one number .* a tensor of shape \(6,\)"):
        Mixed(images, targets, targets.flip(0), torch.rand(6))
