"""The serving image of a generated project, from its build to a host that runs it, with an engine and a registry."""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
import yaml
from packageurl import PackageURL

from ci.machine import BASE_NAME, NEWER_FILES, Machine, machine, registry
from ci.shell import KEYS, ROOT, CommandError, free_port, run
from tests.conftest import UV, gitops, make, tool
from tests.sigstore import ISSUER, sigstore
from tests.test_manifests import rendered

pytestmark = pytest.mark.xdist_group("image")


@dataclass
class Host:
    """A project whose one environment runs containers, on a machine that has docker and a registry."""

    project: Path
    machine: Machine
    port: int

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def make(self, *arguments: str, **variables: str) -> str:
        """Run make in the project, with the engine of the tests."""
        return run("make", "--silent", *arguments, cwd=self.project, env=UV | KEYS | self.machine.env | variables)

    def gitops(self, *arguments: str, **variables: str) -> str:
        """Run the automation's command in the project, with the engine of the tests."""
        return gitops(*arguments, cwd=self.project, env=self.machine.env | variables)

    def asked(self, *arguments: str) -> dict[str, Any]:
        """Run a command of the project's automation and return the JSON that it prints; exit code 3 is an answer."""
        done = tool(self.project, "gitops-ml", *arguments, "--json", check=False, env=self.machine.env)
        assert done.returncode in (0, 3), done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def commit(self, message: str) -> None:
        """Bring what was changed onto main."""
        run("git", "commit", "--quiet", "--no-verify", "--all", "--message", message, cwd=self.project)
        run("git", "push", "--quiet", "origin", "HEAD:main", cwd=self.project)

    def release(self, message: str) -> dict[str, Any]:
        """Commit what was changed, and release it."""
        self.commit(message)
        return self.asked("release", "make")

    def deploy(self, *options: str) -> dict[str, Any]:
        """Promote the newest release, or another one, and have the agent apply it."""
        outcome = self.asked("env", "promote", "production", *options)
        assert outcome["state"] == "merged", outcome["checks"]
        return self.asked("host", "deploy", "production")

    def containers(self) -> list[str]:
        """The images that run, by digest."""
        listed = self.machine.docker("ps", "--no-trunc", "--format", "{{.Names}}").split()
        return [self.machine.docker("inspect", "--format", "{{.Config.Image}}", name) for name in listed]

    def lose(self, repository: str, digest: str) -> None:
        """Have the registry forget an image in one of its repositories."""
        httpx.delete(f"http://{self.machine.registry}/v2/{repository}/manifests/{digest}").raise_for_status()

    def pushed_bytes(self) -> int:
        """What the registry stores."""
        return sum(path.stat().st_size for path in (self.machine.folder / "registry").rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def host(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The trained project, with an environment of containers and nothing released yet."""
    folder = tmp_path_factory.mktemp("host")
    origin = folder / "origin.git"
    run("git", "clone", "--quiet", "--bare", str(trained), str(origin), cwd=folder)
    project = folder / "late-flights"
    run("git", "clone", "--quiet", str(origin), str(project), cwd=folder)
    (project / ".venv").symlink_to(trained / ".venv")
    make("pull", cwd=project)
    with machine() as own:
        path, port = project / "project.yaml", free_port()
        settings = yaml.safe_load(path.read_text())
        image, copies = f"{own.registry}/team/late-flights", f"{own.registry}/production/late-flights"
        production = settings["environments"][-1] | {"gate": "none", "approvals": 0, "runner": "compose", "port": port}
        production |= {"image": copies}
        # What is told here does not depend on how busy the machine is.
        settings["gate"]["latency_ms"] = 60_000
        path.write_text(yaml.safe_dump(settings | {"image": image, "environments": [production]}))
        made = Host(project, own, port)
        made.commit("Containers")
        made.asked("env", "bootstrap")
        try:
            yield made
        finally:
            made.gitops("host", "stop", "production")


def lines(said: str) -> list[str]:
    """What a command said, without what it told about its progress."""
    return [line for line in said.splitlines() if not line.startswith("... ")]


@pytest.fixture(scope="module")
def image(host: Host) -> str:
    """The id of the project's image, built and tried out."""
    said = lines(host.gitops("model", "image", "--test"))
    assert len([line for line in said if line.startswith("  ok ")]) == 7, said
    assert [line for line in said if line.endswith(" rows alone took the short way")]
    return said[0].split()[-1]


def inspected(host: Host, image: str) -> dict[str, Any]:
    """What the engine knows of an image."""
    found: dict[str, Any] = json.loads(host.machine.docker("image", "inspect", image))[0]
    return found


def test_the_image_says_what_it_is(host: Host, image: str) -> None:
    """Labels name commit, release, model and data; the user is a number; nothing but the service is started."""
    config = inspected(host, image)["Config"]
    version = json.loads(tool(host.project, "gitops-ml", "model", "package", "--json").stdout)
    labels = config["Labels"]
    assert labels["org.opencontainers.image.revision"] == version["commit"]
    assert labels["gitops-ml.release"] == version["release"]
    assert (labels["gitops-ml.model"], labels["gitops-ml.data"]) == (version["model"], version["data"])
    assert config["User"] == "1034:1034"
    assert config["Entrypoint"][:4] == ["python3", "-m", "bentoml", "serve"]


def test_the_image_is_slim(host: Host, image: str) -> None:
    """It has the service's packages and neither their tests, a compiler, Git, pip nor the training stack."""
    script = (
        "import importlib.util, shutil, json; print(json.dumps(["
        "[n for n in ('dvc', 'pytest', 'pyarrow', 'typer', 'pip', 'sklearn.tests') if importlib.util.find_spec(n)], "
        "[p for p in ('gcc', 'cc', 'g++', 'make', 'git', 'pip', 'curl') if shutil.which(p)]]))"
    )
    options = ("--rm", "--network=host", "--read-only", "--entrypoint", "python3")
    assert json.loads(host.machine.docker("run", *options, image, "-c", script)) == [[], []]
    assert inspected(host, image)["Size"] < 500_000_000


def test_building_again_gives_the_same_layers(host: Host, image: str) -> None:
    """Built anew from nothing, by the same engine, every layer is the same to the byte."""
    before = inspected(host, image)["RootFS"]["Layers"]
    shutil.rmtree(host.project / "build" / "image")
    host.machine.docker("image", "rm", "--force", image)
    again = lines(host.gitops("model", "image"))[-1].split()[-1]
    assert inspected(host, again)["RootFS"]["Layers"] == before
    assert len(before) == 4


def test_another_engine_gives_the_same_image_twice(host: Host, image: str, tmp_path: Path) -> None:
    """buildah alone builds it too, and says so; two builds are the same to the byte; running one is refused."""
    for program in ("buildah", "bash", "make", "git", "awk", "sed", "cat"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    uv = os.environ.get("UV") or str(host.project / ".venv/bin/uv")
    variables = {"PATH": str(tmp_path), "UV": uv}
    host.machine.docker("save", "--output", str(tmp_path / "base.tar"), BASE_NAME)
    identities = set()
    for _ in range(2):
        run("buildah", "rmi", "--all", "--force", cwd=tmp_path, env=host.machine.env)
        archive = f"docker-archive:{tmp_path / 'base.tar'}"
        run("buildah", "pull", "--quiet", archive, cwd=tmp_path, env=host.machine.env)
        said = host.gitops("model", "image", **variables, BASE_IMAGE=f"localhost/{BASE_NAME}")
        assert " built by buildah 1." in said
        identities.add(lines(said)[-1].split()[-1])
    assert len(identities) == 1
    with pytest.raises(CommandError, match="error: buildah builds images and runs none; install docker or podman"):
        host.gitops("model", "image", "--test", **variables, BASE_IMAGE=f"localhost/{BASE_NAME}")


def test_without_an_engine_the_sentence_says_what_to_install(host: Host, tmp_path: Path) -> None:
    """Where there is no engine, or one that does not answer, one sentence says so."""
    for program in ("bash", "make", "git", "awk", "sed", "cat"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    uv = os.environ.get("UV") or str(host.project / ".venv/bin/uv")
    with pytest.raises(
        CommandError, match=r"error: .* needs docker, podman or buildah; .*`apt-get install docker\.io`"
    ):
        host.gitops("model", "image", PATH=str(tmp_path), UV=uv)
    (tmp_path / "docker").symlink_to(shutil.which("docker") or "docker")
    with pytest.raises(
        CommandError, match=r"error: no container engine can be used: docker does not answer \(.*nowhere"
    ):
        host.gitops("model", "image", PATH=str(tmp_path), UV=uv, DOCKER_HOST=f"unix://{tmp_path}/nowhere.sock")


def test_the_way_of_a_release_to_a_host_and_back(host: Host, image: str, tmp_path: Path) -> None:
    """Released, promoted by digest into production's own repository, served from there; a bad one is refused; and back.

    A new model pushes little. Production goes back to what its own repository alone still has, not to what none has.
    """
    first = host.asked("release", "make")
    digest = first["image"]["digest"]
    assert first["image"]["name"] == f"{host.machine.registry}/team/late-flights"
    tried = host.asked("env", "promote", "production", "--dry-run")
    waiting = [check["sentence"] for check in tried["checks"] if not check["holds"]]
    name = f"{host.machine.registry}/production/late-flights"
    assert waiting == [f"{name} has no copy of it yet; `gitops-ml env promote production` makes one"]
    stored = host.pushed_bytes()
    assert host.deploy()["state"] == "healthy"
    assert host.pushed_bytes() - stored < 100_000
    assert host.containers() == [f"{name}@{digest}"]
    columns = yaml.safe_load((host.project / "schema.yaml").read_text())["columns"]
    features = [column for column, facts in columns.items() if facts.get("role", "feature") == "feature"]
    row = pq.read_table(ROOT / "ci/batches/2013-04.parquet", columns=features).slice(0, 1).to_pylist()[0]
    answer = httpx.post(f"{host.url}/predict", json={"row": row}, timeout=30).json()
    assert answer["release"] == first["release"]

    params = host.project / "params.yaml"
    params.write_text(params.read_text().replace("max_iter: 150", "max_iter: 100"))
    host.make("repro", "PULL=")
    host.make("push")
    stored = host.pushed_bytes()
    second = host.release("Fewer trees")
    assert host.pushed_bytes() - stored < 1_000_000
    assert host.deploy()["serving"] == second["release"]
    assert host.containers() == [f"{name}@{second['image']['digest']}"]

    compose = host.project / "deploy" / "compose.yaml"
    compose.write_text(compose.read_text().replace("mem_limit: 1g", "mem_limit: 6m"))
    third = host.release("Not enough memory to start")
    refused = host.deploy()
    assert (refused["state"], refused["serving"]) == ("failed", second["release"])
    assert f"{third['release']} ended while it was started" in refused["reason"]
    assert httpx.get(f"{host.url}/version").json()["release"] == second["release"]
    assert len(host.containers()) == 1

    host.lose("team/late-flights", digest)
    host.asked("env", "rollback", "production", "--to", first["release"])
    assert host.asked("host", "deploy", "production")["serving"] == first["release"]
    assert httpx.post(f"{host.url}/predict", json={"row": row}, timeout=30).json() == answer
    assert host.containers() == [f"{name}@{digest}"]

    # A cluster would run the very same digest.
    origin = run("git", "remote", "get-url", "origin", cwd=host.project).strip()
    run("git", "clone", "--quiet", "--branch", "env/production", origin, str(tmp_path / "branch"), cwd=tmp_path)
    found = {each["kind"]: each for each in rendered(tmp_path / "branch" / "kubernetes")}
    assert found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["image"] == f"{name}@{digest}"

    for repository in ("production/late-flights", "team/late-flights"):
        host.lose(repository, second["image"]["digest"])
    outcome = host.asked("env", "promote", "production", "--release", second["release"])
    failed = [check for check in outcome["checks"] if not check["holds"]]
    assert (outcome["state"], [check["name"] for check in failed]) == ("blocked", ["image"])
    assert f"has no image {repository}@{second['image']['digest']}" in failed[0]["sentence"]


def components(folder: Path, stated: dict[str, Any]) -> dict[str, PackageURL]:
    """What a bill of materials names, once it is one by CycloneDX's own schema."""
    (folder / "stated.json").write_text(json.dumps(stated))
    schema = files("cyclonedx.schema") / "_res" / "bom-1.5.SNAPSHOT.schema.json"
    command = (str(ROOT / ".venv/bin/check-jsonschema"), "--schemafile", str(schema), "stated.json")
    assert "ok -- validation done" in run(*command, cwd=folder)
    return {each["name"]: PackageURL.from_string(each["purl"]) for each in stated["components"] if "purl" in each}


def attested(host: Host, kind: str) -> dict[str, Any]:
    """What cosign finds attested beside the image of the release."""
    made = host.asked("release", "make")["image"]
    what = ("--type", kind, "--key", "deploy/release.pub", f"{made['name']}@{made['digest']}")
    told = next(line for line in cosign(host, "verify-attestation", *what).splitlines() if line.startswith("{"))
    found: dict[str, Any] = json.loads(base64.b64decode(json.loads(told)["payload"]))["predicate"]
    return found


def test_the_bill_of_materials_names_packages_and_base(host: Host, image: str, tmp_path: Path) -> None:
    """What is attested beside an image names its Python packages, its Python, and the packages of its base."""
    known = components(tmp_path, attested(host, "cyclonedx"))
    assert known["scikit-learn"].type == "pypi"
    assert known["python"].version.startswith("3.11.")
    assert (known["libc6"].type, known["libc6"].namespace) == ("deb", "debian")
    assert known["libc6"].qualifiers | {"distro": "debian-12", "upstream": "glibc"} == known["libc6"].qualifiers
    assert known["libstdc++6"].qualifiers["upstream"] == "gcc-12"


def test_provenance_names_source_model_and_base(host: Host, image: str) -> None:
    """What an image was made from is attested: the commit, the model, the lock and the base by its name."""
    definition = attested(host, "https://slsa.dev/provenance/v1")["buildDefinition"]
    sources = {each["name"]: each for each in definition["resolvedDependencies"]}
    assert sources["source"]["digest"]["gitCommit"] == host.asked("release", "make")["commit"]
    assert sources["models/model.skops"]["digest"]["sha256"] == host.asked("release", "make")["model"]
    # The tests' own base comes from no registry, so nobody knows it by a digest.
    assert sources["base"] == {"name": "base", "uri": BASE_NAME}


def test_a_base_that_does_not_list_its_packages_is_said_to(host: Host, tmp_path: Path) -> None:
    """Of a base without a list of packages the document says so; one of distroless' form is read as well."""
    (tmp_path / "status").write_text("")
    (tmp_path / "libc6").write_text("Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\nSource: glibc\n")
    bare = f"FROM {BASE_NAME}\nCOPY status /var/lib/dpkg/status\n"
    for dockerfile, said in ((bare, "unknown"), (f"{bare}COPY libc6 /var/lib/dpkg/status.d/libc6\n", "incomplete")):
        (tmp_path / "Dockerfile").write_text(dockerfile)
        built = host.machine.docker("build", "--quiet", str(tmp_path)).splitlines()[-1]
        stated = json.loads(tool(host.project, "python", "-c", MATERIALS, built, env=host.machine.env).stdout)
        assert stated["compositions"][0]["aggregate"] == said
        assert ("libc6" in components(tmp_path, stated)) == (said == "incomplete")


MATERIALS = """
import json, sys
from pathlib import Path
from gitops_ml.image import engine
from gitops_ml.image import materials
from gitops_ml.image.build import Built
from gitops_serving.version import Version
print(json.dumps(materials.materials(Path(), Built(engine.find(), "", sys.argv[1], Version.model_construct(), ""))))
"""
REFUSED = """
import sys
from pathlib import Path
from gitops_ml.image import attach
from gitops_ml.image import registry
from gitops_ml.core.errors import UserError
from gitops_ml.core.record import Image
try:
    image, trusted = Image(name=sys.argv[1], digest=sys.argv[2]), Path(sys.argv[3]).read_bytes()
    print(registry.require(image, seconds=1), attach.require_signed(image, trusted))
except UserError as error:
    print(error)
"""


def said(host: Host, name: str, digest: str, key: Path | None = None) -> str:
    """What the project's check of an image answers."""
    trusted = str(key or host.project / "deploy" / "release.pub")
    return tool(host.project, "python", "-c", REFUSED, name, digest, trusted, env=host.machine.env).stdout


def cosign(host: Host, *arguments: str) -> str:
    """Run cosign; there is no transparency log on a laptop."""
    options = ("--insecure-ignore-tlog", "--allow-http-registry")
    return run(str(NEWER_FILES["cosign"]), *arguments, *options, cwd=host.project, env=host.machine.env)


def strange_key(folder: Path) -> Path:
    """The public half of a key that signed nothing here."""
    for command in ("ecparam -genkey -name prime256v1 -out private.pem", "ec -in private.pem -pubout -out strange.pub"):
        run("openssl", *command.split(), cwd=folder)
    return folder / "strange.pub"


def test_an_image_that_is_not_ours_is_refused(host: Host, image: str, tmp_path: Path) -> None:
    """Unsigned, signed by somebody else, or under another one's signature: each is another sentence."""
    name = f"{host.machine.registry}/team/late-flights"
    ours = host.asked("release", "make")["image"]["digest"]
    assert "signed" in said(host, name, ours)
    assert "it is signed by none of the keys" in said(host, name, ours, strange_key(tmp_path))

    # A second image, and what is signed for the first one put beside it.
    (tmp_path / "Dockerfile").write_text(f"FROM {BASE_NAME}\nLABEL another=one\n")
    host.machine.docker("build", "--quiet", "--tag", f"{name}:another", str(tmp_path))
    host.machine.docker("push", "--quiet", f"{name}:another")
    pushed = host.machine.docker("image", "inspect", "--format", "{{index .RepoDigests 0}}", f"{name}:another")
    another = pushed.partition("@")[2]
    assert f"{name}@{another} is not signed" in said(host, name, another)
    manifests = f"http://{host.machine.registry}/v2/team/late-flights/manifests"
    kind = {"accept": "application/vnd.oci.image.manifest.v1+json"}
    signature = httpx.get(f"{manifests}/{ours.replace(':', '-')}.sig", headers=kind).content
    put = httpx.put(
        f"{manifests}/{another.replace(':', '-')}.sig", content=signature, headers={"content-type": kind["accept"]}
    )
    put.raise_for_status()
    assert "its signature is that of another image" in said(host, name, another)


def test_each_way_a_registry_fails_has_its_own_sentence(host: Host, tmp_path: Path) -> None:
    """An image that is not there, a registry that wants a login, is silent or is not there: four sentences."""
    digest = "sha256:" + "ab" * 32
    assert "has no image team/flights@" in said(host, f"{host.machine.registry}/team/flights", digest)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        assert f"{where} does not answer within 1 seconds" in said(host, f"{where}/team/flights", digest)
    assert f"{where} cannot be reached" in said(host, f"{where}/team/flights", digest)

    with guarded(host, tmp_path, login=False) as where:
        name = f"{where}/team/flights"
        assert "does not let us read team/flights (401); log in to it" in said(host, name, digest)
    with guarded(host, tmp_path) as where:
        assert "has no image team/flights@" in said(host, f"{where}/team/flights", digest)


def test_an_image_is_copied_into_another_registry(host: Host, tmp_path: Path) -> None:
    """With a login the image comes there, with all that tells whose it is, project's tools or not; without, a sentence.

    A new digest it is not: what the release's record names is what is there.
    """
    made = host.asked("release", "make")["image"]
    trusted = str(host.project / "deploy" / "release.pub")
    arguments = (made["name"], made["digest"], trusted)
    with guarded(host, tmp_path, login=False) as where:
        copied = tool(host.project, "python", "-c", COPIED, *arguments, f"{where}/team/flights", env=host.machine.env)
        assert "does not let us read team/flights (401); log in to it" in copied.stdout
    with guarded(host, tmp_path) as where:
        copied = tool(host.project, "python", "-c", COPIED, *arguments, f"{where}/team/flights", env=host.machine.env)
        assert copied.stdout == "signed\n"
        copy = f"{where}/team/flights@{made['digest']}"
        cosign(host, "verify", "--key", trusted, copy)
        for kind in ("cyclonedx", "https://slsa.dev/provenance/v1"):
            cosign(host, "verify-attestation", "--type", kind, "--key", trusted, copy)
        with pytest.raises(CommandError, match="no matching signatures"):
            cosign(host, "verify", "--key", str(strange_key(tmp_path)), copy)
        host.machine.docker("pull", "--quiet", copy)


IDENTITY = "https://github.com/acme/late-flights/.github/workflows/release.yml@refs/heads/main"


def test_a_workflow_signs_without_a_key_beside_ours(host: Host, image: str, tmp_path: Path) -> None:
    """cosign signs a release's image as the workflow that runs, and both signatures verify, at a copy of the image too.

    Where there is no workflow, or Sigstore does not answer, a sentence says so.
    """
    made = host.asked("release", "make")["image"]
    name, copy = made["name"], f"{host.machine.registry}/copies/late-flights"
    with pytest.raises(CommandError, match="error: signing without a key needs a job on GitHub with `permissions"):
        host.gitops("workflow", "sign")
    with sigstore(IDENTITY, tmp_path / "root.pem") as where:
        path = f"{NEWER_FILES['cosign'].parent}:{os.environ['PATH']}"
        job = {"ACTIONS_ID_TOKEN_REQUEST_URL": f"{where}/?v=2", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "none", "PATH": path}
        elsewhere = (f"--fulcio-url={where}", "--tlog-upload=false", "--insecure-skip-verify")
        assert f"signed {name}@{made['digest']} as this workflow" in host.gitops("workflow", "sign", *elsewhere, **job)
    with pytest.raises(CommandError, match=r"error: cosign cannot sign without a key: .*connection refused"):
        host.gitops("workflow", "sign", *elsewhere, **job)
    key = str(host.project / "deploy" / "release.pub")
    copied = tool(host.project, "python", "-c", COPIED, name, made["digest"], key, copy, env=host.machine.env)
    assert copied.stdout == "signed\n"
    roots = ("--certificate-oidc-issuer", ISSUER, "--ca-roots", str(tmp_path / "root.pem"), "--insecure-ignore-sct")
    for each in (f"{name}@{made['digest']}", f"{copy}@{made['digest']}"):
        cosign(host, "verify", "--key", key, each)
        cosign(host, "verify", "--certificate-identity", IDENTITY, *roots, each)
        with pytest.raises(CommandError, match="none of the expected identities matched"):
            cosign(host, "verify", "--certificate-identity", IDENTITY.replace("acme", "mallory"), *roots, each)


COPIED = """
import sys
from pathlib import Path
from gitops_ml.image import attach
from gitops_ml.core.errors import UserError
from gitops_ml.core.record import Image
try:
    image, trusted = Image(name=sys.argv[1], digest=sys.argv[2]), Path(sys.argv[3]).read_bytes()
    attach.copy(image, sys.argv[4], trusted)
    print(attach.require_signed(image, trusted, copied_to=sys.argv[4]))
except UserError as error:
    print(error)
"""


@contextmanager
def guarded(host: Host, folder: Path, login: bool = True) -> Iterator[str]:
    """A registry that wants a login, and whether docker has left one."""
    users, settings = folder / "users", host.machine.folder / "config" / "config.json"
    users.write_text(run("htpasswd", "-Bbn", "somebody", "secret", cwd=folder))
    known = base64.b64encode(b"somebody:secret").decode()
    with registry(folder, users) as where:
        settings.write_text(json.dumps({"auths": {where: {"auth": known}}} if login else {}))
        try:
            yield where
        finally:
            settings.write_text("{}")
