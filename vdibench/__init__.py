"""vdibench: validation and benchmark suite for GPU virtual desktops.

Data flows one way: target -> client (+ telemetry) -> samples -> store -> metrics -> verdict -> report.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
