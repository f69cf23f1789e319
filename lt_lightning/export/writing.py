"""Programs are written, and held against the module before they get their names."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lt_lightning.drafts import put_in_place
from lt_lightning.errors import UsageError
from lt_lightning.export.agreement import TOLERANCE, Differences, differences, logits_apart
from lt_lightning.export.formats import FORMATS, traced
from lt_lightning.export.program import Program
from lt_lightning.results import write_json
from lt_lightning.wording import one_line

_BATCHES = (1, 2, 7)
"""Sizes of the batches of random images on which they are compared."""


def write(program: Program, path: Path, description: dict[str, Any], overwrite: bool = False) -> Differences:
    """Write one program, after its outputs have been compared with the module's.

    Args:
        program: In evaluation mode, on the CPU, in fp32.
        path: Ends in ``.onnx`` or ``.pt2``.
        description: As :func:`describe` makes it; ``input.shape`` is that of the random images.
        overwrite: Whether a file of that name, and the JSON file beside it, are replaced.

    Returns:
        The largest differences from the module, over random images: of probabilities, and of logits over their size.

    Raises:
        UsageError: If a difference is not let through, the network takes no such images, gives numbers that are not
            finite, cannot be traced or is too large for the format, a file exists or cannot be written, or a
            package is missing. No file has changed then.
    """
    check_paths([path], overwrite)
    try:
        return _write(program, path, description, overwrite)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        reason = one_line(error, 300)
        raise UsageError(f"`output` {str(path)!r} cannot be written ({reason}); nothing has changed there.") from error


def _write(program: Program, path: Path, description: dict[str, Any], overwrite: bool) -> Differences:
    path.parent.mkdir(parents=True, exist_ok=True)
    form, shape = FORMATS[path.suffix], description["input"]["shape"][1:]
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        draft, beside = Path(folder) / path.name, Path(folder) / _beside(path).name
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own parts
            _check_outputs(program, shape)
            run = form.write(traced(program, shape), draft, description)
            if len(list(Path(folder).iterdir())) > 1:  # torch parts weights of more than 1.5 GB from an ONNX program
                raise UsageError(
                    f"`output` {str(path)!r} is not written: the network's weights are too large for one such file; "
                    f"write a .pt2 file."
                )
            logits = run
            if not program.logits:
                # A second program, the same but for its end, tells what probabilities hide; it goes with the folder.
                inside = Path(folder) / f"logits.{path.name}"
                logits = form.write(traced(program.giving_logits(), shape), inside, description)
            generator = torch.Generator().manual_seed(0)
            images = [torch.rand(size, *shape, generator=generator) for size in _BATCHES]
            found = differences(program, run, logits, images)
        refusal = found.refusal()
        if refusal is not None:
            raise UsageError(
                f"`output` {str(path)!r} is not written: its outputs would differ from the checkpoint's by {refusal}; "
                f"try the other of .onnx and .pt2, and report this."
            )
        write_json(beside, description)
        for file, place in ((beside, _beside(path)), (draft, path)):
            if not put_in_place(file, place, overwrite):
                raise _taken(place)
    return found


def _check_outputs(program: Program, shape: Sequence[int]) -> None:
    """Find what no program could mend: images that are not taken, outputs that are no numbers or not the module's."""
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    try:
        outputs = program(images)
        by_parts, by_module = (program.scaled_logits(images, whole) for whole in (False, True))
    except Exception as error:  # whatever a backbone of the user's own does
        reason = one_line(error, 300)
        raise UsageError(
            f"`checkpoint` has a network of {type(program.backbone).__name__} that takes no images of shape "
            f"{tuple(shape)} ({reason}); give the `image_size` that it was trained with."
        ) from error
    if not bool(outputs.isfinite().all()):
        raise UsageError(
            f"`checkpoint` gives outputs that are infinite or not a number with `temperature` "
            f"{program.temperature}; give one whose weights are finite, or a `temperature` nearer to 1."
        )
    if not logits_apart(program.loss, by_module, by_parts) <= TOLERANCE:
        raise UsageError(
            "`checkpoint` has a module whose `forward` gives something else than its head on its backbone's features, "
            "which is all that a program holds; do what it does besides in the backbone or the head."
        )


def check_paths(paths: Sequence[Path], overwrite: bool) -> None:
    """Find what would keep a file from being written before anything is computed.

    Raises:
        UsageError: If there is no path, or one is there twice, has no known format, lacks a package, or is taken.
    """
    if not paths:
        raise UsageError("`output` is empty; give a file that ends in .onnx or .pt2.")
    for number, path in enumerate(paths):
        if path in paths[:number]:
            raise UsageError(f"`output` names {str(path)!r} twice; give each file once.")
        if path.suffix not in FORMATS:
            raise UsageError(f"`output` {str(path)!r} must end in {' or '.join(FORMATS)}.")
        missing = FORMATS[path.suffix].missing()
        if missing:
            raise UsageError(
                f"`output` {str(path)!r} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
                f'installed; install with `pip install "lt_lightning[export]"`, or write a .pt2 file.'
            )
        for place in (path, _beside(path)):
            if place.is_dir():
                raise UsageError(f"`output` {str(place)!r} is a folder; give another name.")
            if place.exists() and not overwrite:
                raise _taken(place)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _taken(path: Path) -> UsageError:
    return UsageError(f"`output` {str(path)!r} exists; give another name, or `--overwrite true`.")
