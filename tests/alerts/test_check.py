"""``lightmeter rules check``: each kind of mistake is found, and what is right is left alone."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from alerts import packs
from alerts.check import check, headings
from alerts.finding import Code, Finding
from alerts.objectives import Money, Slo
from alerts.render import prometheus, prometheus_rule
from alerts.world import Options
from lightmeter.errors import RuleError
from support.cli import lightmeter


NOTES = {"summary": "It is so.", "runbook_url": "http://books/runbook#mine"}
FOUND = {
    "syntax": ("sum(up", "syntax", "unclosed left parenthesis"),
    "nested": ("(" * 1100 + "up" + ")" * 1100 + " == 0", "syntax", "brackets and signs"),
    "deep": ("abs(" * 300 + "up" + ")" * 300 + " == 0", "syntax", "302 deep"),
    "metric": ("lightmeter_request_total == 0", "metric", "did you mean lightmeter_requests_total?"),
    "recorded": ("lightmeter:slo_eror_ratio:1h > 1", "metric", "is recorded by none of these files; did you mean lightmeter:slo_error_ratio:1h?"),
    "by regex": ('{__name__=~"up|lightmeter_request_total"} == 0', "metric", "lightmeter_requests_total"),
    "histogram": ("rate(lightmeter_stage_duration_seconds[5m]) > 1", "metric", "lightmeter_stage_duration_seconds_bucket"),
    "suffix of a gauge": ("lightmeter_queue_depth_count > 1", "metric", "lightmeter_queue_depth"),
    "misspelt DCGM": ("DCGM_FI_DEV_GPU_TEMPS > 90", "metric", "misspelling of DCGM_FI_DEV_GPU_TEMP"),
    "shortened DCGM": ("DCGM_FI_DEV_ECC_DBE_VOL > 0", "metric", "misspelling of DCGM_FI_DEV_ECC_DBE_VOL_TOTAL"),
    "misspelt host": ("rate(node_cpu_second_total[5m]) > 1", "metric", "misspelling of node_cpu_seconds_total"),
    "label": ('lightmeter_queue_depth{prority="batch"} > 9', "label", "no label 'prority'; did you mean 'priority'?"),
    "label of DCGM": ('DCGM_FI_DEV_FB_USED{modelNames="x"} > 9', "label", "did you mean 'modelName'?"),
    "value": ('lightmeter_workers{state="redy"} > 1', "label", "state='redy'; did you mean 'ready'?"),
    "value in a pattern": ('lightmeter_workers{state=~"ready|bussy"} > 1', "label", "state='bussy'; did you mean 'busy'?"),
    "pattern": ('lightmeter_workers{state=~"re.*|idl.+"} > 1', "label", "state='idl.+'"),
    "bound": ('rate(lightmeter_feedback_score_bucket{le="2.4"}[5m]) > 1', "label", "the nearest bound is 2"),
    "by": ("sum by (srvice) (lightmeter_queue_depth) > 9", "label", "no label 'srvice'; did you mean 'service'?"),
    "by what is gone": ("sum by (model) (sum by (service) (lightmeter_queue_depth)) > 9", "label", "'by (model)'"),
    "without": ("sum without (prority) (lightmeter_queue_depth) > 9", "label", "'without (prority)'"),
    "on": ("lightmeter_workers == 0 and on (state) lightmeter_queue_depth > 1", "label", "the right side has no label 'state'"),
    "on, in small letters": ("lightmeter_gpu_up == 0 and on (uuid) up == 1", "label", "did you mean 'UUID'?"),
    "ignoring": ("lightmeter_queue_depth / ignoring (prio) lightmeter_queue_depth > 2", "label", "did you mean 'priority'?"),
    "group_left": ("lightmeter_gpu_up * on (instance) group_left (versoin) lightmeter_exporter_build_info == 0", "label", "did you mean 'version'?"),
    "short range": ("rate(lightmeter_requests_total[30s]) > 1", "rate", "take at least 60 s"),
    "short range of others": ("increase(http_requests_total[1m] offset 1h) > 1 or rate(x[59s]) > 1", "rate", "rate() over 59 s"),
    "rate of a gauge": ("rate(lightmeter_queue_depth[5m]) > 1", "rate", "take delta() or deriv()"),
    "raw": ("lightmeter_oom_total > 5", "rate", "is a counter"),
    "raw sum": ("5 < sum by (service) (lightmeter_oom_total)", "rate", "is a counter"),
    "raw, more than none": ("lightmeter_oom_total > 0", "rate", "is a counter"),
    "delta": ("delta(lightmeter_requests_total[5m]) > 1", "rate", "take increase()"),
    "deriv": ("deriv(lightmeter_energy_joules_total[5m]) > 1", "rate", "take rate()"),
    "no le": ("histogram_quantile(0.9, sum by (service) (rate(lightmeter_request_duration_seconds_bucket[5m]))) > 9", "rate", "without its label le"),
    "no le of others": ("histogram_quantile(0.9, sum by (job) (rate(http_seconds_bucket[5m]))) > 9", "rate", "without its label le"),
    "quantile of a sum": ("histogram_quantile(0.9, rate(lightmeter_request_duration_seconds_sum[5m])) > 9", "rate", "without its label le"),
    "ratio": ("DCGM_FI_PROF_SM_ACTIVE > 90", "never", "a value from 0 to 1 is compared with 90"),
    "ratio at its end": ("avg(lightmeter_balance_ratio) > 1", "never", "from 0 to 1"),
    "negative": ("lightmeter_queue_depth < 0", "never", "a value of 0 and more"),
    "percent": ("DCGM_FI_DEV_GPU_UTIL / 100 > 1", "never", "from 0 to 1"),
    "rate below none": ("rate(http_requests_total[5m]) < 0", "never", "a value of 0 and more"),
    "count of none": ("count(up == 1) < 1", "never", "take absent()"),
    "constants": ("up > (1 > bool 2)", "never", "1 is compared with 2"),
    "always": ("lightmeter_balance_ratio >= 0", "always", "is always true"),
    "percent as a ratio": ("DCGM_FI_PROF_SM_ACTIVE < 90", "always", "is always true"),
    "no comparison": ("lightmeter_queue_depth", "always", "nothing is compared"),
    "bool": ("lightmeter_queue_depth > bool 5", "always", "nothing is compared"),
}  # fmt: skip
SILENT = {
    "strangers": "sum by (x) (rate(http_requests_total{a='b'}[1m])) / on (x) group_left (y) z_ratio > 7",
    "others' exporters": "rate(node_network_receive_errs_total[5m]) > 1 or DCGM_FI_DEV_APP_SM_CLOCK < 9 or node_memory_SwapCached_bytes > 1",
    "labels of others' exporters": 'DCGM_FI_DEV_FB_USED{Hostname="a",hostname="a",exported_pod="x",err_code="3"} > 1',
    "recorded elsewhere": 'lightmeter:slo_error_ratio:1h{slo="wait",team="a"} > 0.1',
    "target labels": 'sum by (cluster, node) (lightmeter_queue_depth{job="a",exported_service="b",pod!=""}) > 1',
    "MIG": 'lightmeter_gpu_busy_seconds_total{GPU_I_ID="1"} > on (UUID) rate(lightmeter_gpu_sampled_seconds_total[1h])',
    "values": 'lightmeter_workers{state=~"(ready|bus.)|dead",state!~".+ing",state!=""} > 1',
    "bounds": 'rate(lightmeter_feedback_score_bucket{le=~"2|2.0|[+]Inf"}[5m]) > 1',
    "deviation of a counter": "changes(lightmeter_requests_total[5m]) > 1 or resets(lightmeter_requests_total[1h]) > 2",
    "whether there was any": "time() - lightmeter_exporter_start_time_seconds > 60 and lightmeter_oom_total > 0",
    "damaged rows": "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS > 8",
    "counters in a ratio": "lightmeter_gpu_busy_seconds_total / lightmeter_gpu_sampled_seconds_total > 0.9",
    "native histogram": "histogram_quantile(0.9, sum by (job) (rate(http_seconds[5m]))) > 9",
    "le": "histogram_quantile(0.9, sum by (le) (rate(lightmeter_request_duration_seconds_bucket[5m]))) > 9",
    "percent": "DCGM_FI_DEV_GPU_UTIL > 1 or DCGM_FI_PROF_SM_ACTIVE * 100 > 90 or sum(DCGM_FI_PROF_SM_ACTIVE) > 7",
    "cold": "DCGM_FI_DEV_GPU_TEMP < 0",
    "none at all": "(count(up == 1) or vector(0)) == 0",
    "there": "count(lightmeter_queue_depth) > 0",
    "absent": "absent(lightmeter_queue_depth)",
    "gone": "up offset 1h unless up",
    "watchdog": "vector(1)",
    "old function": "holt_winters(x[1h], 0.5, 0.5) > 1",
    "between": "3 <= round(x - time()) < 20",
    "picked": 'pg_index_size{name=~".*ccnew"}',
    "alerts": 'ALERTS{alertstate="firing",severity="page"}',
    "subquery": "max_over_time(rate(lightmeter_requests_total[1m])[1h:1m]) > 3",
    "recorded labels": "sum by (tier) (mine:depth:sum) > 2",
}  # fmt: skip


def rules(folder: Path, *entries: object, **group: object) -> Path:
    """Write a file with one group, line by line."""
    path = folder / "mine.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": list(entries), **group}]}, sort_keys=False))  # fmt: skip
    return path


def alert(expr: str, **more: object) -> dict[str, object]:
    return {"alert": "Mine", "expr": expr, "labels": {"severity": "page"}, "annotations": NOTES} | more  # fmt: skip


def found(path: Path, **options: object) -> tuple[Finding, ...]:
    return check([path], Options(**options)).findings  # type: ignore[arg-type]  # as the test says


@pytest.mark.parametrize(("expr", "code", "says"), FOUND.values(), ids=FOUND)
def test_found(expr: str, code: str, says: str, tmp_path: Path) -> None:
    """Each mistake in an expression is found once, under its code, with what would be right."""
    (finding,) = found(rules(tmp_path, alert(expr)))

    assert (code, "g", "Mine", 5) == (finding.code, finding.group, finding.rule, finding.line)
    assert says in finding.message


@pytest.mark.parametrize("expr", SILENT.values(), ids=SILENT)
def test_silent(expr: str, tmp_path: Path) -> None:
    """What is right, or may be, is left alone."""
    recorded = {"record": "mine:depth:sum", "expr": "sum(lightmeter_queue_depth)", "labels": {"tier": "a"}}  # fmt: skip

    assert () == found(rules(tmp_path, recorded, alert(expr)))


def test_recorded(tmp_path: Path) -> None:
    """What a file records is known by name and by labels, and our prefix is no trouble there."""
    depth = {"record": "lightmeter:depth:sum", "expr": "sum by (service) (lightmeter_queue_depth)"}
    wrong = alert("sum by (model) (lightmeter:depth:sum) > 5")

    assert () == found(rules(tmp_path, depth, alert("sum by (service) (lightmeter:depth:sum) > 5")))
    assert ["label"] == [one.code for one in found(rules(tmp_path, depth, wrong))]


def test_own_labels(tmp_path: Path) -> None:
    """A label that only your targets have is one you name."""
    path = rules(tmp_path, alert("sum by (team) (lightmeter_queue_depth) > 5"))

    assert "--label" in found(path)[0].message
    assert () == found(path, labels=frozenset({"team"}))


def test_strict(tmp_path: Path) -> None:
    """Others' metrics are named on demand only."""
    path = rules(tmp_path, alert("http_requests > 1 and on (job) up == 1"))

    assert () == found(path)
    assert "http_requests is not one of ours" in found(path, strict=True)[0].message


def test_scrape_interval(tmp_path: Path) -> None:
    """How long a range must be depends on how often one scrapes."""
    path = rules(tmp_path, alert("rate(x_total[1m]) > 1"))

    assert [] == [one.code for one in found(path, scrape_interval=15.0)]
    assert ["rate"] == [one.code for one in found(path, scrape_interval=30.0)]


@pytest.mark.parametrize(
    ("entry", "code", "says"),
    [
        (alert("up == 0", record="x"), "shape", "both 'alert' and 'record'"),
        ({"expr": "up"}, "shape", "neither 'alert' nor 'record'"),
        ({"record": "a"}, "shape", "'expr' is missing"),
        ({"record": "a", "expr": ["up"]}, "shape", "'expr' is ['up'], not a text"),
        ({"record": "a-b", "expr": "up"}, "shape", "no metric name"),
        ({"record": "a", "expr": "up", "for": "5m"}, "shape", "unknown key 'for'"),
        (alert("up == 0", annotation={}), "shape", "did you mean 'annotations'?"),
        (alert("up == 0", labels=["a"]), "shape", "'labels' is ['a'], not a mapping"),
        (alert("up == 0", labels={"a": {}, "severity": "x"}), "shape", "label 'a' is {}"),
        (alert("up == 0", labels={"a-b": "c", "severity": "x"}), "shape", "no name of a label"),
        ("up", "shape", "'up' is no rule"),
        (alert("up == 0", **{"for": "5 min"}), "duration", "write it like 90s, 5m or 1h30m"),
        (alert("up == 0", keep_firing_for="1m5h"), "duration", "'keep_firing_for'"),
        (alert("up == 0", labels={}), "severity", "no label 'severity'"),
        (alert("up == 0", annotations=NOTES | {"summary": ""}), "runbook", "'summary'"),
        (alert("up == 0", annotations={"summary": "x"}), "runbook", "'runbook_url'"),
    ],
)  # fmt: skip
def test_shapes(entry: object, code: str, says: str, tmp_path: Path) -> None:
    """A rule that Prometheus would refuse, or nobody could act on, is found."""
    (finding,) = found(rules(tmp_path, entry))

    assert code == finding.code
    assert says in finding.message


def test_durations(tmp_path: Path) -> None:
    """All ways to write a duration pass."""
    fine = [alert("up == 0", **{"alert": name, "for": name}) for name in ("0", "0s", "90s", "1h30m", "1d", "250ms")]  # fmt: skip

    assert () == found(rules(tmp_path, *fine, interval="1m", limit=3, labels={"a": "b"}))
    assert ["duration"] == [one.code for one in found(rules(tmp_path, interval="fast"))]


@pytest.mark.parametrize(
    "text",
    ["rules: []", "groups: {}", "- a", "groups: [a]", "groups: [{rules: []}]", "groups: [{name: a, rules: 3}]",
     "groups: [{name: a, intervall: 1m}]", "groups: [{name: a}, {name: a}]", "groups", "apiVersion: v1\nkind: Pod"],
)  # fmt: skip
def test_no_rules(text: str, tmp_path: Path) -> None:
    """A file that is no rule file says so."""
    path = tmp_path / "x.yml"
    path.write_text(text)

    assert ["shape"] == [one.code for one in found(path)]


@pytest.mark.parametrize("text", ["", "{}", "null", "groups:", "groups: []", "groups: [{name: a, rules: ~}]", "---\n---\n"])  # fmt: skip
def test_empty(text: str, tmp_path: Path) -> None:
    """A file without rules is as good as any."""
    path = tmp_path / "x.yml"
    path.write_text(text)

    assert (0, ()) == ((report := check([path], Options())).rules, report.findings)


def test_nulls(tmp_path: Path) -> None:
    """What is there and empty is as good as not there."""
    empty = {"record": "a", "expr": "up", "labels": None}

    assert () == found(rules(tmp_path, empty, alert("up == 0", **{"for": None}), labels=None))


def test_skip(tmp_path: Path) -> None:
    """What one does not want to hear is not said."""
    path = rules(tmp_path, alert("up == 0", labels={}, annotations={}))

    assert {"runbook", "severity"} == {one.code for one in found(path)}
    assert () == found(path, skip=frozenset({"runbook", "severity"}))


def test_twice(tmp_path: Path) -> None:
    """The same series or alert twice is found; other labels make another one."""
    a, b = ({"record": "a:b:c", "expr": "sum(up)", "labels": {"x": x}} for x in "ab")
    path = rules(tmp_path, a, b, dict(a), alert("up == 0"), alert("up == 0", labels={"severity": "ticket"}))  # fmt: skip
    (finding,) = found(path)

    assert ("duplicate", "a:b:c", 12) == (finding.code, finding.rule, finding.line)
    assert "line 4" in finding.message
    assert ["duplicate"] == [one.code for one in found(rules(tmp_path, alert("up == 0"), alert("up==0")))]  # fmt: skip


def test_shared_out(tmp_path: Path) -> None:
    """Rules of one name that share out its series are no copies of one another."""
    two, five = ({"record": "a:b:c", "expr": f"sum by (code) (x{{code=~'{code}..'}})"} for code in "25")  # fmt: skip

    assert () == found(rules(tmp_path, two, five, alert("up == 0"), alert("up == 2")))


def test_order(tmp_path: Path) -> None:
    """A series that is recorded too late in its group is found; one of another group is not."""
    first, second = {"record": "a:a:a", "expr": "b:b:b"}, {"record": "b:b:b", "expr": "up"}

    assert ["order"] == [one.code for one in found(rules(tmp_path, first, second))]
    assert () == found(rules(tmp_path, second, first))
    assert () == found(rules(tmp_path, first | {"expr": "avg_over_time(b:b:b[1d])"}, second))


@pytest.mark.parametrize(
    ("expr", "text", "says"),
    [
        ("sum by (service) (lightmeter_queue_depth) > 9", "{{ $labels.model }}", "it leaves service"),
        ("sum by (service) (lightmeter_queue_depth) > 9", "{{ $labels.servce }}", "did you mean 'service'?"),
        ("sum(up) < 1", '{{ index $labels "job" }}', "it leaves none at all"),
        ("lightmeter_queue_depth > 9", "{{ $labels.severity }}", "no label 'severity'"),
        ("lightmeter_queue_depth > 9", "{{ $labels.team }}", "--label names one"),
        ("up == 0", "{{ $value ", "never closed"),
        ("up == 0", "{{ $labels.job }: {{ $value }}", "another brace"),
        ("up == 0", "{{ if $value }} on", "closed by 0 of 'end'"),
        ("up == 0", "{{ $label.job }}", "no variable $label; did you mean 'labels'?"),
        ("lightmeter_gpu_up == 0", "{{ $value }}", "always the same"),
        ("absent(up)", "{{ $value }}", "always the same"),
    ],
)  # fmt: skip
def test_templates(expr: str, text: str, says: str, tmp_path: Path) -> None:
    """A text that would come out with a hole is found."""
    (finding,) = found(rules(tmp_path, alert(expr, annotations=NOTES | {"action": text})))

    assert ("template", 11) == (finding.code, finding.line)
    assert says in finding.message


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        ("sum by (service) (lightmeter_queue_depth) > 9", "{{ $labels.service }}: {{ $value }} }} %"),
        ("up == 0", "{{ $labels.anything }}"),
        ("sum by (a) (x) * on (a) group_left (b) y > 1", "{{ $labels.a }} {{ $labels.b }}"),
        ("lightmeter_queue_depth * on (pod) group_left (b) label_replace(y, 'c', '$1', 'd', '(.*)') > 1", "{{ $labels.b }} {{ $labels.priority }}"),
        ("label_replace(sum(up), 'c', '$1', 'd', '(.*)') > 1", "{{ $labels.c }}"),
        ("topk(3, sum by (a) (x)) > 1", "{{ $labels.a }}"),
        ('absent(up{job="a"})', "{{ $labels.job }}"),
        ("count_values('v', x) > 1", "{{ $labels.v }}"),
        ("sum without (priority) (lightmeter_queue_depth) > 1", "{{ $labels.model }}"),
        ("lightmeter_gpu_up == 0 or lightmeter_workers == 0", "{{ $labels.reason }}{{ $labels.state }}"),
        ("lightmeter_gpu_up > on (UUID, gpu) lightmeter_gpu_up", "{{ $labels.UUID }}"),
        ("lightmeter_gpu_up > ignoring (reason) lightmeter_gpu_up", "{{ $labels.UUID }}"),
        ("up == 0", '{{ "{{" }} {{ with $x := $value }}{{ if $x }}}}{{ end }}{{ end }}{{ $externalURL }}'),
        ("sum(up) < 1", '{{ with query "x" }}{{ . | first | value }}{{ range . }}{{ .Labels.y }}{{ end }}{{ end }}'),
    ],
)  # fmt: skip
def test_templates_silent(expr: str, text: str, tmp_path: Path) -> None:
    """A text that comes out whole, or may, is left alone."""
    assert () == found(rules(tmp_path, alert(expr, annotations=NOTES | {"action": text})))


def test_runbook(tmp_path: Path) -> None:
    """With a runbook at hand a link must lead to one of its headings, as GitHub names them."""
    book = tmp_path / "runbook.md"
    book.write_text("# All\n## `Mine`: [it](x.md)!\n## Twice\n## Twice\n```\n# mine\n```\n<a id='old'></a>\n")  # fmt: skip
    known = headings(book)
    for anchor in ("mine-it", "twice-1", "old", "{{ $labels.job }}"):
        path = rules(tmp_path, alert("up == 0", annotations=NOTES | {"runbook_url": f"http://b/#{anchor}"}))  # fmt: skip
        assert () == found(path, anchors=known)
    (finding,) = found(rules(tmp_path, alert("up == 0")), anchors=known)

    assert ("runbook", 10) == (finding.code, finding.line)
    assert "no heading for #mine; did you mean 'mine-it'?" in finding.message


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://g/d/lightmeter-fleet?viewPanel=11", None),
        ("https://g/d/lightmeter-fleet/fleet?viewPanel=panel-11&from=now-1h", None),
        ("https://g/d/lightmeter-fleet", None),
        ("https://g/d/abcdef/other?viewPanel=99", None),
        ("https://g/d/lightmeter-fleets", "did you mean 'lightmeter-fleet'?"),
        ("https://g/d/lightmeter-fleet?viewPanel=99", "no panel 99"),
    ],
)
def test_dashboards(url: str, says: str | None, tmp_path: Path) -> None:
    """A link to a board or panel of ours that does not exist is found."""
    findings = found(rules(tmp_path, alert("up == 0", annotations=NOTES | {"dashboard_url": url})))

    assert ([] if says is None else ["dashboard"]) == [one.code for one in findings]
    assert says is None or says in findings[0].message


def test_every_code() -> None:
    """Each code has a test above."""
    text = Path(__file__).read_text()

    assert [] == [code for code in Code if f'"{code}"' not in text]


@pytest.mark.parametrize("name", packs.PACKS)
@pytest.mark.parametrize(
    "slo",
    [Slo(), Slo(period="7d", group_by=("namespace", "service"), money=Money(gpu_hour=2, monthly_budget=900))],
    ids=["default", "other"],
)  # fmt: skip
def test_ours(name: str, slo: Slo, tmp_path: Path) -> None:
    """Our own packs have no finding, as rule files and as the operator's objects."""
    pack = packs.make(name, slo)
    plain, operator = tmp_path / "plain.yml", tmp_path / "operator.yml"
    plain.write_text(prometheus(pack, slo.links))
    operator.write_text("kind: Service\n---\n" + prometheus_rule(pack, slo.links, {}))
    rules = len(pack.alerts) + len(pack.records)

    for path in (plain, operator):
        assert (rules, ()) == ((report := check([path], Options())).rules, report.findings)


def test_command(tmp_path: Path) -> None:
    """The command prints a line for each finding, or a list, and its exit code says whether there is one."""
    rules(tmp_path, {"record": "a", "expr": "up"}, alert("lightmeter_queue_depht > 1"))
    plain = lightmeter("rules", "check", "mine.yml", cwd=tmp_path)
    listed = lightmeter("rules", "check", "mine.yml", "--json", cwd=tmp_path)
    rules(tmp_path, alert("up == 0"))
    fine = lightmeter("rules", "check", "mine.yml", cwd=tmp_path)

    assert (1, "") == (plain.code, plain.err)
    assert re.fullmatch(r"mine.yml:7 g/Mine: \[metric\] metric lightmeter_queue_depht .+\n2 rules, 1 findings\n", plain.out)  # fmt: skip
    assert [("mine.yml", 7, "g", "Mine", "metric")] == [tuple(one.values())[:5] for one in json.loads(listed.out)]  # fmt: skip
    assert (0, "1 rules, 0 findings\n") == (fine.code, fine.out)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (".", "is a folder, not a file"),
        ("bad.yml", "is no YAML: line 2: "),
        ("twice.yml", "line 2: the key 'a' is there twice"),
        ("deep.yml", "is nested too deeply"),
        ("latin.yml", "is no text in UTF-8"),
    ],
)
def test_unreadable(name: str, says: str, tmp_path: Path) -> None:
    """A file that is no YAML is refused, with the line."""
    (tmp_path / "bad.yml").write_text("a: b\n  c: {{ d }}\n")
    (tmp_path / "twice.yml").write_text("a: b\na: c\n")
    (tmp_path / "deep.yml").write_text("[" * 20_000)
    (tmp_path / "latin.yml").write_bytes(b"a: \xe9\n")

    with pytest.raises(RuleError, match=re.escape(says)):
        check([tmp_path / name], Options())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.yml"], "rule file 'none.yml' does not exist"),
        (["mine.yml", "--scrape-interval", "0"], "--scrape-interval is 0"),
        (["mine.yml", "--skip", "runbok"], "--skip 'runbok' is no code; did you mean 'runbook'?"),
        (["mine.yml", "--runbook", "none.md"], "runbook 'none.md' does not exist"),
    ],
)
def test_refused(arguments: list[str], says: str, tmp_path: Path) -> None:
    """What cannot be used is one line and exit code 2."""
    rules(tmp_path, alert("up == 0"))

    assert says in lightmeter("rules", "check", *arguments, cwd=tmp_path).refusal()


def test_page(tmp_path: Path) -> None:
    """The page's example prints what stands beside it, and its table has every code."""
    page = (Path(__file__).parents[2] / "docs/alerts.md").read_text().partition("## Checking rules")[2]  # fmt: skip
    (example,) = re.findall(r"```yaml\n(# mine.yml\n.*?)```", page, flags=re.DOTALL)
    (printed,) = re.findall(r"```text\n\$ lightmeter rules check mine.yml\n(.*?)```", page, flags=re.DOTALL)  # fmt: skip
    (tmp_path / "mine.yml").write_text(example)
    ran = lightmeter("rules", "check", "mine.yml", cwd=tmp_path)

    assert (1, printed) == (ran.code, ran.out)
    assert [] == [code for code in Code if f"`{code}`" not in page]
