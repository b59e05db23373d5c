"""The frame checker: a client of vdibench's that says whether a desktop shows a frame on the route that users take."""

__all__ = ["__version__"]

__version__ = "0.1.0"
