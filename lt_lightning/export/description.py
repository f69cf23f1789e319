"""What a program says of itself."""

from dataclasses import asdict
from typing import Any

from lt_lightning.export.formats import INPUT
from lt_lightning.export.program import Program
from lt_lightning.losses.form import form_of
from lt_lightning.records import PreProcessing, Record
from lt_lightning.results import sha256_of
from lt_lightning.version import __version__


def describe(record: Record, image: PreProcessing, program: Program) -> dict[str, Any]:
    """What a program's metadata say: all one needs to use it without this package."""
    form = form_of(program.loss)
    scale = "in [0, 1], pixels over 255" if program.normalizes else "normalised by `mean` and `std`"
    return {
        "lt_lightning": __version__,
        "checkpoint": record.path.name,
        "checkpoint_sha256": sha256_of(record.path),
        "epochs": record.epochs,
        "class_names": record.class_names,
        "class_counts": record.class_counts,
        "input": {
            "name": INPUT,
            "shape": ["batch", len(image.mean), image.image_size, image.image_size],
            "dtype": "float32",
            "scale": scale,
        },
        "output": {
            "name": "logits" if program.logits else "probabilities",
            "shape": ["batch", len(record.class_names)],
            "probabilities": form,
            "temperature": program.temperature,
        },
        "pre_processing": {
            "steps": "resize the shorter side (bilinear, antialiased), crop the middle, pixels over 255"
            + ("" if program.normalizes else ", subtract mean, divide by std"),
            **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(image).items()},
            "order": image.order,
            "normalization_included": program.normalizes,
        },
    }
