"""The ledger tells from Git alone what was put where, by whom, on which verdict and why, as it was at that moment."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gitops_ml.core import record, signing
from gitops_ml.host import host
from gitops_ml.ledger import entries as ledger
from gitops_ml.ledger import page
from gitops_ml.marks import holds
from gitops_ml.promotion import promote
from gitops_ml.versions.git import Git

from tests.automation.cli.test_commands import gitops
from tests.automation.ledger import states
from tests.automation.world import World, environments, git

# As if the reason could say what else the commit does.
REASON = "answers are\nwrong\n\nAction: promote"
SOMEBODY = 'O\x1fNeil "and" sons'


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An environment in whose past there is a bit of everything."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("story")
        patch.setenv(signing.FOLDER_VARIABLE, str(folder / "keys"))
        patch.setattr(host, "DRAIN_SECONDS", 0.05)
        world = World(folder / "world", environments("staging"))
        world.bootstrap()
        play(world)
        yield world
        world.close()


def play(world: World) -> None:
    """Promote, roll back, promote again what was rolled back, edit, mend, return."""
    world.release("a", metrics={"roc_auc": 0.7}, verdict="no champion")
    world.roll_out("staging")
    second = world.release("b", metrics={"roc_auc": 0.75})
    world.roll_out("staging")
    assert promote.rollback(world.opened(), "staging", reason=REASON).state == "merged"
    assert world.deploy("staging").state == "healthy"
    holds.remove(world.opened().git, second)
    world.roll_out("staging")
    world.release("c", metrics={"roc_auc": 0.9}, evaluation="1" * 64, verdict="keep")
    world.roll_out("staging")
    edit(world, "README.md", "edited\n", "Promote flights:0123456789abcdef, with a remark")
    world.roll_out("staging")
    edit(world, record.FILE, "{}\n", "Try something")
    world.roll_out("staging")
    root = person(world)
    tree = git(root, "rev-parse", "HEAD~5^{tree}")
    commit = git(root, "commit-tree", tree, "-p", "HEAD", "-m", "Back to what worked")
    git(root, "push", "--quiet", "origin", f"{commit}:env/staging")
    git(world.root, "fetch", "--quiet")


def person(world: World) -> Path:
    """The clone of somebody with a strange name, at the tip of the environment."""
    root = world.folder / "somebody"
    if not root.exists():
        world.clone("somebody")
    git(root, "fetch", "--quiet")
    git(root, "checkout", "--quiet", "-B", "env/staging", "origin/env/staging")
    return root


def edit(world: World, path: str, content: str, message: str) -> None:
    """Change a file of the environment by hand."""
    root = person(world)
    (root / path).write_text(content)
    git(root, "-c", f"user.name={SOMEBODY}", "commit", "--quiet", "--all", "--message", message)
    git(root, "push", "--quiet", "origin", "env/staging")


@pytest.fixture(scope="module")
def entries(story: World) -> list[ledger.Entry]:
    """What is told, the oldest first."""
    return ledger.read(story.root)[::-1]


def test_an_entry_is_what_its_commit_says_and_holds(story: World, entries: list[ledger.Entry]) -> None:
    """Promoting again is no rollback, an edit is one whatever its title says, and a return by hand is told so."""
    names = {each.release: model for each, model in zip(story.released.values(), "abc", strict=True)}
    told = [(each.action, each.by_hand, names.get(each.release), names.get(each.replaces)) for each in entries]
    assert told == [
        ("promote", False, "a", None),
        ("promote", False, "b", "a"),
        ("roll back", False, "a", "b"),
        ("promote", False, "b", "a"),
        ("promote", False, "c", "b"),
        ("edit by hand", True, "c", "c"),
        ("promote", False, "c", "c"),
        ("edit by hand", True, None, "c"),
        ("promote", False, "c", None),
        ("roll back", True, "b", "c"),
    ]


def test_an_entry_says_why(entries: list[ledger.Entry]) -> None:
    """A promotion has the words of the change on main, a rollback its reason, an edit its title and what it broke."""
    said = [each.why for each in entries]
    assert said[:5] == ["Train a", "Train b", "answers are wrong Action: promote", "Train b", "Train c"]
    assert said[5] == "Promote flights:0123456789abcdef, with a remark"
    assert said[7].startswith("Try something: release.json on")
    assert said[9] == "Back to what worked"


def test_an_entry_says_who(entries: list[ledger.Entry]) -> None:
    """Names are what Git has, whatever is in them."""
    assert [each.who for each in entries[:2]] == ["root", "root"]
    assert entries[5].who == SOMEBODY


def test_an_entry_has_the_verdict_of_its_release(entries: list[ledger.Entry]) -> None:
    """What the gate said when the release was made stands there for ever; of an edit it said nothing."""
    told = [(each.verdict, each.judged.text if each.judged else None) for each in entries[:6]]
    assert told == [
        ("no champion", "Fit to serve"),
        ("promote", "May replace what serves"),
        ("no champion", "Fit to serve"),
        ("promote", "May replace what serves"),
        ("keep", "Must not replace what serves"),
        (None, None),
    ]


def test_figures_are_compared_on_the_same_rows_only(entries: list[ledger.Entry]) -> None:
    """The deciding metric's change is told where both releases were judged on the same rows, in its direction."""
    told = [each.metric.sentence if each.metric else None for each in entries[:7]]
    assert told == [
        "ROC AUC 0.7000",
        "ROC AUC +0.0500, higher is better",
        "ROC AUC -0.0500, higher is better",
        "ROC AUC +0.0500, higher is better",
        "ROC AUC 0.9000, on other rows than before",
        None,
        "ROC AUC as before",
    ]


def test_a_fall_of_what_is_better_low_says_so(world: World) -> None:
    """Of a metric that is better the lower, a negative difference says that lower is better."""
    settings = world.root / "project.yaml"
    git(world.root, "checkout", "--quiet", "-B", "main", "origin/main")
    settings.write_text(settings.read_text().replace("metric: roc_auc", "metric: log_loss"))
    git(world.root, "commit", "--quiet", "--all", "--message", "Decide by log loss")
    git(world.root, "push", "--quiet", "origin", "main")
    for model, value in (("a", 0.5), ("b", 0.4)):
        world.release(model, metrics={"log_loss": value, "roc_auc": 0.5})
        world.promote("staging")
    newest, _ = ledger.read(world.root)
    assert newest.metric
    assert newest.metric.sentence == "log loss -0.1000, lower is better"


def test_rollbacks_that_gave_no_reason_have_that_of_their_hold(world: World) -> None:
    """What version 0.1 rolled back says why in the hold alone, also after the hold was released."""
    first, second = world.release("a"), None
    world.promote("staging")
    second = world.release("b")
    world.promote("staging")
    clone = Git(world.root)
    holds.add(clone, second, "smells\nof burning", datetime.now(UTC))
    holds.remove(clone, second)
    root = person(world)
    title = f"Roll back to {first.release}\n\nEnvironment: staging"
    commit = git(root, "commit-tree", git(root, "rev-parse", "HEAD~1^{tree}"), "-p", "HEAD", "-m", title)
    git(root, "push", "--quiet", "origin", f"{commit}:env/staging")
    clone.fetch()
    newest = ledger.read(world.root)[0]
    assert (newest.action, newest.by_hand, newest.why) == ("roll back", False, "smells of burning")


def test_a_clone_sees_what_origin_has(story: World, entries: list[ledger.Entry]) -> None:
    """A clone that never checked an environment out tells the same, with how it stands now."""
    told = ledger.build(story.clone("another"))
    assert told.entries == entries[::-1]
    assert (told.unknown, [each.name for each in told.now.environments] if told.now else None) == ("", ["staging"])


def test_without_origin_the_past_is_told_all_the_same(story: World, entries: list[ledger.Entry]) -> None:
    """Where `origin` does not answer, the ledger says so, and tells what this clone knows."""
    lonely = story.clone("lonely")
    git(lonely, "remote", "set-url", "origin", str(story.folder / "gone"))
    told = ledger.build(lonely)
    assert told.now is None
    assert "gone" in told.unknown
    assert told.entries == entries[::-1]


def test_an_empty_ledger_says_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until something was promoted, the next command is named, one after the other."""
    monkeypatch.setenv(signing.FOLDER_VARIABLE, str(tmp_path / "keys"))
    world = World(tmp_path / "world", environments("first", "second"))
    assert ledger.build(world.root).advice == "`gitops-ml env bootstrap` creates the branches of the environments"
    world.bootstrap()
    assert ledger.build(world.root).advice == "`gitops-ml release make` makes the first release"
    made = world.release("a")
    assert ledger.build(world.root).advice == f"`gitops-ml env promote first` puts {made.release} on first"
    shown = gitops("env", "ledger", cwd=world.root).stdout
    assert shown == f"nothing was promoted yet: `gitops-ml env promote first` puts {made.release} on first\n"


def test_the_command_prints_a_table_json_and_a_page(story: World, entries: list[ledger.Entry]) -> None:
    """The same entries come as a table of 80 columns, in which releases are whole, as JSON and as a page."""
    table = gitops("env", "ledger", cwd=story.root, env={"COLUMNS": "80", "TZ": "UTC"}).stdout
    assert max(map(len, table.splitlines())) <= 80
    assert all(release.partition(":")[2] in table for release in story.released)
    assert "\x1f" not in table
    told = json.loads(gitops("env", "ledger", "--json", cwd=story.root).stdout)
    assert told["version"] == 1
    assert [each["commit"] for each in told["entries"]] == [each.commit for each in entries[::-1]]
    page = story.folder / "ledger.html"
    assert gitops("env", "ledger", "--html", str(page), cwd=story.root).returncode == 0
    assert page.read_text().count('<tr id="staging-') == len(entries)


def test_a_card_is_headed_by_what_serves() -> None:
    """Where a release failed, what goes on serving is the large one, and what the branch names stands below it."""
    shown = page.html(states.STATES["on hold"]())
    assert f'<p class="big">{states.name(996)}</p>\n<p class="soft">Its branch names {states.name(997)}.</p>' in shown
    assert f"{states.name(997)} is on hold" in shown
    unheard = states.environment("production", serving=None, health="not applied yet", state="not applied yet")
    assert '<p class="big">Not known what serves</p>' in page.html(states.ledger([], states.now(unheard)))
