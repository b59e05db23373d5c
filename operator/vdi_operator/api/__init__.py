"""The API group ``vdibench.io/v1alpha1``: its kinds as values, its schema, its closed list of reasons. Pure."""

__all__: list[str] = []
