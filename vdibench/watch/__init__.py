"""One desktop, live: what ``vdibench watch`` shows, prints and exposes. Joins as viewer: sends no settings, no input.

Runs on any system: nothing here needs the lab.
"""

from vdibench.watch.exposition import Exposition, serve
from vdibench.watch.gauge import Gauge
from vdibench.watch.lines import JsonLines, StateLines, TextLines
from vdibench.watch.monitor import Monitor, Output
from vdibench.watch.options import ListenAddress, WatchOptions, parse_listen
from vdibench.watch.reading import Down, Reading, SessionFacts, Summary
from vdibench.watch.screen import Screen

__all__ = [
    "Down",
    "Exposition",
    "Gauge",
    "JsonLines",
    "ListenAddress",
    "Monitor",
    "Output",
    "Reading",
    "Screen",
    "SessionFacts",
    "StateLines",
    "Summary",
    "TextLines",
    "WatchOptions",
    "parse_listen",
    "serve",
]
