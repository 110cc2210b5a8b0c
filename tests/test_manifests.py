"""What the project hands to Kubernetes, Argo CD, Flux and systemd, held to their own schemas."""

from __future__ import annotations

import json
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
