"""What GitHub answers, and what a clone lacks, is told in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from gitops_ml.core import project
from gitops_ml.core.errors import UserError
from gitops_ml.github import credentials, doctor, rulesets, trust
from gitops_ml.versions import forge
from gitops_ml.versions.git import Git

from tests.automation.github.test_workflow_commands import Answering, set_storage
from tests.automation.world import World, git

ANSWERS = [b"<html>Sign in</html>", b"\xff", [1], [{}], {"errors": 1}, "text", 1, None]


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_an_answer_of_github_of_another_form_is_a_sentence(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """Comments, proposals, rulesets, the doctor's questions and tokens end in a sentence when GitHub makes no sense."""
    server = Answering(answer)
    for name, value in {
        "GITHUB_REPOSITORY": "acme/model",
        "GITHUB_API_URL": server.url,
        "GH_TOKEN": "not a secret",
        "ACTIONS_ID_TOKEN_REQUEST_URL": server.url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "not a secret",
        "AWS_ROLE_ARN": "x",
        "AWS_REGION": "x",
    }.items():
        monkeypatch.setenv(name, value)
    hub = forge.of(Git(world.root))
    assert isinstance(hub, forge.GitHub)
    asked: list[Callable[[], object]] = [
        lambda: hub.comment(1, "marker", "body"),
        lambda: hub.propose("a", "b", "title", "body"),
        lambda: rulesets.apply(hub, project.read(world.root), dry_run=True),
    ]
    for question in asked:
        with pytest.raises(UserError, match="GitHub answers"):
            question()
    found = {each.name: each for each in doctor.examine(world.root)}
    assert {found[name].state for name in ("workflows' token", "release environment", "rulesets", "code owners")} == {
        "unknown"
    }
    set_storage(world, "s3://bucket")
    with pytest.raises(UserError, match="GitHub answers in another form when asked for an OIDC token"):
        credentials.obtain(world.root, tmp_path)
    server.server.shutdown()
    server.server.server_close()


def test_without_an_origin_the_doctor_says_that_first_and_nothing_that_follows_from_it(world: World) -> None:
    """A clone whose remote has another name, or that has none, is told how to set it; what needs it is not asked."""
    git(world.root, "remote", "rename", "origin", "upstream")
    for remedy in ("`git remote rename upstream origin`", "`git remote add origin URL`"):
        found = list(doctor.examine(world.root))
        assert [each.name for each in found] == ["origin", "storage", "units of systemd here"]
        assert remedy in found[0].sentence
        with pytest.raises(UserError, match="this clone has none"):
            forge.of(Git(world.root))
        if "rename" in remedy:
            git(world.root, "remote", "remove", "upstream")


@pytest.mark.parametrize("approvals", [0, 1, 2])
def test_who_works_alone_is_not_asked_for_an_approval_that_nobody_can_give(world: World, approvals: int) -> None:
    """With no approvals, main asks for no review and still for both statuses; with any, for that of owners."""
    settings = yaml.safe_load((world.root / "project.yaml").read_text())
    settings["pull_requests"]["approvals"] = approvals
    (world.root / "project.yaml").write_text(yaml.safe_dump(settings))
    main = next(each for each in rulesets.wanted(project.read(world.root)) if each["name"] == "main")
    rules = {rule["type"]: rule.get("parameters", {}) for rule in main["rules"]}
    assert rules["pull_request"]["required_approving_review_count"] == approvals
    assert rules["pull_request"]["require_code_owner_review"] == (approvals > 0)
    required = rules["required_status_checks"]["required_status_checks"]
    assert [each["context"] for each in required] == ["pull-request", "trust"]
    git(world.root, "commit", "--quiet", "--all", "--allow-empty", "--message", "Approvals")
    told = trust.look(world.root, "main", "HEAD")
    assert [each.name for each in told.changes] == ([] if approvals == 1 else ["pull_requests.approvals"])
    assert ("asks for nobody else" in told.sentence) == (approvals == 0)
