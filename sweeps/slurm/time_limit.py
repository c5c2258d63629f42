"""SLURM's ways to write a time limit."""

from __future__ import annotations

import math
import re

from core.errors import require

FORMATS = (
    re.compile(r"(?P<m>\d+)(:(?P<s>\d+))?"),
    re.compile(r"(?P<h>\d+):(?P<m>\d+):(?P<s>\d+)"),
    re.compile(r"(?P<d>\d+)-(?P<h>\d+)(:(?P<m>\d+)(:(?P<s>\d+))?)?"),
)
SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def minutes(time: str) -> int:
    """A time limit as sbatch's page has it, in whole minutes, rounded up.

    Formats: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
    days-hours:minutes:seconds. Raises ConfigError for any other.
    """
    found = next((match for form in FORMATS if (match := form.fullmatch(time.strip()))), None)
    parts = found.groupdict() if found else {}
    seconds = sum(SECONDS[unit] * int(number) for unit, number in parts.items() if number)
    hint = "write minutes (90), hours:minutes:seconds (04:00:00) or days-hours (1-12)"
    require(seconds > 0, f"launcher.time={time} is no time limit of SLURM's", hint)
    return math.ceil(seconds / 60)
