"""Write the pages that have a source: metrics, settings, commands, interfaces; what is measured on a GPU.

``python docs/generate.py`` writes them; ``--check`` says whether they are up to date (exit code 1).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click


sys.path.insert(0, str(Path(__file__).parents[1]))
from alerts import files, packs, runbook
from alerts.objectives import Money, Slo, parse
from alerts.render import document
from alerts.rule import Pack
from alerts.scale import manifests, manifests_page
from dashboards import files as board_files
from dashboards import reference
from docs import wire
from lightmeter import cli
from lightmeter.catalog import CATALOG, Metric
from lightmeter.cli.options import shown
from lightmeter.configuration import variable
from lightmeter.settings import SECTIONS


DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py; `make generate` renews it. -->"
ROOMS = {
    "server": "Inference server",
    "exporter": "Exporter",
    "host": "Host, as node_exporter names it",
    "scaler": "Scaler",
    "gateway": "Gateway",
}


def metrics() -> str:
    """Tell every metric of the catalogue."""
    return "\n".join([NOTE, "# Metrics", "", *_metrics_intro(), *_metric_tables()])


def _metrics_intro() -> Iterator[str]:
    yield "Base units throughout: seconds, bytes, joules, ratio 0..1. Counters end in `_total`."
    yield "GPU readings keep the names, labels and units of dcgm-exporter, so that either can stand in for the other."
    yield "This is the whole catalogue; [architecture](architecture.md) says which rooms expose theirs today."
    yield ""


def _metric_tables() -> Iterator[str]:
    for room, title in ROOMS.items():
        yield f"## {title}\n"
        yield "| name | kind | unit | labels | meaning |"
        yield "|---|---|---|---|---|"
        yield from (_metric_row(metric) for metric in CATALOG if metric.room == room)
        yield ""


def _metric_row(metric: Metric) -> str:
    closed = dict(metric.vocabulary)
    labels = [
        f"`{label}` ({', '.join(closed[label])})" if label in closed else f"`{label}`"
        for label in metric.labels
    ]
    return (
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {', '.join(labels)} | {metric.help} |"
    )


def settings() -> str:
    """Tell every setting."""
    lines = [NOTE, "# Settings", ""]
    lines += [
        "The command line wins over the environment, that over `lightmeter.toml`, that over the default;",
        "`lightmeter config show` prints each value and its origin. An unknown name is an error that names the nearest known one.",
        "",
        "```toml",
        "# lightmeter.toml, in the folder where lightmeter is started (or --config FILE, or LIGHTMETER_CONFIG)",
        "[serve]",
        'model = "/models/Z-Image-Turbo"',
        "queue = 128",
        "```",
        "",
    ]
    for name, section in SECTIONS.items():
        lines += [f"## {name}", "", str(section.__doc__).strip(), ""]
        lines += ["| key | variable | default | meaning |", "|---|---|---|---|"]
        for key, field in section.model_fields.items():
            lines.append(
                f"| `{key}` | `{variable(name, key)}` | `{shown(field.default)}` | {field.description} |"
            )
        lines.append("")
    return "\n".join(lines)


def commands() -> str:
    """Tell every command as its --help does."""
    lines = [
        NOTE,
        "# Commands",
        "",
        "Exit codes: 0 done; 1 a check says no; 2 bad usage or bad input; 3 something outside failed.",
        "",
    ]
    for path, command in _walk(cli.root, ("lightmeter",)):
        context = click.Context(
            command, info_name=" ".join(path), max_content_width=96, terminal_width=96
        )
        lines += [
            f"## {' '.join(path)}",
            "",
            "```text",
            command.get_help(context).rstrip(),
            "```",
            "",
        ]
    return "\n".join(lines)


def _walk(
    command: click.Command, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                yield from _walk(inner, (*path, name))


def kubernetes() -> str:
    """Tell what a cluster is told to scale a workload."""
    return f"{NOTE}\n{manifests_page.page()}"


def gpu() -> str:
    """Tell what is measured on a GPU, and what waits."""
    from bench.gpu import page

    return f"{NOTE}\n{page.build(page.read(DOCS.parent / 'bench' / 'gpu' / 'results.json'))}"


def interfaces() -> str:
    """Tell routes, bodies, columns, plans and decisions."""
    return f"{NOTE}\n{wire.page()}"


PAGES = {
    "reference.md": interfaces,
    "metrics.md": metrics,
    "settings.md": settings,
    "commands.md": commands,
    "scaling-kubernetes.md": kubernetes,
    "gpu.md": gpu,
}
RULES = DOCS.parent / "alerts" / "generated"
BOARDS = DOCS.parent / "dashboards" / "generated"
COMPONENTS = DOCS.parent / "deploy" / "kubernetes" / "components"
EXAMPLE = DOCS.parent / "alerts" / "example-slo.toml"


def rules() -> dict[Path, str]:
    """Make the rules of all packs, their tests and pages: without ``slo.toml``, and with the example."""
    root, tests, names = DOCS.parent, DOCS.parent / "tests" / "rules", tuple(packs.PACKS)
    plain, example = Slo(), parse(EXAMPLE.read_text(), str(EXAMPLE))
    ours, made = files.generate(names, plain, ("prometheus", "prometheusrule", "alertmanager"), {})
    theirs, _ = files.generate(names, example, ("prometheus", "tests"), {})
    proofs = [
        files.test_files(pack, plain, "../../../../alerts/generated/prometheus") for pack in made
    ]
    return {
        **{RULES / name: text for name, text in ours.items()},
        **{tests / "default" / name: text for one in proofs for name, text in one.items()},
        **{tests / "example" / name: text for name, text in theirs.items()},
        root / "alerts" / "runbook.md": runbook.runbook(_with_budget()),
        DOCS / "alert-reference.md": runbook.reference(_with_budget()),
    }


def boards() -> dict[Path, str]:
    """Make the dashboards, what brings them into a Grafana, and their page."""
    made = board_files.generate(tuple(board_files.FORMATS))
    page = f"{NOTE}\n{reference.page()}".rstrip() + "\n"
    return {BOARDS / name: text for name, text in made.items()} | {DOCS / "dashboards.md": page}


def deployed() -> dict[Path, str]:
    """Make the manifests that say what the scaler's own do."""
    name, namespace = "zimage", "images"
    made = {
        "keda": [manifests.scaled_object(name, namespace, name, f"{name}-scaler.{namespace}:9403"), manifests.authentication(name, namespace)],
        "hpa": [manifests.hpa(name, namespace)],
    }  # fmt: skip
    return {COMPONENTS / kind / "generated.yaml": "# Made by docs/generate.py.\n" + "---\n".join(map(document, objects)) for kind, objects in made.items()}  # fmt: skip


def _with_budget() -> tuple[Pack, ...]:
    """Make the packs with the alerts that are there only when something is configured."""
    slo = Slo(money=Money(monthly_budget=1000))
    return tuple(packs.make(name, slo) for name in packs.PACKS)


def main() -> int:
    """Write the pages, or compare them."""
    check = "--check" in sys.argv[1:]
    texts = {DOCS / name: build().rstrip() + "\n" for name, build in PAGES.items()}
    texts |= rules() | boards() | deployed()
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    made = {
        path
        for folder in (RULES, BOARDS, DOCS.parent / "tests" / "rules")
        for path in folder.rglob("*")
        if path.is_file()
    }
    gone = sorted(made - set(texts))
    for path in stale if not check else []:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path])
    for path in gone if not check else []:
        path.unlink()
    for path in [*stale, *gone] if check else []:
        click.echo(f"{path.relative_to(DOCS.parent)} is out of date; run make generate", err=True)
    return 1 if check and (stale or gone) else 0


if __name__ == "__main__":
    sys.exit(main())
