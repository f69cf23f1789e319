"""Configuration files: UTF-8 on every system, where ``-c`` reads and a run writes them; paths may begin with ``~``.

Else jsonargparse would take the encoding of the system, which on Windows is another.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ActionConfigFile, ArgumentParser, Namespace  # type: ignore[attr-defined]  # not in its __all__
from jsonargparse.typing import Path_fr, register_type
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks.timer import Interval
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_warn

from lt_lightning import home, presets
from lt_lightning.drafts import write_text
from lt_lightning.errors import UsageError
from lt_lightning.long_lists import allow_long_lists

# The default of an argument of Lightning's `Timer`, which YAML does not know.
yaml.SafeDumper.add_representer(Interval, lambda dumper, value: dumper.represent_str(str(value.value)))

# The default of an argument of Lightning's `StochasticWeightAveraging`; torch refuses a word with a RuntimeError.
register_type(
    torch.device, serializer=str, deserializer=torch.device, deserializer_exceptions=(RuntimeError, TypeError)
)

# Text where a function may stand as well, as for `pruning_fn` of Lightning's `ModelPruning`, jsonargparse takes for a
# function that it cannot name.
with suppress(ImportError, AttributeError):  # no part of its interface: without it, `lost_values` finds such text
    from jsonargparse import _typehints

    _path_of: Callable[[Any], Any] = _typehints.serialize_as_import_path
    _typehints.serialize_as_import_path = lambda value: value if isinstance(value, str) else _path_of(value)

_LOST = "Unable to serialize instance "
"""What jsonargparse writes in the place of a value that it cannot write, before Python's words for that."""


def lost_values(settings: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Values that got lost when settings were written.

    Args:
        settings: As they were read again.
        key: Of the settings, where they are a part.

    Yields:
        The key of each, as in an error, and Python's words for it.
    """
    if isinstance(settings, str) and settings.startswith(_LOST):
        yield key.replace("init_args.", ""), settings.removeprefix(_LOST)
    named = enumerate(settings) if isinstance(settings, list) else ()
    for name, value in settings.items() if isinstance(settings, Mapping) else named:
        yield from lost_values(value, f"{key}.{name}" if key else str(name))


class _Quoting(yaml.SafeDumper):
    """Puts all text into quotes. PyYAML has none around ``1e4``, which jsonargparse takes for a number."""


_Quoting.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


STRICT: dict[str, Any] = {"exit_on_error": False, "allow_abbrev": False}
"""Of every parser: it raises its errors, and takes no option cut short, which :mod:`resuming` would not find."""


class ConfigFile(ActionConfigFile):
    """``-c`` of every command: a configuration file with all that it stacks, or the name of a preset."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: Any) -> None:
        """Take a file's settings over; the home folder stands for ``~`` at the start of a value.

        Raises:
            UsageError: If there is no such file or preset, or it cannot be read.
        """
        path = presets.resolve(str(value))
        apply_settings(parser, cfg, dest, path, presets.load(path))


def command_parser(
    command: str, description: str, config_help: str, action: type[ConfigFile] = ConfigFile
) -> LightningArgumentParser:
    """The parser of one of our commands, which so far has ``-c`` alone.

    Args:
        command: Its name.
        description: What it does, for its help.
        config_help: What ``-c`` takes.
        action: Takes the settings of ``-c`` over.
    """
    allow_long_lists()
    parser = LightningArgumentParser(prog=f"lt-lightning {command}", description=description, **STRICT)
    parser.add_argument("-c", "--config", action=action, help=config_help)
    return parser


def apply_settings(parser: ArgumentParser, cfg: Namespace, dest: str, path: str, settings: Any) -> None:
    """Do as jsonargparse does with the file at ``path``, had it these settings."""
    if not isinstance(settings, Mapping):
        raise UsageError(f"`--config` {path!r} holds no settings but {settings!r}.")
    for key, value in lost_values(settings):
        raise UsageError(
            f"`--config` {path!r} lacks the value of `{key}`, which was {value} and could not be written; give it, or "
            f"remove the key."
        )
    with Path_fr(path).relative_path_context():
        ActionConfigFile.apply_config(parser, cfg, dest, yaml.dump(settings, Dumper=_Quoting, sort_keys=False))
    cfg[dest][-1] = path  # jsonargparse took it for settings without a file
    _expand(cfg)


def _expand(value: Any) -> Any:
    """Settings with the home folder in the place of ``~``, changed in place but for strings."""
    if isinstance(value, str):
        return home.expanded(value)
    held = vars(value) if isinstance(value, Namespace) else value
    if isinstance(held, dict):
        held.update({key: _expand(part) for key, part in held.items()})
    elif isinstance(held, list):
        held[:] = map(_expand, held)
    return value


class SaveConfig(SaveConfigCallback):
    """Lightning's, but that ``config.yaml`` is UTF-8, and says what it lacks; at an address it is as Lightning's."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it into the run's folder, the first time."""
        folder = trainer.log_dir  # broadcast from the first process: every one must ask
        if folder is None or "://" in folder:
            super().setup(trainer, pl_module, stage)
        elif trainer.is_global_zero and not self.already_saved:
            text = self.parser.dump(self.config, skip_none=False)
            for key, value in lost_values(yaml.safe_load(text)):
                rank_zero_warn(
                    f"`{self.config_filename}` of this run lacks the value of `{key}`, which is {value} and cannot be "
                    f"written: to run it again, give it there, or remove the key for its default."
                )
            write_text(Path(folder) / self.config_filename, text)
        self.already_saved = True
