"""Whether a rule file has the shape that Prometheus reads. Pure.

https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/#rule_group
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from alerts.finding import Code, Finding
from alerts.reading import parse
from alerts.rulefile import Entry, RuleFile, Written, specs
from lightmeter.errors import nearest


TOP = ("groups",)
GROUP = (
    "name",
    "interval",
    "query_offset",
    "limit",
    "labels",
    "rules",
    "partial_response_strategy",
)
"""The last one is Thanos's; the operator's objects know it too."""
RECORD = ("record", "expr", "labels")
ALERT = ("alert", "expr", "for", "keep_firing_for", "labels", "annotations")
_DURATION = re.compile(r"0|(?=\d)(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?")
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__name__$)[a-zA-Z_][a-zA-Z0-9_]*")


def read(name: str, documents: list[Any]) -> RuleFile:
    """Take a file's documents apart into rules; what is no rule becomes a finding."""
    found = RuleFile(name)
    parts = list(specs(documents))
    if documents and not parts:
        found.findings.append(Finding(name, 1, "", "", Code.SHAPE, "there is no rule in this file; begin it with 'groups:'"))  # fmt: skip
    for spec in parts:
        _spec(found, spec)
    return found


def _spec(found: RuleFile, spec: Any) -> None:
    if not isinstance(spec, Entry) or not isinstance(spec.get("groups", ""), list | None):
        line = spec.lines.get("groups", spec.line) if isinstance(spec, Entry) else 1
        found.findings.append(Finding(found.name, line, "", "", Code.SHAPE, "there is no list of 'groups'; begin the file with 'groups:'"))  # fmt: skip
        return
    found.findings += _unknown(spec, TOP, found.name)
    names: set[str] = set()
    for group in spec["groups"] or ():
        _group(found, group, spec.lines["groups"], names)


def _group(found: RuleFile, group: Any, line: int, names: set[str]) -> None:
    if not isinstance(group, Entry):
        found.findings.append(Finding(found.name, line, "", "", Code.SHAPE, f"{_short(group)} is no group; write '- name: ...'"))  # fmt: skip
        return
    found.findings += _group_findings(found.name, group, names)
    names.add(group.text("name"))
    rules = group.get("rules")
    for entry in rules if isinstance(rules, list) else ():
        _rule(found, entry, group)


def _group_findings(file: str, group: Entry, names: set[str]) -> Iterator[Finding]:
    name = group.text("name")

    def says(key: str, message: str, code: Code = Code.SHAPE) -> Finding:
        return Finding(file, group.lines.get(key, group.line), name, "", code, message)

    if not name:
        yield says("name", "the group has no 'name'; give it one")
    elif name in names:
        yield says("name", f"group {name!r} is there twice in this file; Prometheus refuses it")
    if group.get("rules") and not isinstance(group["rules"], list):
        yield says("rules", f"'rules' is {_short(group['rules'])}, not a list")
    yield from _unknown(group, GROUP, file, name)
    for key in ("interval", "query_offset"):
        if group.get(key) and not _is_duration(group[key]):
            yield says(key, _no_duration(key, group[key]), Code.DURATION)


def _rule(found: RuleFile, entry: Any, group: Entry) -> None:
    found.count += 1
    name = group.text("name")
    if not isinstance(entry, Entry):
        line = group.lines["rules"]
        found.findings.append(Finding(found.name, line, name, "", Code.SHAPE, f"{_short(entry)} is no rule; write '- alert: ...' or '- record: ...'"))  # fmt: skip
        return
    rule = Written(found.name, name, entry, group.texts("labels"))
    findings = list(_rule_findings(rule))
    if not any(finding.code == Code.SHAPE for finding in findings):
        try:
            found.rules.append(dataclasses.replace(rule, tree=parse(entry.text("expr"))))
        except ValueError as error:
            findings.append(rule.says(Code.SYNTAX, f"the expression cannot be read: {error}", "expr"))  # fmt: skip
    found.findings += findings


def _rule_findings(rule: Written) -> Iterator[Finding]:
    entry = rule.entry
    if ("alert" in entry) == ("record" in entry):
        both = "both 'alert' and 'record'; make it two rules" if "alert" in entry else "neither 'alert' nor 'record'; name it"  # fmt: skip
        yield rule.says(Code.SHAPE, f"the rule has {both}")
        return
    yield from _unknown(entry, ALERT if rule.is_alert else RECORD, rule.file, rule.group, rule.name)
    for key in ("alert" if rule.is_alert else "record", "expr"):
        if not entry.text(key):
            given = f" is {_short(entry[key])}, not a text" if entry.get(key) else " is missing"
            yield rule.says(Code.SHAPE, f"'{key}'{given}", key)
    if not rule.is_alert and rule.name and not _METRIC.fullmatch(rule.name):
        yield rule.says(Code.SHAPE, f"record {rule.name!r} is no metric name; Prometheus 2 takes letters, digits, _ and :", "record")  # fmt: skip
    for key in ("labels", "annotations"):
        yield from _texts(rule, key)
    for key in ("for", "keep_firing_for"):
        if entry.get(key) and not _is_duration(entry[key]):
            yield rule.says(Code.DURATION, _no_duration(key, entry[key]), key)


def _texts(rule: Written, key: str) -> Iterator[Finding]:
    if rule.entry.get(key) and not isinstance(rule.entry[key], Entry):
        yield rule.says(Code.SHAPE, f"'{key}' is {_short(rule.entry[key])}, not a mapping", key)
    for name, value in rule.entry.texts(key).items():
        if not isinstance(value, str | None):
            yield rule.says(Code.SHAPE, f"{key[:-1]} {name!r} is {_short(value)}, not a text; quote it", key, name)  # fmt: skip
        if not _LABEL.fullmatch(name):
            yield rule.says(Code.SHAPE, f"{name!r} is no name of a {key[:-1]}; Prometheus 2 takes letters, digits and _", key, name)  # fmt: skip


def _unknown(entry: Entry, known: tuple[str, ...], file: str, *where: str) -> Iterator[Finding]:
    for key in entry:
        if key not in known:
            advice = nearest(key, known) or f"; there are {', '.join(known)}"
            group, rule = (*where, "", "")[:2]
            yield Finding(file, entry.lines[key], group, rule, Code.SHAPE, f"unknown key {key!r}: Prometheus refuses the file{advice}")  # fmt: skip


def _is_duration(value: Any) -> bool:
    return isinstance(value, str) and bool(_DURATION.fullmatch(value.strip()))


def _no_duration(key: str, value: Any) -> str:
    return f"'{key}' is {_short(value)}, which is no duration; write it like 90s, 5m or 1h30m"


def _short(value: Any) -> str:
    text = repr(dict(value) if isinstance(value, Entry) else value)
    return text if len(text) < 60 else f"{text[:57]}..."  # noqa: PLR2004  (what a line bears)
