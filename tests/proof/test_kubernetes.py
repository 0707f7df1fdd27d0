"""deploy/kubernetes: what a cluster is given, rendered as kubectl renders it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml

from alerts.scale import manifests
from alerts.scale.service import wanted
from lightmeter import cli
from lightmeter.configuration import S, read_sources, resolve
from lightmeter.settings import SECTIONS, Serve
from lightmeter.settings_gateway import Gateway
from lightmeter.settings_scale import Scale
from lightmeter.units import parse_bytes
from support.cli import lightmeter
from support.debian import need
from support.rows import folder as rows_folder
from support.rows import row


pytestmark = pytest.mark.proof
ROOT = Path(__file__).parents[2] / "deploy" / "kubernetes"
FOLDERS = sorted(path.parent for path in ROOT.rglob("kustomization.yaml") if "components" not in path.parts and "base" not in path.parts)  # fmt: skip
OVERLAYS = [path for path in FOLDERS if path.parent.name == "overlays"]
NAMES = [str(path.relative_to(ROOT)) for path in FOLDERS]
SCHEMAS = ("@kubernetes-models/keda@2.0.0", "@kubernetes-models/prometheus-operator@6.0.0")
CRDS = ("monitoring.coreos.com", "keda.sh")
Object = dict[str, Any]
EACH = pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
EACH_OVERLAY = pytest.mark.parametrize("folder", OVERLAYS, ids=[path.name for path in OVERLAYS])


@cache
def rendered(folder: Path) -> tuple[Object, ...]:
    """Render a folder as ``kubectl apply -k`` would."""
    program = need("kubectl", "kubectl")
    ran = subprocess.run([program, "kustomize", str(folder)], check=False, capture_output=True, text=True)  # fmt: skip
    assert 0 == ran.returncode, ran.stderr
    return tuple(yaml.safe_load_all(ran.stdout))


def kind(objects: tuple[Object, ...], wanted: str) -> list[Object]:
    """Choose objects of a kind."""
    return [one for one in objects if one["kind"] == wanted]


def workloads(objects: tuple[Object, ...]) -> list[Object]:
    """Choose what makes pods."""
    return [
        one for name in ("Deployment", "StatefulSet", "DaemonSet") for one in kind(objects, name)
    ]


def jobs(objects: tuple[Object, ...]) -> list[Object]:
    """Choose what makes pods now and then, in the form of a workload."""
    return [{**one, "spec": one["spec"]["jobTemplate"]["spec"]} for one in kind(objects, "CronJob")]


def pod(workload: Object) -> Object:
    """Return the pod's spec."""
    found: Object = workload["spec"]["template"]["spec"]
    return found


def environment(container: Object) -> dict[str, str]:
    """Return the settings among a container's variables that are written out."""
    return {one["name"]: one["value"] for one in container.get("env", ()) if one["name"].startswith("LIGHTMETER_") and "value" in one}  # fmt: skip


def settled(section: type[S], container: Object) -> S:
    """Settle a section as the container will.

    Raises:
        SettingError: a variable is no setting, or has a value that cannot be.
    """
    return resolve(section, read_sources(environment(container), None), {})[0]


def containers(folder: Path) -> Iterator[tuple[Object, Object]]:
    """Yield each workload with its container."""
    for workload in [*workloads(rendered(folder)), *jobs(rendered(folder))]:
        for container in pod(workload)["containers"]:
            yield workload, container


def test_valid() -> None:
    """Every object is one that Kubernetes knows, with no key that it does not know."""
    different = {json.dumps(one): one for folder in FOLDERS for one in rendered(folder)}
    for one in different.values():
        if not one["apiVersion"].startswith(CRDS):
            kubernetes_validate.validate(one, "1.32", strict=True)


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schemas of KEDA and of the Prometheus operator, from the npm registry."""
    folder = tmp_path_factory.mktemp("operators")
    ran = subprocess.run([need("npm", "npm"), "install", "--no-audit", "--no-fund", "--prefix", str(folder), *SCHEMAS], check=False, capture_output=True, text=True, timeout=170)  # fmt: skip
    if ran.returncode:
        pytest.skip(f"the npm registry cannot be reached: {ran.stderr[-200:]}")
    shutil.copy(Path(__file__).with_name("crds.mjs"), folder)
    return folder


def against(operators: Path, objects: list[Object]) -> list[str]:
    """Return what the operators' schemas say against some objects."""
    ran = subprocess.run([need("node", "nodejs"), str(operators / "crds.mjs")], input=json.dumps(objects), check=False, capture_output=True, text=True, timeout=60)  # fmt: skip
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout.splitlines()


def test_operators(operators: Path) -> None:
    """The operators' objects keep to the operators' schemas; a broken one would be noticed."""
    objects = [one for folder in FOLDERS for one in rendered(folder) if one["apiVersion"].startswith(CRDS)]  # fmt: skip
    broken = {**objects[0], "spec": None}

    assert {"ScaledObject", "TriggerAuthentication", "PodMonitor", "PrometheusRule", "ServiceMonitor"} == {one["kind"] for one in objects}  # fmt: skip
    assert [] == against(operators, objects)
    assert against(operators, [broken])


@EACH
def test_restricted(folder: Path) -> None:
    """No pod runs as root, writes to its image, gains rights, or is told a token it does not need."""
    for workload, container in containers(folder):
        spec, own = pod(workload), container["securityContext"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert {"type": "RuntimeDefault"} == spec["securityContext"]["seccompProfile"]
        assert own["readOnlyRootFilesystem"]
        assert not own["allowPrivilegeEscalation"]
        assert ["ALL"] == own["capabilities"]["drop"]
        assert spec["enableServiceLinks"] is False
        assert (
            "scaler" in workload["metadata"]["name"]
            or spec["automountServiceAccountToken"] is False
        )
        assert "memory" in container["resources"]["limits"]


@EACH
def test_settings(folder: Path) -> None:
    """Every variable is a setting with a value that it takes."""
    for _, container in containers(folder):
        settled(SECTIONS[container["args"][0]], container)


@EACH
def test_wired(folder: Path) -> None:
    """Selectors find pods, and ports that services, policies and probes name are there."""
    objects = rendered(folder)
    made = workloads(objects)
    for one in [*kind(objects, "Service"), *kind(objects, "PodDisruptionBudget"), *kind(objects, "NetworkPolicy")]:  # fmt: skip
        spec = one["spec"]
        wanted = spec.get("podSelector", spec.get("selector"))
        labels = wanted.get("matchLabels", wanted)
        found = [each for each in made if labels.items() <= each["spec"]["template"]["metadata"]["labels"].items()]  # fmt: skip
        assert [1] == [len(found)], one["metadata"]["name"]
        ports = {port["name"] for container in pod(found[0])["containers"] for port in container["ports"]}  # fmt: skip
        named = [port["targetPort"] for port in spec.get("ports", ())]
        named += [port["port"] for rule in spec.get("ingress", ()) for port in rule.get("ports", ())]  # fmt: skip
        assert set(named) <= ports
    for workload, container in containers(folder):
        ports = {port["name"] for port in container.get("ports", ())}
        probes = [container[name]["httpGet"]["port"] for name in container if name.endswith("Probe")]  # fmt: skip
        assert set(probes) <= ports, workload["metadata"]["name"]
        mounted = {each["name"] for each in container["volumeMounts"]}
        claimed = {each["metadata"]["name"] for each in workload["spec"].get("volumeClaimTemplates", ())}  # fmt: skip
        assert mounted == claimed | {each["name"] for each in pod(workload)["volumes"]}


def test_monitored() -> None:
    """Each monitor finds what is deployed, by label, namespace and port."""
    deployed = [one for folder in (ROOT / "overlays" / "one-gpu", ROOT / "exporter") for one in rendered(folder)]  # fmt: skip
    for monitor in (
        one for one in rendered(ROOT / "monitoring") if one["kind"].endswith("Monitor")
    ):
        spec = monitor["spec"]
        labels = spec["selector"]["matchLabels"].items()
        pods = monitor["kind"] == "PodMonitor"
        found = [
            one
            for one in (workloads(tuple(deployed)) if pods else kind(tuple(deployed), "Service"))
            if labels <= one["metadata"].get("labels", {}).items()
        ]
        assert [1] == [len(found)], monitor["metadata"]["name"]
        assert spec["namespaceSelector"]["matchNames"] == [found[0]["metadata"]["namespace"]]
        ports = pod(found[0])["containers"][0]["ports"] if pods else found[0]["spec"]["ports"]
        endpoints = spec["podMetricsEndpoints" if pods else "endpoints"]
        assert {each["port"] for each in endpoints} <= {each["name"] for each in ports}


def test_rules() -> None:
    """The recommended rules come along, the founding article's do not; five boards do."""
    objects = rendered(ROOT / "monitoring")

    assert ["lightmeter-recommended"] == [one["metadata"]["name"] for one in kind(objects, "PrometheusRule")]  # fmt: skip
    assert 5 == len(kind(objects, "ConfigMap"))


@EACH_OVERLAY
def test_patience(folder: Path) -> None:
    """A start may take long, and accepted pictures are finished before a pod goes."""
    server = next(one for one in workloads(rendered(folder)) if one["metadata"]["name"] == "zimage")
    container = pod(server)["containers"][0]
    startup, drain = container["startupProbe"], environment(container)["LIGHTMETER_SERVE_DRAIN"]
    before = float(container["lifecycle"]["preStop"]["exec"]["command"][1])

    assert (
        startup["periodSeconds"] * startup["failureThreshold"]
        >= 3 * Scale.model_fields["cold_start"].default
    )
    assert pod(server)["terminationGracePeriodSeconds"] >= before + float(drain) + 10
    assert "replicas" not in server["spec"]


@EACH_OVERLAY
def test_gateway(folder: Path) -> None:
    """The gateway finds the replicas and each scaler by names that there are, and the scaler follows it."""
    objects = rendered(folder)
    found = {one["metadata"]["name"]: one for one in workloads(objects)}
    gateway = settled(Gateway, pod(found["images"])["containers"][0])
    headless = {one["metadata"]["name"] for one in kind(objects, "Service") if one["spec"].get("clusterIP") == "None"}  # fmt: skip
    scaler = found["zimage-scaler"]
    secured = settled(Scale, pod(scaler)["containers"][0]).tls_cert_file is not None

    assert "zimage-replicas" in headless
    assert "dns:zimage-replicas.images.svc:7860" == gateway.upstream
    assert [f"http{'s' * secured}://zimage-scaler-{one}.zimage-scaler.images.svc:9402" for one in range(scaler["spec"]["replicas"])] == gateway.wake.split(",")  # fmt: skip
    assert scaler["spec"]["serviceName"] in headless
    assert gateway.service == settled(Scale, pod(scaler)["containers"][0]).demand


def test_report() -> None:
    """The report's command is one that there is, with options that it has."""
    words = pod(jobs(rendered(ROOT / "overlays/one-gpu"))[0])["containers"][0]["args"]
    command = cli.root.get_command(click.Context(cli.root), words[0])

    assert command is not None
    assert {word for word in words if word.startswith("--")} <= {each for parameter in command.params for each in parameter.opts}  # fmt: skip


@EACH_OVERLAY
def test_one_writer(folder: Path) -> None:
    """The scaler watches until it is told to act, under the name of the Deployment that is there."""
    scaler = next(one for one in workloads(rendered(folder)) if one["metadata"]["name"] == "zimage-scaler")  # fmt: skip
    container = pod(scaler)["containers"][0]
    settings = settled(Scale, container)

    assert ["scale"] == container["args"]
    assert not settings.act
    assert "deployment:images/zimage" == settings.target
    assert wanted(settings).most == settings.max


def test_acting(tmp_path: Path) -> None:
    """One component is the switch."""
    inside = ROOT / "overlays" / tmp_path.name
    text = (ROOT / "overlays/one-gpu/kustomization.yaml").read_text()
    inside.mkdir()
    try:
        (inside / "kustomization.yaml").write_text(f"{text}components: [../../components/acting]\n")
        scaler = next(one for one in workloads(rendered(inside)) if one["metadata"]["name"] == "zimage-scaler")  # fmt: skip
    finally:
        (inside / "kustomization.yaml").unlink()
        inside.rmdir()

    assert ["scale", "--act"] == pod(scaler)["containers"][0]["args"]


def test_rights() -> None:
    """The scaler may do what it has to, to one Deployment and one Lease, and nothing else."""
    role = kind(rendered(ROOT / "overlays/one-gpu"), "Role")[0]
    needed = manifests.rights("zimage", "images")[0]["rules"]

    def pairs(rules: list[Object]) -> set[tuple[str, str, str]]:
        return {(group, resource, verb) for rule in rules for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]}  # fmt: skip

    assert pairs(needed) == pairs(role["rules"])
    unnamed = {verb for rule in role["rules"] if "resourceNames" not in rule for verb in rule["verbs"]}  # fmt: skip
    assert {"list", "create"} == unnamed
    assert [manifests.lease_name("deployment", "zimage")] == next(rule["resourceNames"] for rule in role["rules"] if "update" in rule["verbs"])  # fmt: skip


@EACH_OVERLAY
def test_slices(folder: Path) -> None:
    """Where nothing enforces a slice, the worker caps itself below it; where something does, too."""
    server = next(one for one in workloads(rendered(folder)) if one["metadata"]["name"] == "zimage")
    container = pod(server)["containers"][0]
    limits = container["resources"]["limits"]
    cap = settled(Serve, container).vram_cap
    slices = {"aliyun.com/gpu-mem": 2**30, "nvidia.com/gpumem": 2**20}
    given = [int(limits[name]) * unit for name, unit in slices.items() if name in limits]

    assert all(parse_bytes(cap) <= size - 2**30 for size in given)
    assert bool(cap) == bool(given or "nvidia.com/gpu.shared" in limits)


def test_slices_are_the_planners(tmp_path: Path) -> None:
    """What the slices are is what `lightmeter plan` advises for the weights in BF16 and a picture."""
    usage = [row(600.0 * each, 3.0, "zimage", peak_vram_bytes=21 * 2**30) for each in range(1000)]
    history = rows_folder(tmp_path / "history", usage)
    ran = lightmeter("plan", "--history", history, "--sku", "gcp-a2-a100-80", "--out", "report", "--json", cwd=tmp_path)  # fmt: skip
    advised = json.loads(ran.out)["rightsizing"]["services"][0]["vram"]
    limits = {
        folder.name: pod(next(one for one in workloads(rendered(folder)) if one["metadata"]["name"] == "zimage"))["containers"][0]["resources"]["limits"]
        for folder in OVERLAYS
    }  # fmt: skip
    shared = next(one for one in rendered(ROOT / "overlays/mps") if "device-plugin" in one["metadata"]["name"])  # fmt: skip
    replicas = yaml.safe_load(shared["data"]["config.yaml"])["sharing"]["mps"]["resources"][0]["replicas"]  # fmt: skip

    assert str(advised["gpushare_gib"]) == limits["gpushare"]["aliyun.com/gpu-mem"]
    assert str(advised["gpushare_gib"] * 1024) == limits["hami"]["nvidia.com/gpumem"]
    assert f"nvidia.com/mig-{advised['mig_profile']}" in limits["mig"]
    assert advised["fits_per_gpu"] == replicas
