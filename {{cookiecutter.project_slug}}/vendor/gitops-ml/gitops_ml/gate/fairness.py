"""Whether groups of people are treated alike: how often each is selected, and how often it is judged wrongly.

Selection rates are compared as demographic parity asks for, error rates within a true label as equalized odds does
(Hardt, Price and Srebro 2016, arXiv:1610.02413); both cannot be had where the labels of groups differ (Kleinberg et al.
2017, arXiv:1609.05807), so each has a limit of its own. A group is compared with all others that can be judged, by the
same draws of whole clusters as the gate's metrics. A difference fails as a slice does: beyond its limit, and beyond
chance, where the interval allows for all comparisons (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pipeline import metrics
from pipeline.decision import Integers
from pipeline.tasks.binary import LIKELIER
from pipeline.tasks.scores import Floats

from gitops_ml.core import project
from gitops_ml.gate.candidates import Candidate, Evaluation, Sensitive
from gitops_ml.gate.result import Fairness, GroupDifference, Rule
from gitops_ml.pages import words

# How the names of its rules begin, by which pages tell them apart.
FAIRNESS = "fairness "
# Draws of fewer clusters say next to nothing; see pipeline.stages.validate.
FEWEST_CLUSTERS = 5
NAMED = 3


@dataclass(frozen=True)
class Rate:
    """A share of rows: of those `among`, shape (classes, actions), the `counted` ones; `limit` of its difference."""

    name: str
    counted: npt.NDArray[np.bool_]
    among: npt.NDArray[np.bool_]
    limit: float | None


@dataclass(frozen=True)
class Groups:
    """The judged groups of one column by one rate, by their places in `names`, with the rows that each has of it."""

    column: str
    names: list[str]
    rate: Rate
    judged: list[int]
    rows: Integers


def judge(
    evaluation: Evaluation,
    challenger: Candidate,
    champion: Candidate | None,
    rules: project.Fairness,
    gate: project.Gate,
) -> Fairness:
    """How a model treats the groups of each sensitive column, with intervals; what is not judged is said."""
    found = Fairness(errors=rules.errors, selection=rules.selection, confidence=gate.confidence)
    for column in evaluation.sensitive:
        if column.values is None:
            found.refused.append(f"{column.name}: not judged, since schema.yaml has no such column")
        elif column.is_feature and column.name not in rules.features:
            found.refused.append(f"{column.name} is a feature of the model, and fairness.features does not allow that")
        elif column.is_feature:
            found.allowed.append(column.name)
    if not len(evaluation.classes):
        found.unjudged.append("not judged: a regression takes rows for no class, and so selects nobody")
        return found
    rates = list(_rates(evaluation, rules))
    chosen = _chosen(evaluation, challenger)
    columns = [each for each in evaluation.sensitive if each.values is not None]
    cells = {each.name: _cells(each, evaluation, chosen, rates) for each in columns}
    groups: list[Groups] = []
    for each in columns:
        judged, said = _groups(each, cells[each.name], evaluation, rates)
        groups += judged
        found.unjudged += said
    if groups:
        before = _chosen(evaluation, champion) if champion else None
        serving = {each.name: _cells(each, evaluation, before, rates) for each in columns} if before is not None else {}
        found.groups = list(_differences(evaluation, groups, cells, serving, gate))
    return found


def rules_of(found: Fairness) -> Iterator[Rule]:
    """What a model must keep to: each difference within its limit, no column unknown, none seen that must not be."""
    for sentence in found.refused:
        yield Rule(name=f"{FAIRNESS}{sentence}", holds=False, value=None, limit=0, sentence=f"{FAIRNESS}by {sentence}")
    for each in found.groups:
        if each.limit is not None:
            name = f"{FAIRNESS}{each.name}: {each.what}"
            sentence = f"{FAIRNESS}by {each.sentence}"
            value = abs(each.difference)
            yield Rule(name=name, holds=not each.fails, value=value, limit=each.limit, sentence=sentence)


def _rates(evaluation: Evaluation, rules: project.Fairness) -> Iterator[Rate]:
    """What is compared: of two actions how often the second is taken, of more each; errors by label, of two labels."""
    policy, classes = evaluation.policy, evaluation.classes
    if policy:
        names, wrong = [f"given {name}" for name in policy.actions], (policy.payoffs < policy.payoffs.max(axis=0)).T
    else:
        names, wrong = [f"taken for {name}" for name in classes], ~np.eye(len(classes), dtype=bool)
    everywhere = np.ones_like(wrong)
    for place, name in enumerate(names):
        if place or len(names) > 2:
            counted = np.zeros_like(wrong)
            counted[:, place] = True
            yield Rate(name, counted, everywhere, rules.selection)
    if len(classes) > 2:
        yield Rate("wrong", wrong, everywhere, rules.errors)
        return
    for place, name in enumerate(classes):
        among = np.zeros_like(wrong)
        among[place] = True
        yield Rate(f"wrong where {name}", wrong & among, among, rules.errors)


def _chosen(evaluation: Evaluation, candidate: Candidate) -> Integers:
    """The number of each row's action, or of the class that it is taken for."""
    scores = candidate.scores
    if evaluation.policy:
        return evaluation.policy.choose(scores)
    return np.asarray(scores.argmax(axis=1) if scores.ndim > 1 else scores >= LIKELIER, dtype=np.int64)


def _cells(column: Sensitive, evaluation: Evaluation, chosen: Integers, rates: list[Rate]) -> Integers:
    """The number of each row's cell in the table of groups, classes and actions."""
    classes, actions = rates[0].among.shape
    places = np.unique(np.asarray(column.values), return_inverse=True)[1]
    return np.asarray((places * classes + evaluation.labels) * actions + chosen, dtype=np.int64)


def _groups(
    column: Sensitive, cells: Integers, evaluation: Evaluation, rates: list[Rate]
) -> tuple[list[Groups], list[str]]:
    """By each rate the groups of a column that have enough rows, in enough clusters; and what is said of others."""
    names = [str(name) for name in np.unique(np.asarray(column.values))]
    if len(names) == 1:
        return [], [f"{column.name}: not judged: all rows are of one group, {names[0]}"]
    least, found, said = evaluation.slice_minimum, list[Groups](), dict[str, None]()
    shape = (len(names), *rates[0].among.shape)
    table = np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)
    few = table.sum(axis=(1, 2)) < least
    if few.any():
        said[_few(column.name, names, table.sum(axis=(1, 2)), np.flatnonzero(few), least)] = None
    places = cells // (shape[1] * shape[2])
    for rate in rates:
        rows = table[:, rate.among].sum(axis=1)
        inside = rate.among.ravel()[cells % (shape[1] * shape[2])]
        fewer = np.flatnonzero(~few & (rows < least))
        if len(fewer):
            said[_few(f"{column.name}, {rate.name}", names, rows, fewer, least)] = None
        judged = []
        for place in np.flatnonzero(rows >= least).tolist():
            clusters = len(np.unique(evaluation.clusters[inside & (places == place)]))
            if clusters >= FEWEST_CLUSTERS:
                judged.append(place)
                continue
            together = f"its rows are of {words.counted(clusters, 'cluster')}, and draws need {FEWEST_CLUSTERS}"
            said[f"{column.name} = {names[place]}: not judged: {together}"] = None
        if len(judged) > 1:
            found.append(Groups(column.name, names, rate, judged, rows))
        elif judged:
            said[f"{column.name}, {rate.name}: not judged: no group is left to compare {names[judged[0]]} with"] = None
    return found, list(said)


def _few(what: str, names: list[str], rows: Integers, places: Integers, least: int) -> str:
    """Which groups have too few rows, in one sentence."""
    if len(places) == 1:
        return f"{what} = {names[places[0]]}: not judged: {words.counted(int(rows[places[0]]), 'row')} of {least}"
    named = ", ".join(f"{names[place]} with {rows[place]:,}" for place in places[:NAMED])
    more = f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    return f"{what}: not judged: groups of fewer than {least} rows: {named}{more}"


def _differences(
    evaluation: Evaluation,
    groups: list[Groups],
    cells: dict[str, Integers],
    serving: dict[str, Integers],
    gate: project.Gate,
) -> Iterator[GroupDifference]:
    draws = metrics.draws(evaluation.labels, evaluation.clusters, gate.resamples, evaluation.seed)
    ones = np.ones(len(evaluation.labels))
    here, others = (np.concatenate(each) for each in zip(*_estimated(groups, cells, ones), strict=True))
    known = [each[0] - each[1] for each in _estimated(groups, serving, ones)] if serving else []
    before: list[float | None] = np.concatenate(known).tolist() if known else [None] * len(here)
    drawn = np.array([np.concatenate([one - rest for one, rest in _estimated(groups, cells, each)]) for each in draws])
    tail = (1 - gate.confidence) / 2 / len(here)
    # A draw without any row of a group says nothing of it.
    low, high = np.nanquantile(drawn, [tail, 1 - tail], axis=0)
    places = [(each, place) for each in groups for place in _compared(each)]
    for number, (each, place) in enumerate(places):
        yield GroupDifference(
            column=each.column,
            value=each.names[place],
            against=each.names[each.judged[1]] if len(each.judged) == 2 else "",
            what=each.rate.name,
            rows=int(each.rows[place]),
            here=float(here[number]),
            others=float(others[number]),
            difference=float(here[number] - others[number]),
            low=float(low[number]),
            high=float(high[number]),
            champion=before[number],
            limit=each.rate.limit,
        )


def _compared(groups: Groups) -> list[int]:
    """Of two groups the first, since the second differs by as much; else each."""
    return groups.judged[:1] if len(groups.judged) == 2 else groups.judged


def _estimated(groups: list[Groups], cells: dict[str, Integers], weights: Floats) -> Iterable[tuple[Floats, Floats]]:
    """The rate of each compared group, and of all other judged ones together, where rows weigh so much."""
    tables: dict[str, Floats] = {}
    for each in groups:
        shape = (len(each.names), *each.rate.among.shape)
        if each.column not in tables:
            found = np.bincount(cells[each.column], weights=weights, minlength=int(np.prod(shape)))
            tables[each.column] = found.reshape(shape)
        table = tables[each.column]
        counted, among = (table[:, mask].sum(axis=1) for mask in (each.rate.counted, each.rate.among))
        own = _compared(each)
        rest = [[other for other in each.judged if other != place] for place in own]
        with np.errstate(invalid="ignore", divide="ignore"):
            yield (
                counted[own] / among[own],
                np.array([counted[other].sum() / among[other].sum() for other in rest]),
            )
