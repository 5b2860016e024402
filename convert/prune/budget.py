"""A latency budget as people write it: a time, or a part of what the dense model takes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from pocketgraph.models.errors import UsageError

_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_FORM = re.compile(r"\s*(\d+\.?\d*|\.\d+)\s*([a-zµμ]+)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Budget:
    """`seconds`, or `share` of the dense model's latency; the other one is None."""

    text: str
    seconds: float | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """`3ms`, `2.5 ms`, `1500us`, `0.01s` or `0.6x`. Raises `UsageError` for anything else, and for zero."""
        found = _FORM.fullmatch(text) if isinstance(text, str) else None
        unit = found[2].lower() if found else ""
        value = float(found[1]) if found else 0.0
        if not math.isfinite(value) or value <= 0 or (unit != "x" and unit not in _UNITS):
            raise UsageError(
                f"the latency is {text!r}: give a time such as 3ms or 1500us, or a part of what the dense model takes"
                " such as 0.6x"
            )
        if unit == "x":
            return cls(text.strip(), share=value)
        return cls(text.strip(), seconds=value * _UNITS[unit])

    def of(self, dense: float) -> float:
        """The budget in seconds where the dense model takes `dense`."""
        return self.seconds if self.seconds is not None else (self.share or 0.0) * dense


def milliseconds(seconds: float) -> str:
    """A time with three digits that mean something: `2.93 ms`."""
    value = 1e3 * seconds
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{digits}f} ms"
