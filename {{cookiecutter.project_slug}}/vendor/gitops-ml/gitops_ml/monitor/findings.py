"""What follows from the windows: alarms, what to watch, what is not known, and in which order all of it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import get_args

from gitops_ml.monitor import figures
from gitops_ml.monitor.content import Finding, Unknown, Verdict, Window
from gitops_ml.monitor.reference import WORKING_TREE, Reference
from gitops_ml.monitor.signals import AT_ONCE, Kind, Signal, State

KINDS: tuple[Kind, ...] = get_args(Kind)
STATES: tuple[State, ...] = get_args(State)
Key = tuple[Kind, str]
# Without one of them nothing is known of the model, however well its service runs.
OF_THE_MODEL: tuple[Kind, ...] = ("drift", "performance")
# What is beyond its limit, though not proven to be, is watched from here on, as on control charts, whose warning limits
# lie at about 5 %. Without it, columns that differ from day to day would be watched for ever.
WARNING = 0.05
RETRAIN = "`gitops-ml watch retrain` proposes a model of the new data"
ROLL_BACK = "`gitops-ml env rollback {environment}` brings back the release before"
LABELS = "bring labels of these rows early, if that can be had, since they alone show whether it is so"
ASK = "find out what changed where it comes from"
NEXT: dict[Kind, str] = {
    "performance": RETRAIN,
    "worth": RETRAIN,
    "expected": f"{LABELS}; {RETRAIN}",
    "expected worth": f"{LABELS}; {RETRAIN}",
    "calibration": RETRAIN,
    "drift": RETRAIN,
    "age": RETRAIN,
    "unseen": f"{ASK}; if it is to stay so, {RETRAIN}",
    "schema": f"{ASK}; `gitops-ml env ledger` says which releases answered",
    "refused": "ask who calls, since each refusal says what is wrong; `gitops-ml env ledger` says what was promoted",
    "errors": "`gitops-ml env status` says what serves and since when",
    "latency": "`gitops-ml env status` says what serves and since when",
    "silence": "`gitops-ml watch predictions {environment}` brings what was written down since; if there is nothing, "
    "`gitops-ml env status` says what serves",
}
# Where the release before may be the better one.
UNDONE: tuple[Kind, ...] = ("performance", "worth", "calibration", "drift", "errors", "latency")


def alarms(windows: list[Window], needed: int) -> list[Signal]:
    """What is proven in the newest window and, unless it is certain, in as many of all windows as are needed."""
    times = proven(windows)
    return [
        signal
        for signal in windows[-1].signals
        if signal.raised and (signal.kind in AT_ONCE or times[key(signal)] >= needed)
    ]


def verdict(alarmed: list[Signal], watched: list[Signal], newest: Window) -> Verdict:
    """What the monitor says in a word."""
    if alarmed:
        return "alarm"
    if watched:
        return "watch"
    known = any(signal.kind in OF_THE_MODEL and signal.state != "not tested" for signal in newest.signals)
    return "all is well" if known else "not known"


def standing(windows: list[Window]) -> list[Signal]:
    """Each signal of the newest window or, if it was not tested there, as it was when it last was."""
    known = {key(signal): signal for window in windows for signal in window.signals if signal.state != "not tested"}
    return [known.get(key(signal), signal) for signal in windows[-1].signals]


def open_questions(windows: list[Window]) -> list[Signal]:
    """What was proven to be beyond its limit when it was last tested, and was not tested in the newest window."""
    untested = {key(signal) for signal in windows[-1].signals if signal.state == "not tested"}
    return [signal for signal in standing(windows) if signal.raised and key(signal) in untested]


def to_watch(windows: list[Window], alarmed: list[Signal]) -> list[Signal]:
    """What is beyond its limit and no alarm: in too few windows, not tested since, or further than chance often is."""
    known = keys(alarmed)
    return [signal for signal in standing(windows) if _is_remarkable(signal) and key(signal) not in known]


def by_chance(windows: list[Window]) -> list[Signal]:
    """What is beyond its limit in the newest window, and no more than rows of so few days often are."""
    return [signal for signal in windows[-1].signals if signal.is_beyond and not _is_remarkable(signal)]


def ranked(windows: list[Window], needed: int, importance: dict[str, float]) -> list[Key]:
    """The signals of the newest window, the most harmful first.

    Alarms come before all others, then what is proven, beyond its limit, within it, and not tested; of drift first what
    costs most: the share of the rows that moved, times what it costs to shuffle the column in all of them.
    """
    alarmed, times = keys(alarms(windows, needed)), proven(windows)

    def harm(signal: Signal) -> tuple[bool, int, bool, int, float, str]:
        beyond = signal.value / signal.limit if signal.value is not None and signal.limit else 0.0
        cost = (signal.value or 0) * max(importance.get(signal.column, 0), 0) if signal.column else beyond
        return (
            key(signal) not in alarmed,
            STATES.index(signal.state),
            not times[key(signal)],
            KINDS.index(signal.kind),
            -cost,
            signal.name,
        )

    return [key(signal) for signal in sorted(standing(windows), key=harm)]


def alarm(signal: Signal, windows: list[Window], reference: Reference, environment: str) -> Finding:
    """An alarm in words: what is wrong, for how long, how much the column counts, and what to do."""
    found = proven(windows)[key(signal)]
    lasting = "" if signal.kind in AT_ONCE else f", in {found} of {len(windows)} windows"
    advice = NEXT[signal.kind]
    if signal.kind in UNDONE and reference.release != WORKING_TREE:
        advice += f"; {ROLL_BACK}, if the answers are wrong"
    return Finding(
        kind=signal.kind,
        name=signal.name,
        windows=found,
        sentence=f"{signal.sentence}{lasting}{_weight(signal, reference.importance)}",
        next=advice.format(environment=environment),
    )


def warning(signal: Signal, windows: list[Window], needed: int, importance: dict[str, float]) -> Finding:
    """What to watch in words: what it is, and why it is no alarm."""
    found = proven(windows)[key(signal)]
    newest = next(each for each in windows[-1].signals if key(each) == key(signal))
    if newest.state == "not tested":
        said = f"when it was last tested; since then {newest.sentence}"
    elif signal.raised:
        said = f"in {found} of {len(windows)} windows, and {needed} make an alarm"
    else:
        said = (
            "beyond its limit, which is not proven" if signal.p is None else f"which is not proven (p = {signal.p:.2f})"
        )
    sentence = f"{signal.sentence}, {said}{_weight(signal, importance)}"
    return Finding(kind=signal.kind, name=signal.name, windows=found, sentence=sentence)


def unknown(newest: Window) -> list[Unknown]:
    """What was not tested, by the reason; a column once, whatever of it was not."""
    found: dict[str, dict[str, None]] = {}
    for signal in newest.signals:
        if signal.state == "not tested":
            found.setdefault(signal.sentence, {})[signal.column or figures.name(signal)] = None
    return [Unknown(reason=reason, names=list(names)) for reason, names in found.items()]


def proven(windows: list[Window]) -> Counter[Key]:
    """In how many windows each signal was proven to be beyond its limit."""
    return Counter(key(signal) for window in windows for signal in window.signals if signal.raised)


def key(signal: Signal) -> Key:
    """What it is in every window."""
    return signal.kind, signal.name


def keys(signals: Iterable[Signal]) -> set[Key]:
    """What each of them is."""
    return {key(signal) for signal in signals}


def _is_remarkable(signal: Signal) -> bool:
    return signal.raised or (signal.is_beyond and (signal.p is None or signal.p < WARNING))


def _weight(signal: Signal, importance: dict[str, float]) -> str:
    if signal.column not in importance:
        return ""
    order = sorted(importance, key=lambda name: -importance[name])
    return f"; column {order.index(signal.column) + 1} of {len(order)} by importance"
