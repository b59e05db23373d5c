"""The only reader and writer of results: run folders, their samples, verdicts and JUnit files.

Writing: :class:`RunFolder`. Reading: :class:`Recording`. Finding and removing: :func:`runs`, :func:`resolve`,
:func:`prune`. Everything that goes wrong is a :class:`vdibench.errors.StoreError`.
"""

from vdibench.store.catalogue import LATEST, REFERENCE, Entry, prune, resolve, runs
from vdibench.store.folder import RunFolder
from vdibench.store.junit import junit_xml
from vdibench.store.parts import frame
from vdibench.store.recording import Recording, Tables
from vdibench.store.redaction import REDACTED, Redactor
from vdibench.store.seal import SEAL_FILE, broken, seal_digest
from vdibench.store.selftests import SELFTEST_FILE, load_selftest, selftest_document, selftest_from
from vdibench.store.subjects import dump_subjects, load_subjects, unmeasured

__all__ = [
    "LATEST",
    "REDACTED",
    "REFERENCE",
    "SEAL_FILE",
    "SELFTEST_FILE",
    "Entry",
    "Recording",
    "Redactor",
    "RunFolder",
    "Tables",
    "broken",
    "dump_subjects",
    "frame",
    "junit_xml",
    "load_selftest",
    "load_subjects",
    "prune",
    "resolve",
    "runs",
    "seal_digest",
    "selftest_document",
    "selftest_from",
    "unmeasured",
]
