"""Runs a figure: one comparison over its grid on each stage 1."""

from reproducing.outcome import Outcome
from reproducing.recording import compared_row
from reproducing.records import Key, append, key_of, read
from reproducing.settings import Settings
from reproducing.stage2 import train_heads
from reproducing.tables import Figure
from reproducing.training import train


def run_figure(figure: Figure, settings: Settings) -> Outcome:
    """Run a figure's grid on each stage 1: settings are judged on validation images, the chosen one is tested."""
    outcome = Outcome()
    there = {key_of(record) for record in read(settings.results, figure.name)}
    name = settings.source(figure.stage1)
    for seed in range(settings.stage1_seeds if settings.checkpoint is None else 1):
        seed1 = seed if settings.checkpoint is None else None
        key = Key("lort", "grid", "validation", name, seed1, 0, settings.views, settings.precision)
        if key in there:
            outcome.there += 1
            continue
        checkpoint = settings.checkpoint
        if checkpoint is None:
            folder = settings.folder(figure.stage1, seed)
            config = figure.stage1.config(settings.for_all, {"seed_everything": seed})
            trained = train(config, folder, settings.budget) if settings.budget.fits(None) else None
            if trained is None or not settings.budget.fits(None):
                outcome.unfinished.append(f"stage 1, seed {seed}")
                return outcome
            checkpoint = trained.checkpoint
        assert checkpoint is not None
        heads = settings.heads("validation")
        found = train_heads([figure.stage2], checkpoint, range(settings.seeds), heads, figure.grid)
        (row,) = (row for method, row in found["rows"].items() if method == figure.stage2.preset)
        run = {"seeds": list(range(settings.seeds)), "accuracy": row["mean"], "epochs": None, "seconds": row["seconds"]}
        record = compared_row(key, figure.stage2, settings.origin(key), found, row, run)
        append(settings.results, figure.name, [record | {"points": row["validation"]}])
        outcome.finished += 1
    return outcome
