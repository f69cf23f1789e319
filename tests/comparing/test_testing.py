"""What test images say, once all choices are made."""

import pytest
import torch
from lightning.pytorch import Trainer

from lt_lightning.comparing.evaluation import predict
from lt_lightning.comparing.record import record
from lt_lightning.comparing.saving import keep_runs
from lt_lightning.functional import fit_temperature, paired_bootstrap
from lt_lightning.modules import RetrainModule

pytestmark = pytest.mark.filterwarnings(
    "ignore:Stage 1 is no worse:UserWarning", "ignore:No method is better:UserWarning"
)


def test_differences_are_those_of_a_bootstrap_for_each_reference(run):
    found = run("linear,lort,tau_norm,ncm", {"lr": [0.1]}, seeds=(0, 1))
    scores = torch.stack([row.correct(found.test_targets) for row in found.rows])
    for reference, name in ((found.rows[0], "to_stage1"), (found.winner, "to_winner")):
        expected = paired_bootstrap(scores, reference.correct(found.test_targets), found.test_targets, 100)
        for place, row in enumerate(found.rows):
            difference = getattr(row, name)
            if row is reference:
                assert difference is None
            else:
                assert difference["low"] == pytest.approx(float(expected.low[place]))
                assert difference["p_value"] == pytest.approx(float(expected.p_value[place]))


def test_methods_that_validation_images_do_not_tell_from_the_winner(run):
    """Of heads that have not seen these images, on all of them at once; the figures are those that chose."""
    found = run("ncm,lort,linear,tau_norm", {"lr": [1e-6, 0.1]}, seeds=(0, 1))
    targets, winner = found.features["val"].targets, found.winner
    others = [row for row in found.rows if row is not winner]
    scores = torch.stack([row.val_correct for row in others])
    expected = paired_bootstrap(scores, winner.val_correct, targets, 100)
    assert winner.val_to_winner is None
    assert not winner.near_winner
    for place, row in enumerate(others):
        difference = row.val_to_winner
        assert difference["mean"] == pytest.approx(row.score - winner.score)
        assert difference["high"] == pytest.approx(float(expected.high[place]))
        assert row.near_winner == bool(expected.low[place] <= 0 <= expected.high[place])


def test_only_unseen_heads_say_how_sure_the_choice_is(run, make_data):
    """Where validation images are put back among the training images, that is the heads before it."""
    found = run("ncm,tau_norm", data=make_data(val_from="train"), unseen=True)
    for row in found.rows:
        if row is not found.winner:
            assert row.val_to_winner["mean"] == pytest.approx(row.score - found.winner.score)


def test_figures_of_a_head_trained_once_more_are_those_of_its_own_test(run, make_data, tmp_path):
    """A class belongs to a group by all images that the head was trained on, not by those that had a part before."""
    found = run("lort", {"lr": [0.1]}, data=make_data(val_from="train"), unseen=True)
    keep_runs(found, tmp_path, {"class_path": "SmallCNN", "init_args": {"num_features": 8, "in_channels": 3}})
    module = RetrainModule.load_from_checkpoint(tmp_path / "runs/lort/seed_0.ckpt", weights_only=True)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    whole = make_data(val_from="none")
    (tested,) = trainer.test(module, whole, verbose=False)
    written = record(found)
    assert written["class_counts"] == whole.class_counts != found.data.class_counts
    assert written["group_sizes"] == {"many": 2, "medium": 5, "few": 3}
    for name, value in written["rows"]["lort"]["mean"].items():
        assert value == pytest.approx(tested[f"test/{name}"]), name


def test_probabilities_may_be_by_a_number_that_the_loss_has_learnt(run, tmp_path, monkeypatch):
    (tmp_path / "learnt.py").write_text(
        "import torch\n\nfrom lt_lightning.losses import CrossEntropyLoss\n\n\nclass Sharpened(CrossEntropyLoss):\n"
        "    def __init__(self, class_counts: list[int]):\n        super().__init__(class_counts)\n"
        "        self.factor = torch.nn.Parameter(torch.ones(()))\n\n"
        "    def forward(self, logits, targets, features=None):\n"
        "        return super().forward(self.factor * logits, targets, features)\n\n"
        "    def probabilities(self, logits):\n        return super().probabilities(self.factor * logits)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    tested = run("learnt.Sharpened", {"lr": [0.1]}).row("Sharpened").tests[0]
    assert not tested.confidence.requires_grad
    assert 0 <= tested.figures["ece"] <= 1
    assert tested.figures["temperature"] is None


def test_probabilities_of_no_known_likelihood_are_not_scaled(run, tmp_path, monkeypatch):
    (tmp_path / "of_mine.py").write_text(
        "from lt_lightning.losses import CrossEntropyLoss\n\n\nclass Halved(CrossEntropyLoss):\n"
        "    def probabilities(self, logits):\n        return super().probabilities(logits) / 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = run("of_mine.Halved,tau_norm", {"lr": [0.1]})
    known, unknown = (found.row(name).tests[0].figures for name in ("tau_norm", "Halved"))
    assert (unknown["temperature"], unknown["ece_scaled"]) == (None, None)
    assert known["ece_scaled"] is not None
    val, head = found.features["val"], found.row("tau_norm").heads[0].head
    assert known["temperature"] == fit_temperature(predict(head, val, torch.device("cpu")), val.targets)
    assert unknown["ece"] is not None
