"""Evidence: a verified run becomes the operator's chart, and anyone can check later that it did.

::

    run folder ──verification──┐
    manifests/ ──templates, parts──> graduated/*.yaml ──equality──> chart ──statement, signing──> evidence
"""

__all__: list[str] = []
