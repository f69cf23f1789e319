"""The version, in a module of its own, so that whatever records it need not import the package's face."""

__version__ = "0.1.0"
