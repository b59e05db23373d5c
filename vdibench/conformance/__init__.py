"""Do a cluster's NetworkPolicies hold? Each edge is tried from a real pod, by content, against what should be.

See ``docs/howto/check-policies.md`` and, for why it is done so, ``docs/design/conformance.md``.
"""

from vdibench.conformance.edges import Door, Edge, Expected, Places, Source, StandIn, edges
from vdibench.conformance.judgement import NO_ENGINE, Judgement, Opening, Row, Try, judge
from vdibench.conformance.pods import Platform
from vdibench.conformance.run import Options, check_policies, outside

__all__ = [
    "NO_ENGINE",
    "Door",
    "Edge",
    "Expected",
    "Judgement",
    "Opening",
    "Options",
    "Places",
    "Platform",
    "Row",
    "Source",
    "StandIn",
    "Try",
    "check_policies",
    "edges",
    "judge",
    "outside",
]
