"""What the project hands to Kubernetes, Argo CD, Flux and systemd, held to their own schemas."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ci.machine import NEWER_FILES, TOOLS
from ci.shell import run

KINDS = ["Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"]
MODELS = {
    "argoproj.io": "argo-cd",
    "gateway.networking.k8s.io": "gateway-api",
    "kustomize.toolkit.fluxcd.io": "flux-cd",
    "monitoring.coreos.com": "prometheus-operator",
    "source.toolkit.fluxcd.io": "flux-cd",
}
# What is no spec of a kind; an empty one of a PrometheusRule is.
WRONG = {"PrometheusRule": {"groups": [{"rules": []}]}}
VALIDATE = """
import {readFileSync} from "node:fs";
const {model, object} = JSON.parse(readFileSync(0));
const {[object.kind]: Model} = await import(model);
new Model(object).validate();
"""


def objects(text: str) -> list[dict[str, Any]]:
    """The objects of a YAML file."""
    return [each for each in yaml.safe_load_all(text) if each]


def rendered(folder: Path) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder, each object held strictly to the schema of Kubernetes."""
    found = objects(run(str(NEWER_FILES["kubectl"]), "kustomize", str(folder), cwd=folder))
    for each in found:
        kubernetes_validate.validate(each, "1.32", strict=True)
    return found


def validated(found: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Hold an object to the schema of the operator that reads it."""
    model = f"@kubernetes-models/{MODELS[found['apiVersion'].split('/')[0]]}/{found['apiVersion']}/{found['kind']}"
    given = json.dumps({"model": model, "object": found})
    return subprocess.run(
        ["node", "--input-type=module", "-e", VALIDATE],
        cwd=TOOLS,
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_an_overlay_is_what_kubernetes_takes(baked: Path, environment: str) -> None:
    """Each overlay renders to a Deployment and what belongs to it, all of known fields alone."""
    assert sorted(each["kind"] for each in rendered(baked / "deploy/overlays" / environment)) == KINDS


def test_the_pod_is_hardened(baked: Path) -> None:
    """It runs as the image's user, writes nowhere but to /tmp, has no rights, and is given time to start and to end."""
    found = rendered(baked / "deploy/overlays/production")
    pod = next(each for each in found if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsUser"] == 1034
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]  # noqa: S108
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
    assert container["resources"]["limits"]["memory"]


def test_a_cluster_can_keep_what_is_answered(baked: Path, tmp_path: Path) -> None:
    """An overlay that takes the component has a volume where the service writes predictions, and nothing else new."""
    deploy = shutil.copytree(baked / "deploy", tmp_path / "deploy")
    with (deploy / "overlays/production/kustomization.yaml").open("a") as overlay:
        overlay.write("components:\n  - ../../base/predictions\n")
    found = rendered(deploy / "overlays/production")
    assert sorted(each["kind"] for each in found) == sorted([*KINDS, "PersistentVolumeClaim"])
    claim = next(each for each in found if each["kind"] == "PersistentVolumeClaim")
    pod = next(each for each in found if each["kind"] == "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    mounted = {each["mountPath"]: volumes[each["name"]] for each in container["volumeMounts"]}
    pod_name, variable = container["env"]
    assert pod_name["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    # Replicas remove files of each other in a folder that they share.
    assert (variable["name"], variable["value"]) == ("PREDICTIONS", f"/predictions/$({pod_name['name']})")
    assert mounted["/predictions"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert set(mounted) == {"/tmp", "/predictions"}  # noqa: S108


def applied(deploy: Path, environment: str) -> list[dict[str, Any]]:
    """What a cluster applies of an environment's branch, each object held to its schema."""
    top = deploy.parent / f"{environment}-branch"
    folders = ("base", f"overlays/{environment}")
    files = {path: path.relative_to(deploy) for folder in folders for path in (deploy / folder).rglob("*.yaml")}
    files[deploy / "branch/kustomization.yaml"] = Path("kustomization.yaml")
    facts = {"project": "late-flights", "environment": environment, "short": "0" * 16, "digest": f"sha256:{'0' * 64}"}
    for path, place in files.items():
        (top / place).parent.mkdir(parents=True, exist_ok=True)
        text = re.sub("@([a-z]+)@", lambda found: facts.get(found[1], "x"), path.read_text())
        (top / place).write_text(text)
    found = objects(run(str(NEWER_FILES["kubectl"]), "kustomize", str(top), cwd=top))
    for each in found:
        if each["kind"] in KINDS:
            kubernetes_validate.validate(each, "1.32", strict=True)
        else:
            done = validated(each)
            assert done.returncode == 0, done.stderr
            assert validated(each | {"spec": {"rules": [{"backendRefs": [{"weight": 5}]}]}}).returncode != 0
    return found


@pytest.mark.parametrize("way", ["canary", "shadow"])
def test_a_gateway_hands_requests_of_production_to_a_canary_too(baked: Path, tmp_path: Path, way: str) -> None:
    """With the component, production's route names the services of both environments, and the canary's lets it."""
    deploy = shutil.copytree(baked / "deploy", tmp_path / "deploy")
    shutil.copytree(deploy / "overlays/production", deploy / "overlays/canary")
    for name, component in (("production", "gateway"), ("canary", "gateway/open")):
        with (deploy / f"overlays/{name}/kustomization.yaml").open("a") as overlay:
            overlay.write(f"components: [../../base/{component}]\n")
    if way == "shadow":
        component = deploy / "base/gateway/kustomization.yaml"
        component.write_text(component.read_text().replace("- canary.yaml", "").replace("# - shadow", "- shadow"))
    production, canary = applied(deploy, "production"), applied(deploy, "canary")
    assert sorted(each["kind"] for each in production) == sorted([*KINDS, "HTTPRoute"])
    assert sorted(each["kind"] for each in canary) == sorted([*KINDS, "ReferenceGrant"])
    services = {
        (each["metadata"]["namespace"], each["metadata"]["name"], each["spec"]["ports"][0]["port"])
        for each in [*production, *canary]
        if each["kind"] == "Service"
    }
    route = next(each for each in production if each["kind"] == "HTTPRoute")
    grant = next(each for each in canary if each["kind"] == "ReferenceGrant")
    assert [each["namespace"] for each in grant["spec"]["from"]] == [route["metadata"]["namespace"]]
    (rule,) = route["spec"]["rules"]
    asked = [*rule["backendRefs"], *(each["requestMirror"]["backendRef"] for each in rule.get("filters", []))]
    own = route["metadata"]["namespace"]
    assert {(each.get("namespace", own), each["name"], each["port"]) for each in asked} == services
    assert [each.get("weight") for each in asked] == ([95, 5] if way == "canary" else [None, None])


@pytest.mark.parametrize("name", ["agents/argo-cd.yaml", "agents/flux.yaml", "base/alerts.yaml", "base/monitor.yaml"])
def test_an_object_is_what_its_operator_takes(baked: Path, name: str) -> None:
    """The objects for Argo CD, Flux and Prometheus fit the schemas, and would not without their spec."""
    for each in objects((baked / "deploy" / name).read_text()):
        done = validated(each)
        assert done.returncode == 0, done.stderr
        assert validated(each | {"spec": WRONG.get(each["kind"], {})}).returncode != 0


@pytest.mark.parametrize("name", ["argo-cd", "flux"])
def test_each_environment_is_followed(baked: Path, name: str) -> None:
    """Argo CD and Flux follow the branches of the environments that project.yaml names."""
    wanted = [f"env/{each['name']}" for each in yaml.safe_load((baked / "project.yaml").read_text())["environments"]]
    specs = [each["spec"] for each in objects((baked / f"deploy/agents/{name}.yaml").read_text())]
    followed = [
        spec["source"]["targetRevision"] if "source" in spec else spec["ref"]["branch"]
        for spec in specs
        if "source" in spec or "ref" in spec
    ]
    assert followed == wanted


def test_systemd_takes_the_agents_unit(baked: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify` finds nothing wrong with the service of a host's agent."""
    command = tmp_path / "late-flights/.venv/bin/gitops-ml"
    command.parent.mkdir(parents=True)
    command.symlink_to("/bin/true")
    unit = tmp_path / "model@production.service"
    unit.write_text((baked / "deploy/agents/model@.service").read_text().replace("/srv/", f"{tmp_path}/"))
    assert run("systemd-analyze", "verify", "--man=no", str(unit), cwd=tmp_path) == ""
