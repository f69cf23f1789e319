"""Presets by name: ``cifar100_lt/lort`` is a file below ``configs/``. Standard library only, until a file is read.

A file may lie on top of others, which states what they share once:

.. code-block:: yaml

    stack: [cifar100_lt/lort, mine.yaml]    # presets, fragments of configs/shared, files beside this one
    trainer: {max_epochs: 40}               # what follows comes over them

Later settings win. Dictionaries merge key by key, except that another ``class_path`` replaces the whole part, as does
anything that is no dictionary; a list under ``key+`` is appended to the list under ``key``. Below a key, such as a
stage of a pipeline, ``stack`` brings the named files in there (not below ``init_args``, whose keys are the classes').
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lt_lightning import home
from lt_lightning.errors import UsageError
from lt_lightning.wording import did_you_mean, one_line

STACK = "stack"
FRAGMENTS = "shared/"
"""Below ``configs/``: what presets are made of, no presets themselves."""

_YAML = (".yaml", ".yml")
_ARGUMENTS = "init_args"
"""Below it stand arguments of classes, one of which may have the name ``stack``."""

_IN_CHECKOUT = Path(__file__).resolve().parents[1] / "configs"
_IN_WHEEL = Path(__file__).resolve().parent / "configs"


def folder() -> Path:
    """Where the presets lie: beside the package in a checkout (first, so that edits count), inside it in a wheel."""
    return _IN_CHECKOUT if (_IN_CHECKOUT / "quickstart.yaml").is_file() else _IN_WHEEL


def names() -> list[str]:
    """Every preset's name, sorted."""
    return [name for name in _files() if not name.startswith(FRAGMENTS)]


def _files() -> list[str]:
    """Presets and fragments."""
    return sorted(path.relative_to(folder()).with_suffix("").as_posix() for path in folder().rglob("*.yaml"))


def resolve(value: str) -> str:
    """Path of a preset, or ``value`` itself where it is a file.

    Raises:
        UsageError: If it is neither, with the closest names.
    """
    value = home.expanded(value)
    if Path(value).is_file():
        return value
    preset = folder() / f"{value}.yaml"
    if preset.is_file():
        return str(preset)
    if Path(value).suffix in _YAML:
        raise UsageError(f"`--config` {value!r} is not a file; give the path of one, or the name of a preset.")
    raise UsageError(f"`--config` {value!r} is neither a file nor a preset; {_hint(value, names())}")


def _hint(value: str, known: list[str]) -> str:
    folder = f"{value.strip('/')}/"
    inside = [name.removeprefix(folder).partition("/") for name in known if name.startswith(folder)]
    if inside:
        return f"in that folder are {', '.join(dict.fromkeys(name + separator for name, separator, _ in inside))}."
    lower = value.lower()
    namesakes = [name for name in known if name.rpartition("/")[2] == lower.rpartition("/")[2]]
    question = did_you_mean(lower, namesakes, cutoff=0) or did_you_mean(lower, known, cutoff=0.4)
    if question:
        return question
    places = dict.fromkeys(name.rpartition("/")[0] for name in known if "/" in name)
    return f"known presets: quickstart and those in {', '.join(places)}; the name of a folder lists what is in it."


def load(value: str) -> Any:
    """What a preset or file sets, with what it stacks merged in: a dictionary, unless the file holds something else.

    Args:
        value: As for :func:`resolve`.

    Raises:
        UsageError: If it or what it stacks is not found, is no valid YAML, or stacks itself.
    """
    return _load(Path(resolve(value)), ())


def _read_text(path: Path) -> str:
    """Text of a configuration file, without the mark that editors on Windows put in front.

    Raises:
        UsageError: If it is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"`--config` {str(path)!r} is not text in UTF-8 ({error}); save it as that.") from error


def merge(below: Any, above: Any) -> Any:
    """Lay one setting over another, by the rules at the top of this page; neither is changed."""
    if not isinstance(above, Mapping):
        return above
    if isinstance(below, str) and "class_path" not in above and "init_args" in above:
        below = {"class_path": below}  # `loss: LORTLoss` is short for it
    if (
        not isinstance(below, Mapping)
        or len({part["class_path"] for part in (below, above) if "class_path" in part}) > 1
    ):
        return dict(above)
    merged = dict(below)
    for key, value in above.items():
        name = str(key).removesuffix("+")
        if name != key and isinstance(merged.get(name), list) and isinstance(value, list):
            merged[name] = merged[name] + value
        elif name != key and isinstance(merged.get(key), list) and isinstance(value, list):
            merged[key] = merged[key] + value
        else:
            merged.pop(f"{key}+", None)
            merged[key] = merge(merged.get(key), value)
    return merged


def _load(path: Path, above: tuple[Path, ...]) -> Any:
    if path.resolve() in above:
        circle = [*above[above.index(path.resolve()) :], path.resolve()]
        raise UsageError(f"`{STACK}` goes in a circle: {' > '.join(map(_shown, circle))}; take one of them out.")
    return _expand(_read(path), path, (*above, path.resolve()))


def _expand(content: Any, path: Path, above: tuple[Path, ...]) -> Any:
    """``content`` of the file at ``path``, each ``stack`` in it replaced by what it names."""
    if not isinstance(content, Mapping):
        return content
    merged: Any = {}
    for name in _stacked_names(content.get(STACK, []), path):
        merged = merge(merged, _load_stacked(name, path, above))
    for key, value in content.items():
        if key != STACK:
            merged = merge(merged, {key: value if key == _ARGUMENTS else _expand(value, path, above)})
    return merged


def _stacked_names(names: Any, path: Path) -> list[str]:
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise UsageError(f"`{STACK}` of {_shown(path)} must be a list of presets or YAML files, but is {names!r}.")
    return listed


def _load_stacked(name: str, path: Path, above: tuple[Path, ...]) -> Any:
    is_file = Path(name).suffix in _YAML
    found = path.parent / home.expanded(name) if is_file else folder() / f"{name}.yaml"
    if not found.is_file():
        reason = (
            f"which is not a file in {_shown(path.parent)}."
            if is_file
            else f"which is no preset; {_hint(name, _files())}"
        )
        raise UsageError(f"`{STACK}` of {_shown(path)} names {name!r}, {reason}")
    content = _load(found, above)
    if not isinstance(content, Mapping):
        raise UsageError(f"`{STACK}` of {_shown(path)} names {name!r}, which holds no settings but {content!r}.")
    return content


def _read(path: Path) -> Any:
    import yaml  # here, so that names are looked up with the standard library alone
    from jsonargparse import get_loader  # for which 1e-3 is a number, unlike for PyYAML

    try:
        return get_loader("yaml")(_read_text(path))
    except yaml.YAMLError as error:
        raise UsageError(f"`--config` {str(path)!r} is not valid YAML: {one_line(error)}.") from error


def _shown(path: Path) -> str:
    return repr(name_of(str(path)) if path.resolve().is_relative_to(folder()) else str(path))


def name_of(path: str) -> str:
    """The name under which :func:`resolve` would find ``path``.

    A file elsewhere goes by its stem; what a run has left as ``config.yaml`` by what that run was called, for it is the
    same experiment when it is done again, with another seed for instance.
    """
    resolved = Path(path).resolve()
    if resolved.is_relative_to(folder()):
        return resolved.relative_to(folder()).with_suffix("").as_posix()
    return (_name_in_results(resolved.parent) if resolved.name == "config.yaml" else None) or resolved.stem


def _name_in_results(run: Path) -> str | None:
    try:
        record = json.loads((run / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    found = record.get("preset") if isinstance(record, dict) else None
    return found if isinstance(found, str) else None


def name_among(files: Iterable[str], otherwise: str) -> str:
    """What a run configured by these files is called: its last preset, else its last file, else ``otherwise``."""
    found, presets = [name_of(file) for file in files], names()
    known = [name for name in found if name in presets]  # a file laid over a preset only changes it
    return (known or found or [otherwise])[-1]
