"""Files that appear whole or not at all: written under another name, then given their own in one step."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from lt_lightning.errors import UsageError

_ADDED = 23
"""Bytes that a draft's name has besides the file's."""
_LONG = 100
"""Bytes of a name above which its draft has no longer one; most file systems allow 255."""


class UnwritableError(UsageError):
    """A file that cannot be written where it was asked for, whatever it would have held."""


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A name beside that of ``path``, free to write to; what still has it at the end is removed, also after an error.

    Nobody else gets the same: a folder may be shared by machines, on which processes have the same numbers.

    Args:
        path: The file that there is to be; its folder is made if need be.

    Raises:
        OSError: If the folder cannot be made.
    """
    draft = path.with_name(f".{_end(path.name)}.{token_hex(8)}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield draft
    finally:
        with suppress(OSError):  # the folder may be gone, or no longer ours to write to
            draft.unlink(missing_ok=True)


def remove_abandoned_drafts(path: Path) -> None:
    """Remove what processes have left that were killed as they wrote; for who knows that nobody writes there now.

    Args:
        path: The file that there was to be; its name may begin with a wildcard.
    """
    for draft in path.parent.glob(f".{_end(path.name)}.*.part"):
        with suppress(OSError):
            draft.unlink()


def _end(name: str) -> str:
    """A name, or the end of a long one: its draft may not be too long where the file itself is not."""
    written = os.fsencode(name)
    return written[_ADDED:].decode(errors="ignore") if len(written) > _LONG else name


@contextmanager
def new_file(path: Path, option: str, overwrite: bool = False) -> Iterator[Path]:
    """A draft to be written to, which then gets its name: a file that is whole, and goes over no other.

    Whoever leaves no draft gets no file, but learns, before what takes long, whether there could be one.

    Args:
        path: The file that there is to be; its folder is made if need be.
        option: What names it, for messages.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        UnwritableError: If there is a file, or no room, or no right to write. Nothing is left behind then.
    """
    if not overwrite:
        require_free(path, option)
    try:
        with draft_of(path) as draft:
            yield draft
            if draft.exists() and not put_in_place(draft, path, overwrite):
                raise _taken(path, option)
    except OSError as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise UnwritableError(
            f"`{option}` {str(path)!r} cannot be written ({reason}); make room or choose another folder."
        ) from error


def check_new_file(path: Path, option: str, endings: Sequence[str], overwrite: bool) -> None:
    """Find what would keep a file from being written before anything is read for it.

    Args:
        path: The file that there is to be.
        option: What names it, for messages; its command also has ``--overwrite``.
        endings: Those that its name may have.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        UsageError: If its name does not end as it should, is that of a run's own file, or is taken.
    """
    if path.suffix not in endings:
        *others, last = endings
        wanted = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"`{option}` {str(path)!r} must end in {wanted}.")
    if path.name == "results.json":
        raise UsageError(f"`{option}` results.json would be taken for a run's own file; give another name.")
    if path.exists() and not overwrite:
        raise UsageError(f"`{option}` {str(path)!r} exists; give another name, or `--overwrite true`.")


def require_free(path: Path, option: str) -> None:
    """Refuse the name of a file that there is.

    Args:
        path: The file that there is to be.
        option: What names it, for messages.

    Raises:
        UnwritableError: If there is one.
    """
    if path.exists():
        raise _taken(path, option)


def _taken(path: Path, option: str) -> "UnwritableError":
    return UnwritableError(f"`{option}` {str(path)!r} already exists and will not be overwritten; give another name.")


def write_text(path: Path, text: str) -> None:
    """Write a whole text file as UTF-8, over another of its name.

    Raises:
        OSError: With the path, if it cannot be written; the file of that name, if there is one, is then as it was.
    """
    with draft_of(path) as draft, naming_in_errors(path):
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)


@contextmanager
def naming_in_errors(path: Path) -> Iterator[None]:
    """Have the system's errors name the file that there is to be: those of writing name none, and others a draft.

    Raises:
        OSError: With the path, in place of one without it.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def put_in_place(draft: Path, path: Path, overwrite: bool = False) -> bool:
    """Give a finished file its name, in one step.

    Args:
        draft: The file, in the folder of ``path``.
        path: Its name.
        overwrite: Whether a file of that name may be replaced.

    Returns:
        Whether it has it; if not, there is another file, and ``draft`` is where it was.
    """
    if overwrite:
        draft.replace(path)
        return True
    try:
        os.link(draft, path)  # unlike a check first, it fails if somebody else is quicker
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if path.exists():
            return False
        draft.replace(path)
        return True
    draft.unlink()
    return True
