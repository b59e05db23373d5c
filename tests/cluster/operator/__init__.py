"""The operator on a lab cluster, which its fixtures share as a package."""
