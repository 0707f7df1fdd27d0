"""Rule files as their writer has them: every rule with its lines.

Read are Prometheus's own files and the operator's PrometheusRule objects, also several in one file.
https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from promql_parser import Expr

from alerts.finding import Code, Finding
from alerts.reading import NOTHING
from lightmeter.errors import RuleError, explain


class Entry(dict[str, Any]):
    """A mapping that knows the line of each of its keys; a scalar is a text, or None where it is null."""

    line: int = 1
    lines: dict[str, int]

    def text(self, key: str) -> str:
        """Return a text; empty where there is none."""
        value = self.get(key)
        return value.strip() if isinstance(value, str) else ""

    def texts(self, key: str) -> Entry:
        """Return the mapping of texts under a key; empty where there is none."""
        value = self.get(key)
        return value if isinstance(value, Entry) else _empty(self.lines.get(key, self.line))


@dataclass(frozen=True)
class Written:
    """One rule of a file."""

    file: str
    group: str
    entry: Entry
    shared: Entry
    """Labels that its group adds."""
    tree: Expr = NOTHING
    """Its expression."""

    @property
    def is_alert(self) -> bool:
        """Whether it alerts; else it records."""
        return "alert" in self.entry

    @property
    def name(self) -> str:
        """Its alert's or its series' name."""
        return self.entry.text("alert") or self.entry.text("record")

    @property
    def labels(self) -> dict[str, str]:
        """What it adds to the labels of the series, its group's included."""
        own = {**self.shared, **self.entry.texts("labels")}
        return {key: value for key, value in own.items() if isinstance(value, str)}

    def says(self, code: Code, message: str, *path: str) -> Finding:
        """Make a finding about the key that ``path`` leads to."""
        at, line = self.entry, self.entry.line
        for key in path:
            line = at.lines.get(key, line)
            at = at.texts(key)
        return Finding(self.file, line, self.group, self.name, code, message)


@dataclass
class RuleFile:
    """What a file holds, and what its shape is wrong in."""

    name: str
    rules: list[Written] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    count: int = 0
    """Rules in all; ``rules`` lacks those that cannot be read."""


def load(path: Path) -> list[Any]:
    """Read the documents of a file, all mappings as `Entry`.

    Raises:
        RuleError: the file is not there, or is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return [one for one in yaml.load_all(text, Loader=_Loader) if one]
    except OSError as error:
        raise RuleError(f"rule file {str(path)!r} {explain(error)}") from error
    except UnicodeDecodeError as error:
        raise RuleError(f"rule file {str(path)!r} is no text in UTF-8") from error
    except RecursionError as error:
        raise RuleError(f"rule file {str(path)!r} is nested too deeply") from error
    except yaml.YAMLError as error:
        raise RuleError(f"rule file {str(path)!r} is no YAML: {_reason(error)}") from error


def _reason(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}: {problem}" if mark else str(problem)


def specs(documents: list[Any]) -> Iterator[Any]:
    """Find what holds ``groups``: a document itself, or a PrometheusRule's spec; other objects none."""
    for document in documents:
        if not isinstance(document, Entry) or "kind" not in document:
            yield document
        elif document["kind"] == "PrometheusRule":
            yield document.get("spec", _empty(document.line))
        elif str(document["kind"]).endswith("List") and isinstance(document.get("items"), list):
            yield from specs(document["items"])


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # no type information upstream
    """Keeps lines, leaves scalars as they were written, and refuses a key that is there twice."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (upstream's form)
        "<": [("tag:yaml.org,2002:merge", re.compile(r"<<$"))],
        **{
            first: [("tag:yaml.org,2002:null", re.compile(r"(?:~|null)?$"))]
            for first in ("~", "n", "")
        },
    }


def _mapping(loader: Any, node: yaml.MappingNode) -> Entry:
    _once(node)
    loader.flatten_mapping(node)
    found = _empty(node.start_mark.line + 1)
    for key_node, value in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        found[key] = loader.construct_object(value, deep=True)
        found.lines[key] = key_node.start_mark.line + 1
    return found


def _once(node: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag.endswith(":str"):
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark)  # fmt: skip
            seen.add(key.value)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _empty(line: int) -> Entry:
    found = Entry()
    found.line, found.lines = line, {}
    return found
