"""Time that computing takes on a device which computes while its process goes on."""

import time

import torch


def device_time(device: torch.device) -> float:
    """Seconds, of which differences count, when a device has done all that it was given.

    Args:
        device: A CUDA device is waited for; any other computes before its process goes on, or cannot be asked.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
