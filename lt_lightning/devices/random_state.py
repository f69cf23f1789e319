"""Random numbers that nobody else's draws can change."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


class RandomState:
    """A stream of torch's random numbers, on the processor and on the device where something is computed.

    Args:
        seed: Where it starts, on both.
        device: Of what is computed; a CUDA device has numbers of its own.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self._devices = [device] if device.type == "cuda" else []
        everywhere = [torch.device("cpu"), *self._devices]
        self._states = [torch.Generator(each).manual_seed(seed).get_state() for each in everywhere]

    @contextmanager
    def drawn_from(self) -> Iterator[None]:
        """Have what is drawn meanwhile come from here, and go on from there the next time.

        Afterwards the states of everybody else are what they were.
        """
        with torch.random.fork_rng(devices=self._devices):
            of_processor, *of_devices = self._states
            torch.set_rng_state(of_processor)
            for device, state in zip(self._devices, of_devices, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield
            self._states = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self._devices)]
