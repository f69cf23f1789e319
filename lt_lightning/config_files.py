"""``-c``: configuration files, in which a path may begin with ``~``."""

from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace  # type: ignore[attr-defined]  # not in its __all__

from lt_lightning import home


class ConfigFile(ActionConfigFile):
    """``-c`` of every command: jsonargparse's, with the home folder in the place of ``~`` at the start of a value."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: Any) -> None:
        """Do as jsonargparse does, then expand what has been read."""
        ActionConfigFile.apply_config(parser, cfg, dest, value)
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
