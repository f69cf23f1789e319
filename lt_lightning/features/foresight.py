"""How long an extraction will take."""

from lt_lightning.progress import Pace
from lt_lightning.wording import duration

_LOOK = 10.0  # seconds after which the rest is estimated; the first ones go into starting workers
_LONG = 120.0  # seconds; shorter extractions are not announced


class Foresight:
    """Says once, after the first seconds, how long an extraction will take, if that is long.

    Args:
        title: What is going on.
        total: Images to pass.
        views: How many views of each.
        wanted: Whether to print it.
    """

    def __init__(self, title: str, total: int, views: int, wanted: bool) -> None:
        self.title, self.total, self.views, self.wanted = title, total, views, wanted
        self.pace = Pace(_LOOK)

    def advance(self, images: int) -> None:
        """Count images that have passed."""
        if not self.pace.advance(images) or not self.wanted:
            return
        self.wanted = False
        whole = self.pace.seconds_of(self.total)
        if whole > _LONG:
            less = f"; `views` 1 would take {duration(whole / self.views)}" if self.views > 1 else ""
            print(f"{self.title}: about {duration(whole)}{less}", flush=True)
