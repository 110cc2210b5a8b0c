"""The hours of the week in which machines may promote to an environment."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gitops_ml.core.errors import UserError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
HOURS = rf"^{CLOCK}-({CLOCK}|24:00)$"
WEEK = 7


class Window(BaseModel):
    """Some hours of some days, as the clocks of a zone show them; they may go on past midnight."""

    model_config = ConfigDict(extra="forbid")

    days: list[Day] = Field(min_length=1)
    hours: Annotated[str, Field(pattern=HOURS)]
    zone: str = "UTC"

    @field_validator("hours")
    @classmethod
    def _last(cls, hours: str) -> str:
        begins, _, ends = hours.partition("-")
        if begins == ends:
            raise ValueError(f"{hours} are no hours; a whole day is 00:00-24:00")
        return hours

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        # Where there is no list of zones at all, as in a small container, nobody asks what time it is either.
        if _zone(zone) is None and _zone("UTC") is not None:
            raise ValueError(f"{zone!r} is no time zone; they are called Europe/Berlin, America/New_York, UTC")
        return zone

    def spans(self, now: datetime) -> Iterable[tuple[datetime, datetime]]:
        """When it opens and closes, from yesterday until a week from now.

        Raises:
            UserError: this machine has no list of time zones.
        """
        zone = _zone(self.zone)
        if zone is None:
            raise UserError(f"this machine does not know what time it is in {self.zone}: install its package tzdata")
        begins, _, ends = self.hours.partition("-")
        today = now.astimezone(zone).date()
        for day in (today + timedelta(days=each) for each in range(-1, WEEK + 1)):
            if DAYS[day.weekday()] in self.days:
                last = day + timedelta(days=ends <= begins or ends == "24:00")
                until = time.fromisoformat(ends.replace("24:00", "00:00"))
                yield (
                    datetime.combine(day, time.fromisoformat(begins), zone),
                    datetime.combine(last, until, zone),
                )


def is_open(windows: Iterable[Window], now: datetime) -> bool:
    """Whether it is in one of them."""
    return any(begins <= now < ends for window in windows for begins, ends in window.spans(now))


def next_opening(windows: Iterable[Window], now: datetime) -> datetime:
    """When the first of them opens, in its own zone."""
    return min(begins for window in windows for begins, _ in window.spans(now) if begins > now)


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
