"""Presets by name: ``cifar100_lt/lort`` is a file below ``configs/``. Standard library only."""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from lt_lightning.errors import UsageError

_IN_CHECKOUT = Path(__file__).resolve().parents[1] / "configs"
_IN_WHEEL = Path(__file__).resolve().parent / "configs"


def folder() -> Path:
    """Where the presets lie: beside the package in a checkout (first, so that edits count), inside it in a wheel."""
    return _IN_CHECKOUT if (_IN_CHECKOUT / "quickstart.yaml").is_file() else _IN_WHEEL


def names() -> list[str]:
    """Every preset's name, sorted."""
    return sorted(path.relative_to(folder()).with_suffix("").as_posix() for path in folder().rglob("*.yaml"))


def resolve(value: str) -> str:
    """Path of a preset, or ``value`` itself where it is a file.

    Raises:
        UsageError: If it is neither, with the closest names.
    """
    if Path(value).is_file():
        return value
    preset = folder() / f"{value}.yaml"
    if preset.is_file():
        return str(preset)
    if Path(value).suffix in (".yaml", ".yml"):
        raise UsageError(f"`--config` {value!r} is not a file.")
    close = get_close_matches(value, names(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known presets: {', '.join(names())}."
    raise UsageError(f"`--config` {value!r} is neither a file nor a preset; {hint}")


def name_of(path: str) -> str:
    """The name under which :func:`resolve` would find ``path``; a file elsewhere goes by its stem."""
    resolved = Path(path).resolve()
    if resolved.is_relative_to(folder()):
        return resolved.relative_to(folder()).with_suffix("").as_posix()
    return resolved.stem


def name_among(files: Iterable[str], otherwise: str) -> str:
    """What a run configured by these files is called: its last preset, else its last file, else ``otherwise``."""
    found = [name_of(file) for file in files]
    known = [name for name in found if name in names()]  # a file laid over a preset only changes it
    return (known or found or [otherwise])[-1]
