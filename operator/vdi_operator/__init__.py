"""The operator of vdibench's desktops: a VDISession becomes a desktop that shows its first frame, or says why not."""

__all__ = ["__version__"]

__version__ = "0.1.0"
