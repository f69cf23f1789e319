"""``export``: one of our checkpoints as an ONNX file or a ``torch.export`` program that needs no Lightning.

The program takes images ``(N, C, H, W)``, fp32 in [0, 1], any N, cut to the size that its description names, and
gives probabilities ``(N, K)``. Normalisation is inside, so whoever calls it only divides pixels by 255. Class names,
pre-processing, version and the checkpoint's SHA-256 are in the file, and in a JSON file beside it. Before a file gets
its name, its outputs are held against those of the module.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]  # not in its __all__
from torch import Tensor, nn

from lt_lightning.errors import UsageError
from lt_lightning.interruption import interruptible
from lt_lightning.losses import Loss
from lt_lightning.losses.form import form_of
from lt_lightning.main import sentences
from lt_lightning.modules import LTModule
from lt_lightning.quiet import quiet
from lt_lightning.records import PreProcessing, Record, read_record
from lt_lightning.results import put_in_place, write_json
from lt_lightning.version import __version__

TOLERANCE = 1e-4
"""Largest difference between a program's outputs and the module's that is let through."""

_BATCHES = (1, 2, 7)
"""Sizes of the batches of random images on which they are compared."""
_INPUT, _METADATA = "images", "metadata.json"


class Classifier(nn.Module):
    """A trained module as one function of images, without what training needs.

    Args:
        module: Stage 1 or 2.
        image: How its images were normalised; ``None`` if they come normalised.
        temperature: Divides the logits.
        logits: Whether logits are given, times the loss's scale and over the temperature, instead of probabilities.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, module: LTModule, image: PreProcessing | None, temperature: float, logits: bool) -> None:
        super().__init__()
        self.backbone = module.backbone
        self.head = module.head
        self.loss: Loss = module.loss
        self.normalizes = image is not None
        self.temperature = temperature
        self.logits = logits
        if image is not None:
            self.register_buffer("mean", torch.tensor(image.mean)[:, None, None])
            self.register_buffer("std", torch.tensor(image.std)[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` to ``(N, K)``, in fp32."""
        if self.normalizes:
            images = (images - self.mean) / self.std
        logits = self.head.predict(self.backbone(images)) / self.temperature
        return logits * self.loss.logit_scale if self.logits else self.loss.probabilities(logits)


def main(argv: Sequence[str]) -> None:
    """Run ``export``.

    Args:
        argv: ``export`` and its options, as on the command line.
    """
    parser = ArgumentParser(
        prog="lt-lightning export", description="A checkpoint as ONNX or torch.export.", exit_on_error=False
    )
    parser.add_argument("-c", "--config", action=ActionConfigFile, help="A YAML file of these options.")
    parser.add_function_arguments(export)
    # Lightning's commands, `predict` among them, call the checkpoint --ckpt_path.
    words = [f"--checkpoint{word[11:]}" if word.split("=")[0] == "--ckpt_path" else word for word in argv[1:]]
    with sentences("export"):
        options = parser.parse_args(words)
    options.pop("config")
    quiet()
    with interruptible("files that were finished before are whole, and no others are left; run the command again."):
        export(**options.as_dict())


def export(
    checkpoint: str,
    output: str | list[str],
    include_normalization: bool = True,
    logits: bool = False,
    temperature: float = 1.0,
    image_size: int | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a checkpoint as a program, or as several.

    Args:
        checkpoint: A ``last.ckpt`` of stage 1 or 2 that the command line trained.
        output: File, or list of files, that end in ``.onnx`` (needs onnx, onnxscript and onnxruntime) or ``.pt2``. A
            JSON file of the same name is put beside each.
        include_normalization: Whether images are taken in [0, 1] and normalised inside; otherwise they come normalised.
        logits: Whether logits are given instead of probabilities.
        temperature: Divides the logits, for honest confidences; ``lt-lightning predict --temperature auto`` finds it.
        image_size: Side of the images, in pixels; the checkpoint's by default.
        mean: Mean of each channel on the scale of [0, 1]; the checkpoint's by default.
        std: Standard deviation of each channel; the checkpoint's by default.
        overwrite: Whether files that exist are replaced.

    Returns:
        The programs.

    Raises:
        UsageError: If an option or the checkpoint does not serve, a file exists, a package is missing, or a program's
            outputs are not the module's. Nothing half-written is left.
    """
    paths = [Path(path) for path in ([output] if isinstance(output, str) else output)]
    _check_paths(paths, overwrite)
    if not 0 < temperature < float("inf"):
        raise UsageError(f"`temperature` must be above 0 and finite, but got {temperature}.")
    record = read_record(checkpoint)
    image = record.pre_processing(image_size, mean, std)
    module = rebuild(record)
    classifier = Classifier(module, image if include_normalization else None, temperature, logits).eval()
    description = describe(record, image, classifier)
    for path in paths:
        difference = write(classifier, path, description, overwrite)
        print(f"{path} written: its outputs differ from the checkpoint's by {difference:.1e} at most")
    return paths


def rebuild(record: Record) -> LTModule:
    """The module that a checkpoint holds, with its weights, in evaluation mode and without gradients.

    Args:
        record: Of a checkpoint that the command line trained: its hyper-parameters are class paths and plain values.

    Raises:
        UsageError: If they are not, or no longer make a module that takes the weights.
    """
    place = f"`checkpoint` {str(record.path)!r}"
    if record.model is None:
        raise UsageError(
            f"{place} holds a model that was made in Python, so it cannot say what it is made of; make the module in "
            f"Python, load the weights, and call `lt_lightning.export.write`."
        )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--model", type=LTModule)
    arguments = {**record.model["init_args"], "compile": "none"}
    try:
        parsed = parser.parse_object({"model": {**record.model, "init_args": arguments}})
        module = cast(LTModule, parser.instantiate_classes(parsed).model)
        module.load_state_dict(record.tensors)
    except Exception as error:  # a class of the user's own may raise anything
        if isinstance(error, UsageError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise UsageError(
            f"{place} cannot be made into a {record.model['class_path']} again ({reason}); use the version of the "
            f"package, and of parts of your own, that trained it."
        ) from error
    return module.eval().requires_grad_(False)


def describe(record: Record, image: PreProcessing, classifier: Classifier) -> dict[str, Any]:
    """What a program's metadata say: all one needs to use it without this package."""
    form = form_of(classifier.loss)
    scale = "in [0, 1], pixels over 255" if classifier.normalizes else "normalised by `mean` and `std`"
    return {
        "lt_lightning": __version__,
        "checkpoint": record.path.name,
        "checkpoint_sha256": _sha256(record.path),
        "epochs": record.epochs,
        "class_names": record.class_names,
        "class_counts": record.class_counts,
        "input": {
            "name": _INPUT,
            "shape": ["batch", len(image.mean), image.image_size, image.image_size],
            "dtype": "float32",
            "scale": scale,
        },
        "output": {
            "name": "logits" if classifier.logits else "probabilities",
            "shape": ["batch", len(record.class_names)],
            "probabilities": form,
            "temperature": classifier.temperature,
        },
        "pre_processing": {
            "steps": "resize the shorter side (bilinear, antialiased), crop the middle, pixels over 255"
            + ("" if classifier.normalizes else ", subtract mean, divide by std"),
            **{key: list(value) if isinstance(value, tuple) else value for key, value in asdict(image).items()},
            "order": image.order,
            "normalization_included": classifier.normalizes,
        },
    }


def write(classifier: Classifier, path: Path, description: dict[str, Any], overwrite: bool = False) -> float:
    """Write one program, after its outputs have been compared with the module's.

    Args:
        classifier: In evaluation mode, on the CPU, in fp32.
        path: Ends in ``.onnx`` or ``.pt2``.
        description: As :func:`describe` makes it; ``input.shape`` is that of the random images.
        overwrite: Whether a file of that name, and the JSON file beside it, are replaced.

    Returns:
        The largest difference between an output and the module's, over random images.

    Raises:
        UsageError: If the difference is above :data:`TOLERANCE`, the network cannot be traced, a file exists or cannot
            be written, or a package is missing. No file has changed then.
    """
    _check_paths([path], overwrite)
    try:
        return _write(classifier, path, description, overwrite)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        reason = " ".join(str(error).split())[:300]
        raise UsageError(f"`output` {str(path)!r} cannot be written ({reason}); nothing has changed there.") from error


def _write(classifier: Classifier, path: Path, description: dict[str, Any], overwrite: bool) -> float:
    path.parent.mkdir(parents=True, exist_ok=True)
    form, shape = _FORMS[path.suffix], description["input"]["shape"][1:]
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        draft, beside = Path(folder) / path.name, Path(folder) / _beside(path).name
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own parts
            run = form.write(_traced(classifier, shape), draft, description)
            difference = _difference(classifier, run, shape)
        if not difference <= TOLERANCE:
            raise UsageError(
                f"`output` {str(path)!r} is not written: its outputs would differ from the checkpoint's by "
                f"{difference:.1e}, more than {TOLERANCE:.0e}; try the other of .onnx and .pt2, and report this."
            )
        write_json(beside, description)
        for file, place in ((beside, _beside(path)), (draft, path)):
            if not put_in_place(file, place, overwrite):
                raise _taken(place)
    return difference


@dataclass(frozen=True)
class _Form:
    """One of the formats."""

    write: Callable[[torch.export.ExportedProgram, Path, dict[str, Any]], Callable[[Tensor], Tensor]]
    """Writes a program with its description, and gives back what the file computes."""
    packages: tuple[str, ...] = ()


def _traced(classifier: Classifier, shape: Sequence[int]) -> torch.export.ExportedProgram:
    images = torch.rand(2, *shape)  # of one image, tracing would take the batch size for a constant
    try:
        return torch.export.export(
            classifier, (images,), dynamic_shapes={_INPUT: {0: torch.export.Dim("batch")}}, strict=False
        )
    except Exception as error:  # whatever a backbone of the user's own does that cannot be traced
        parts = f"{type(classifier.backbone).__name__} and {type(classifier.head).__name__}"
        raise UsageError(
            f"`checkpoint` has a network of {parts} that torch.export cannot trace with batches of any size "
            f"({' '.join(str(error).split())[:300]}); write its forward pass in plain tensor operations."
        ) from error


def _write_program(program: torch.export.ExportedProgram, path: Path, description: dict[str, Any]) -> Any:
    torch.export.save(program, path, extra_files={_METADATA: json.dumps(description)})
    return torch.export.load(path).module()


def _write_onnx(program: torch.export.ExportedProgram, path: Path, description: dict[str, Any]) -> Any:
    onnxruntime = import_module("onnxruntime")
    output = description["output"]["name"]
    made = torch.onnx.export(program, dynamo=True, verbose=False, input_names=[_INPUT], output_names=[output])
    assert made is not None
    for key, value in description.items():
        made.model.metadata_props[key] = value if isinstance(value, str) else json.dumps(value)
    made.save(str(path))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: torch.from_numpy(session.run([output], {_INPUT: images.numpy()})[0])


_FORMS = {
    ".onnx": _Form(_write_onnx, ("onnx", "onnxscript", "onnxruntime")),
    ".pt2": _Form(_write_program),
}


def _difference(classifier: Classifier, run: Callable[[Tensor], Tensor], shape: Sequence[int]) -> float:
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for size in _BATCHES:
        images = torch.rand(size, *shape, generator=generator)
        expected, found = classifier(images), run(images)
        if found.shape != expected.shape or not bool(expected.isfinite().all()):
            return float("inf")
        worst = max(worst, float((found - expected).abs().max()))
    return worst


def _check_paths(paths: Sequence[Path], overwrite: bool) -> None:
    """Find what would keep a file from being written before anything is computed."""
    if not paths:
        raise UsageError("`output` is empty; give a file that ends in .onnx or .pt2.")
    for path in paths:
        if path.suffix not in _FORMS:
            raise UsageError(f"`output` {str(path)!r} must end in {' or '.join(_FORMS)}.")
        missing = [name for name in _FORMS[path.suffix].packages if not _is_installed(name)]
        if missing:
            raise UsageError(
                f"`output` {str(path)!r} needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
                f'installed; install with `pip install "lt_lightning[export]"`, or write a .pt2 file.'
            )
        for place in (path, _beside(path)):
            if place.exists() and not overwrite:
                raise _taken(place)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _taken(path: Path) -> UsageError:
    return UsageError(f"`output` {str(path)!r} exists; give another name, or `--overwrite true`.")


def _is_installed(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
