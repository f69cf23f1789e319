"""Features of a frozen backbone, extracted once: over all processes, kept on disk, in the place of images."""

from lt_lightning.features.data import FeaturesLT
from lt_lightning.features.extract import ExtractionOptions, extract
from lt_lightning.features.views import Features, Views

__all__ = ["ExtractionOptions", "Features", "FeaturesLT", "Views", "extract"]
