"""Features of a frozen backbone, extracted once: over all processes, kept in memory or on disk."""

from lt_lightning.features.extract import ExtractionOptions, extract
from lt_lightning.features.views import Features, Views

__all__ = ["ExtractionOptions", "Features", "Views", "extract"]
