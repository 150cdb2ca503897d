"""The tests of the ledger service build spans with one module, `exporter_building`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "unit" / "exporter"))
