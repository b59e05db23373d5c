"""Objective files: YAML to :class:`Objectives`, every word checked before anything connects.

Errors name the file, the line, the word and what is allowed there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vdibench.errors import ObjectiveError
from vdibench.metrics import REGISTRY
from vdibench.slo.coverage import SUITES
from vdibench.slo.grammar import FIRST_LEVEL, Expectation, Place, parse_expectation, parse_place, unknown
from vdibench.slo.objectives import CONTEXT_KEYS, OBJECTIVES_SCHEMA, Objective, Objectives

__all__ = ["load"]

_TOP = ("schema", "name", "objectives")
_ENTRY = ("expect", "suites", "where", "at", "min_samples")
_FILE_ENDINGS = (".yaml", ".yml")
_FORM = "see docs/reference/objectives.md"


def load(source: Path | str) -> Objectives:
    """Read and check objectives.

    :param source: a path, or the text itself. A one-line text that ends like a YAML file's name is a path.
    :raises ObjectiveError: it cannot be read or understood.
    """
    if isinstance(source, Path) or ("\n" not in source and source.strip().endswith(_FILE_ENDINGS)):
        path = Path(source)
        try:
            return _Loader(path.read_text(encoding="utf-8"), path.name).objectives()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ObjectiveError(f"cannot read objectives from {path}: {reason}", "name a YAML file") from error
    return _Loader(source, "objectives").objectives()


class _Loader:
    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        try:
            self._yaml = yaml.SafeLoader(text)
            self._root = self._yaml.get_single_node()
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ObjectiveError(f"{source}:{line}: not YAML: {error.problem}", "correct the line") from error
        except yaml.YAMLError as error:
            raise ObjectiveError(f"{source}: not YAML: {error}", "correct the file") from error

    def objectives(self) -> Objectives:
        if self._root is None:
            raise ObjectiveError(f"{self._source} is empty", _FORM)
        top = dict(self._items(self._root, "key", _TOP))
        schema = self._plain(top["schema"]) if "schema" in top else None
        if schema != OBJECTIVES_SCHEMA:
            where = top.get("schema", self._root)
            raise self._error(
                where, ObjectiveError(f"schema {schema} is not one this vdibench reads", f"use {OBJECTIVES_SCHEMA}")
            )
        name = self._plain(top["name"]) if "name" in top else Path(self._source).stem
        if not isinstance(name, str):
            raise self._error(top["name"], ObjectiveError("the name is not text", "put it in quotes"))
        if "objectives" not in top:
            raise self._error(self._root, ObjectiveError("there are no objectives", _FORM))
        found: list[Objective] = []
        for metric, node in self._items(top["objectives"], "metric", tuple(REGISTRY)):
            found.extend(self._entries(metric, node))
        if not found:
            raise self._error(top["objectives"], ObjectiveError("there are no objectives", _FORM))
        return Objectives(name, tuple(found), self._text, self._source)

    def _entries(self, metric: str, node: yaml.Node) -> Iterator[Objective]:
        if isinstance(node, yaml.SequenceNode):
            if not node.value:
                raise self._error(node, ObjectiveError(f"{metric} has no expectation", _FORM))
            for entry in node.value:
                yield self._entry(metric, entry)
        else:
            yield self._entry(metric, node)

    def _entry(self, metric: str, node: yaml.Node) -> Objective:
        if isinstance(node, yaml.ScalarNode):
            return self._objective(metric, node, {})
        keys = dict(self._items(node, "key", _ENTRY))
        if "expect" not in keys:
            raise self._error(node, ObjectiveError(f"an entry of {metric} lacks 'expect'", "add one: p(95) < 0.050"))
        return self._objective(metric, keys["expect"], keys)

    def _objective(self, metric: str, expect: yaml.Node, keys: dict[str, yaml.Node]) -> Objective:
        text = self._plain(expect)
        try:
            expectation = parse_expectation(str(text))
            _check(metric, expectation)
        except ObjectiveError as error:
            raise self._error(expect, error) from error
        return Objective(
            metric,
            expectation,
            self._suites(keys.get("suites")),
            self._where(keys.get("where")),
            self._place(expectation, keys.get("at")),
            self._min_samples(keys.get("min_samples")),
            expect.start_mark.line + 1,
        )

    def _suites(self, node: yaml.Node | None) -> tuple[str, ...]:
        names = () if node is None else _listed(self._plain(node))
        for name in names:
            if name not in SUITES:
                raise self._error(node, unknown("suite", str(name), SUITES))
        return tuple(str(name) for name in names)

    def _where(self, node: yaml.Node | None) -> dict[str, tuple[object, ...]]:
        where: dict[str, tuple[object, ...]] = {}
        for key, value in self._items(node, "condition", tuple(CONTEXT_KEYS)) if node is not None else ():
            accepted = _listed(self._plain(value))
            allowed = CONTEXT_KEYS[key]
            for word in accepted:
                # By type too: 1 is not true.
                if allowed is not None and (word, type(word)) not in [(item, type(item)) for item in allowed]:
                    names = [str(item).lower() if isinstance(item, bool) else str(item) for item in allowed]
                    raise self._error(value, unknown(f"value of {key}", str(word), names))
            where[key] = accepted
        return where

    def _place(self, expectation: Expectation, node: yaml.Node | None) -> Place:
        if node is None:
            return expectation.at or FIRST_LEVEL
        if expectation.at is not None:
            raise self._error(
                node, ObjectiveError(f"'at' and {expectation.text!r} both name a level", "name it in one of them")
            )
        try:
            return parse_place(str(self._plain(node)))
        except ObjectiveError as error:
            raise self._error(node, error) from error

    def _min_samples(self, node: yaml.Node | None) -> int:
        if node is None:
            return 1
        value = self._plain(node)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self._error(
                node, ObjectiveError(f"min_samples {value!r} is not a number of samples", "use 1 or more")
            )
        return value

    def _items(self, node: yaml.Node | None, what: str, allowed: tuple[str, ...]) -> Iterator[tuple[str, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            raise self._error(node, ObjectiveError(f"a mapping of {what} to value is missing", _FORM))
        seen: set[str] = set()
        for key_node, value in node.value:
            key = str(self._plain(key_node))
            if key not in allowed:
                raise self._error(key_node, unknown(what, key, allowed))
            if key in seen:
                raise self._error(key_node, ObjectiveError(f"{key!r} stands here twice", "merge the two"))
            seen.add(key)
            yield key, value

    def _plain(self, node: yaml.Node) -> Any:
        try:
            return self._yaml.construct_object(node, deep=True)
        except yaml.MarkedYAMLError as error:
            raise self._error(node, ObjectiveError(f"not plain YAML: {error.problem}", "use plain values")) from error

    def _error(self, node: yaml.Node | None, error: ObjectiveError) -> ObjectiveError:
        line = node.start_mark.line + 1 if node is not None else 1
        return ObjectiveError(f"{self._source}:{line}: {error.cause}", error.remedy)


def _check(metric: str, expectation: Expectation) -> None:
    """What the grammar cannot know: whether expression and metric go together."""
    definition = REGISTRY[metric]
    from_knee = definition.table == ""
    if from_knee != (expectation.statistic is None):
        allowed = "knee_lower_bound" if from_knee else "p(N), avg, min, max, count"
        raise ObjectiveError(f"{expectation.text!r} does not fit {metric}", f"use {allowed}")
    if expectation.relative and metric != "frames_per_second":
        raise ObjectiveError(f"target is a frame rate, {metric} is in {definition.unit}", "write a number")
    counted = expectation.statistic is not None and expectation.statistic.kind == "count"
    if definition.unit == "ratio" and not counted and not 0 <= expectation.bound <= 1:
        raise ObjectiveError(f"{expectation.bound:g} is not a ratio", "write a number from 0 to 1 (0.01 for 1 %)")


def _listed(value: Any) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list) else (value,)
