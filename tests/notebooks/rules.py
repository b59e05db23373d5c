"""What a notebook of ours may be: one parameters cell of literals, one import, calls; no logic, no outputs."""

from __future__ import annotations

import ast
import dataclasses
from typing import Any

import nbformat

__all__ = ["MOST_CODE_CELLS", "problems"]

MOST_CODE_CELLS = 20
# What a cell is made of when it only calls: everything else is logic and belongs into vdibench.suites.
_CALLS = (
    ast.Module,
    ast.Expr,
    ast.Assign,
    ast.Call,
    ast.Attribute,
    ast.Name,
    ast.keyword,
    ast.Constant,
    ast.Load,
    ast.Store,
)


def problems(notebook: nbformat.NotebookNode, parameters: type[Any]) -> list[str]:
    """Everything that is wrong with a notebook whose suite takes ``parameters``; empty when it may be committed."""
    found: list[str] = []
    cells = notebook.cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    if not cells or cells[0].cell_type != "markdown" or not cells[0].source.startswith("# "):
        found.append("the first cell is not a title")
    if len(code) > MOST_CODE_CELLS:
        found.append(f"{len(code)} code cells, at most {MOST_CODE_CELLS}")
    found += [f"cell {cell.id} has outputs" for cell in code if cell.outputs]
    found += [f"cell {cell.id} has an execution count" for cell in code if cell.execution_count is not None]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        return [*found, f"{len(tagged)} cells are tagged parameters"]
    found += _parameter_problems(tagged[0].source, parameters)
    rest = [cell for cell in code if cell is not tagged[0]]
    imports = [node for cell in rest for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.ImportFrom)]
    if [node.module for node in imports] != ["vdibench.suites"]:
        found.append("not exactly one import, from vdibench.suites")
    for cell in rest:
        tree = ast.parse(cell.source)
        if len(tree.body) == 1 and isinstance(tree.body[0], ast.ImportFrom):
            continue
        logic = {type(node).__name__ for node in ast.walk(tree) if not isinstance(node, _CALLS)}
        if logic:
            found.append(f"cell {cell.id} holds logic: {', '.join(sorted(logic))}")
    return found


def _parameter_problems(source: str, parameters: type[Any]) -> list[str]:
    found: list[str] = []
    fields = {item.name: item for item in dataclasses.fields(parameters)}
    written: dict[str, ast.AnnAssign] = {}
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            found.append(f"not an annotated assignment: {ast.unparse(node)}")
            continue
        written[node.target.id] = node
    found += [f"parameter {name} is missing" for name in fields if name not in written]
    for name, node in written.items():
        if name not in fields:
            found.append(f"parameter {name} is unknown to the suite")
            continue
        try:
            value = ast.literal_eval(node.value) if node.value is not None else None
        except ValueError:
            found.append(f"parameter {name} is not a literal")
            continue
        default = fields[name].default
        if value != default or type(value) is not type(default):
            found.append(f"parameter {name} is {value!r}, the suite's default is {default!r}")
        if ast.unparse(node.annotation) != type(default).__name__:
            found.append(f"parameter {name} is annotated {ast.unparse(node.annotation)}")
        _, _, comment = lines[node.end_lineno - 1].partition("  # ") if node.end_lineno else ("", "", "")
        if comment != fields[name].metadata["help"]:
            found.append(f"the comment of parameter {name} is not its help")
    return found
