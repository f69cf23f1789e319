"""Testing of the chosen heads, once all choices are made, and how sure differences between them are."""

import torch

from lt_lightning.comparing.evaluation import evaluate, predict, predict_parts
from lt_lightning.comparing.outcome import NO_GAIN, Row, methods_of
from lt_lightning.comparing.selection import better, choose
from lt_lightning.comparing.setup import Setup
from lt_lightning.comparing.training import Trained
from lt_lightning.features import Features
from lt_lightning.functional import paired_bootstrap
from lt_lightning.functional.bootstrap import Difference
from lt_lightning.losses.form import fit_temperature_of


def fit_to_validation(setup: Setup, trained: Trained, features: dict[str, Features]) -> float | None:
    """The temperature that suits a head on images that trained nothing; ``None`` without these, or a likelihood."""
    if not setup.selection.allowed:
        return None
    logits = predict(trained.head, features["val"], setup.device)
    return fit_temperature_of(trained.loss, logits, features["val"].targets.to(logits.device))


def evaluate_rows(setup: Setup, rows: list[Row], features: dict[str, Features]) -> None:
    """Test every head of every row."""
    test, counts = features["test"], setup.trained_on.class_counts
    for row in rows:
        for trained in row.heads:
            logits = predict_parts(trained.head.to(setup.device), test, setup.device)
            loss, thresholds = trained.loss.to(setup.device), setup.data.group_thresholds
            row.tests.append(evaluate(logits, test.targets, loss, counts, thresholds, trained.temperature))
            trained.head.cpu()  # a GPU may not hold those of all rows
            trained.loss.cpu()


def find_winner(setup: Setup, rows: list[Row]) -> tuple[Row | None, str | None]:
    """The method that is best on the validation images, or why there is none; with a warning if stage 1 is as good."""
    if not setup.selection.allowed:
        return None, "no winner could be selected"
    methods = methods_of(rows)
    best = choose([row.score for row in methods])
    if best is None:
        return None, "every method diverged"
    if not better(methods[best].score, rows[0].score):
        setup.warn(f"{NO_GAIN[0].upper()}{NO_GAIN[1:]}; the best of them is no gain.")
        return None, NO_GAIN
    return methods[best], None


def compare_rows(setup: Setup, rows: list[Row], winner: Row | None) -> None:
    """Say how sure each row's difference to stage 1 and to the winner is."""
    test = setup.data.required("test")
    judged = [row for row in rows if row.tests]
    scores = torch.stack([row.correct(test.targets) for row in judged])
    references = [(rows[0], "to_stage1")] + ([] if winner is None else [(winner, "to_winner")])
    # Both at once, for drawing test sets takes longer than judging on them.
    against = torch.cat([scores[judged.index(row)].expand_as(scores) for row, _ in references])
    found = paired_bootstrap(scores.repeat(len(references), 1), against, test.targets, setup.options.draws)
    for number, (reference, name) in enumerate(references):
        for place, row in enumerate(judged):
            if row is not reference:
                setattr(row, name, _plain(found, number * len(judged) + place))


def compare_on_validation(setup: Setup, rows: list[Row], winner: Row | None, features: dict[str, Features]) -> None:
    """Say how sure the choice of the winner is: each row's difference to it on the images that chose it.

    That settings were chosen on these images as well is no part of it.
    """
    judged = [row for row in rows if row.val_correct is not None and row is not winner]
    if winner is None or winner.val_correct is None or not judged:
        return
    scores = torch.stack([row.val_correct for row in judged if row.val_correct is not None])
    found = paired_bootstrap(scores, winner.val_correct, features["val"].targets.cpu(), setup.options.draws)
    for place, row in enumerate(judged):
        row.val_to_winner = _plain(found, place)


def _plain(found: Difference, place: int) -> dict[str, float]:
    return {name: float(getattr(found, name)[place]) for name in ("mean", "low", "high", "p_value")}
