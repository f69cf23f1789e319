import pytest
import torch


@pytest.fixture
def pictures():
    """Makes RGB images of 32 x 32 pixels, all different."""

    def make(count, seed=0, channels=3):
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, 256, (count, channels, 32, 32), generator=generator, dtype=torch.uint8)

    return make
