"""The figures at the top of the page: performance, worth, what is expected of both, calibration, service, labels."""

from __future__ import annotations

from dataclasses import dataclass

from gitops_ml.monitor import estimate, figures
from gitops_ml.monitor.content import Monitoring, Window
from gitops_ml.monitor.signals import Kind, Signal, State
from gitops_ml.pages import words
from gitops_ml.pages.words import Tone

SERVICE: tuple[Kind, ...] = ("latency", "errors", "refused", "silence")
WORST: tuple[State, ...] = ("proven", "beyond", "not tested", "within")
UNKNOWN = "not known"


@dataclass(frozen=True)
class Tile:
    """One figure: what it is, and what to know of it; the sign says what the tone says."""

    name: str
    tone: Tone
    sign: str
    figure: str
    notes: list[str]


def tiles(found: Monitoring) -> list[Tile]:
    """The figures that a person asks for first; what does not exist in this project has none."""
    made = [_performance(found), _worth(found), *_expected(found), _calibration(found), _service(found), _labels(found)]
    return [tile for tile in made if tile]


def _performance(found: Monitoring) -> Tile | None:
    signal, window = _last(found, "performance")
    if signal is None:
        return None
    promised = found.promised.get(signal.name)
    if signal.low is None or signal.high is None or promised is None:
        return _tile(found, signal, window)
    said = f"{words.interval(signal.low, signal.high)}; {words.number(promised.value)} was promised"
    return _tile(found, signal, window, said)


def _worth(found: Monitoring) -> Tile | None:
    signal, window = _last(found, "worth")
    if signal is None:
        return None
    if window.worth is None or signal.value is None:
        return _tile(found, signal, window)
    gain, worth = window.worth.gain, window.worth
    return _tile(
        found,
        signal,
        window,
        f"{words.amount(gain.low, '+')} to {words.amount(gain.high, '+')} per 1,000 rows, beyond always {worth.always}",
        figure=f"{words.amount(gain.value, '+')} {worth.unit}",
    )


def _expected(found: Monitoring) -> list[Tile]:
    """What labels will probably say of the newest window; plain without an alarm, since then it is a guess."""
    kinds: dict[bool, Kind] = {True: "expected worth", False: "expected"}
    made = []
    for each in found.windows[-1].estimates:
        record = next(known for known in found.records if known.name == each.name)
        kind = kinds[each.name == estimate.WORTH]
        signal = next((signal for signal in found.windows[-1].signals if signal.kind == kind), None)
        tone, sign, _ = figures.state(signal) if signal else figures.OPEN
        said = [figures.between(each.name, each.expected), f"by the scores alone; {record.sentence}"]
        figure = figures.value(each.name, each.expected.value)
        made.append(Tile(f"Expected {figures.of_estimate(each.name)}", tone, sign, figure, said))
    return made


def _calibration(found: Monitoring) -> Tile | None:
    signal, window = _last(found, "calibration")
    return _tile(found, signal, window) if signal else None


def _service(found: Monitoring) -> Tile:
    newest = [signal for signal in found.windows[-1].signals if signal.kind in SERVICE]
    # Without requests nothing is well, but that nobody has asked for long may be wrong.
    worst = min(newest, key=lambda signal: (WORST.index(signal.state), SERVICE.index(signal.kind)))
    tone, sign, _ = figures.STATES[worst.state]
    said = [f"{figures.name(signal)} {figures.figure(signal)}" for signal in newest if signal.value is not None]
    if worst.state == "not tested":
        return Tile("Service", tone, sign, UNKNOWN, [worst.sentence, *said])
    figure = f"{figures.name(worst)} {figures.figure(worst)}"
    return Tile("Service", tone, sign, figure, [each for each in said if each != figure])


def _labels(found: Monitoring) -> Tile:
    newest = found.windows[-1]
    known = newest.labelled >= found.settings.least_rows
    tone, sign, _ = figures.STATES["within" if known else "not tested"]
    share = words.share(newest.labelled / newest.rows) if newest.rows else UNKNOWN
    said = [f"{newest.labelled:,} of {words.counted(newest.rows, 'row')}"]
    if not known:
        said.append(f"{found.settings.least_rows:,} are needed")
    return Tile("Labels", tone, sign, share, said)


def _tile(found: Monitoring, signal: Signal, window: Window, *notes: str, figure: str = "") -> Tile:
    tone, sign, said = figures.state(signal)
    if signal.state == "not tested":
        return Tile(_title(signal), tone, sign, UNKNOWN, [signal.sentence])
    late = [] if window == found.windows[-1] else [f"of {figures.period(window)}"]
    limit = f"{said}: {signal.bound} {figures.limit(signal)}"
    return Tile(_title(signal), tone, sign, figure or figures.figure(signal), [*notes, limit, *late])


def _title(signal: Signal) -> str:
    name = figures.name(signal)
    return name[0].upper() + name[1:]


def _last(found: Monitoring, kind: Kind) -> tuple[Signal | None, Window]:
    """The newest that was tested of a kind, with its window; else why it was not; None if there is no such thing."""
    of_kind: list[tuple[Signal, Window]] = [
        (signal, window) for window in found.windows for signal in window.signals if signal.kind == kind
    ]
    tested = [each for each in of_kind if each[0].state != "not tested"]
    return (tested or of_kind)[-1] if of_kind else (None, found.windows[-1])
