"""A pipeline on the digits that takes seconds."""

import yaml
from short_runs import BACKBONE

TINY = {
    "output": "runs/tiny",
    # Not the precision that the machine is fastest in: figures are compared.
    "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "precision": "32-true"},
    "data": {"class_path": "DigitsLT", "init_args": {"batch_size": 64}},
    "stage1": {
        "model": {
            "class_path": "RepresentationModule",
            "init_args": {"backbone": BACKBONE},
        },
        "trainer": {"max_epochs": 2},
    },
    "stage2": {},
}


def retrain(epochs=1, **init_args):
    model = {"class_path": "RetrainModule", "init_args": {"backbone": BACKBONE, **init_args}}
    return {"model": model, "trainer": {"max_epochs": epochs}}


def write(here, first=TINY["stage1"], **stage2):
    path = here / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY | {"stage1": first, "stage2": stage2}, sort_keys=False))
    return ["pipeline", "-c", str(path)]
