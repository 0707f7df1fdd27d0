"""Whether an alert says what it is and whom it is for, and its links lead anywhere. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, unquote, urlsplit

from alerts.finding import Code, Finding
from alerts.rulefile import Written
from alerts.world import World
from lightmeter import catalog
from lightmeter.catalog import Board, Panel
from lightmeter.errors import nearest


PANELS = {(one.board, str(one.number)) for one in vars(catalog).values() if isinstance(one, Panel)}
_OURS = "lightmeter-"
_FENCED = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^ {0,3}#{1,6} +(.+?)(?: +#+)?\s*$", re.MULTILINE)
_LINKED = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_NAMED = re.compile(r"<[^>]+\b(?:id|name)=[\"']([^\"']+)[\"']")


def anchors(markdown: str) -> frozenset[str]:
    """Name the headings of a page as links name them: GitHub's way, and what it names itself.

    https://docs.github.com/en/get-started/writing-on-github#section-links
    """
    text = _FENCED.sub("", markdown)
    found: dict[str, int] = {}
    for heading in _HEADING.findall(text):
        plain = _LINKED.sub(r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    repeated = {f"{slug}-{number}" for slug, last in found.items() for number in range(1, last + 1)}
    return frozenset({*found, *repeated, *_NAMED.findall(text)})


def severity(rule: Written, _: World) -> Iterator[Finding]:
    """See that an alert says whom it wakes."""
    if rule.is_alert and not any("severity" in name for name in rule.labels):
        yield rule.says(Code.SEVERITY, "the alert has no label 'severity' to be routed by; add page, ticket or what your Alertmanager knows", "labels")  # fmt: skip


def link(rule: Written, world: World) -> Iterator[Finding]:
    """See that an alert has a summary and a runbook, and that its links lead to what is there."""
    if not rule.is_alert:
        return
    notes = rule.entry.texts("annotations")
    if not notes.text("summary"):
        yield rule.says(Code.RUNBOOK, "the alert has no annotation 'summary'; say in one sentence what is wrong, with the object and the value", "annotations", "summary")  # fmt: skip
    if not notes.text("runbook_url"):
        yield rule.says(Code.RUNBOOK, "the alert has no annotation 'runbook_url'; link to what to do", "annotations", "runbook_url")  # fmt: skip
    yield from _runbook(rule, notes.text("runbook_url"), world.options.anchors)
    yield from _dashboard(rule, notes.text("dashboard_url"))


def _runbook(rule: Written, url: str, known: frozenset[str] | None) -> Iterator[Finding]:
    anchor = unquote(url.partition("#")[2])
    if known is not None and anchor and "{{" not in anchor and anchor not in known:
        yield rule.says(Code.RUNBOOK, f"the runbook has no heading for #{anchor}{nearest(anchor, known)}", "annotations", "runbook_url")  # fmt: skip


def _dashboard(rule: Written, url: str) -> Iterator[Finding]:
    address = urlsplit(url)
    uid = address.path.partition("/d/")[2].partition("/")[0]
    if "{{" in url or not uid.startswith(_OURS):
        return
    if uid not in list(Board):
        yield rule.says(Code.DASHBOARD, f"there is no dashboard {uid!r}{nearest(uid, map(str, Board))}", "annotations", "dashboard_url")  # fmt: skip
        return
    for number in parse_qs(address.query).get("viewPanel", ()):
        if (uid, number.removeprefix("panel-")) not in PANELS:
            yield rule.says(Code.DASHBOARD, f"dashboard {uid!r} has no panel {number} that links may rely on; there are {', '.join(sorted(known for board, known in PANELS if board == uid))}", "annotations", "dashboard_url")  # fmt: skip
