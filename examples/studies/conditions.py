"""What each run records of the machine and of the time at which it starts.

defines: machine, moment
"""

from __future__ import annotations

import datetime
import os
from typing import Any

from bench.measure.machine import describe


def machine(jobs: int) -> dict[str, Any]:
    """The processor, and how many runs share it."""
    facts = describe()
    return {"cpu": facts["cpu"]["name"], "cpus": facts["cpus"], "jobs": jobs}


def moment() -> dict[str, Any]:
    """The time in UTC and the load average."""
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"started": now, "load": os.getloadavg()[0]}
