"""Random numbers that nobody else's draws can change, and torch's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Have torch's own random numbers follow from a seed meanwhile; everybody else's then go on where they were.

    It takes microseconds: unlike ``torch.random.fork_rng`` and ``torch.manual_seed`` it looks for no other devices.

    Args:
        seed: On the processor and on the device.
        device: Where something is computed; a CUDA device has numbers of its own.
    """
    generators = [torch.default_generator]
    if device.type == "cuda":
        generators.append(torch.cuda.default_generators[device.index or 0])
    states = [generator.get_state() for generator in generators]
    for generator in generators:
        generator.manual_seed(seed)
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


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
