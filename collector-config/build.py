#!/usr/bin/env python3
"""Build the Collector that builder.yaml describes, once, and print where it is. Needs Go 1.26+ on the path.

    "$(python3 collector-config/build.py)" --config collector-config/collector.yaml

It is kept in .cache/otelcol under the manifest's hash, so a second run needs neither network nor Go.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MANIFEST = HERE / "builder.yaml"
CACHE = HERE.parent / ".cache" / "otelcol"
NAME = "otelcol-cost"


def main() -> int:
    """Print the path of the Collector, built if it is not there yet; the exit status."""
    manifest = MANIFEST.read_text(encoding="utf-8")
    folder = CACHE / hashlib.sha256(manifest.encode()).hexdigest()[:16]
    if not (folder / NAME).exists() and (status := build(manifest, folder)):
        return status
    print(folder / NAME)
    return 0


def build(manifest: str, folder: Path) -> int:
    """Build into `folder`, which is there whole or not at all; the builder's exit status."""
    if shutil.which("go") is None:
        print("Building the Collector needs Go 1.26 or newer: https://go.dev/doc/install", file=sys.stderr)
        return 2
    found = re.search(r"^  version: (\S+)$", manifest, re.MULTILINE)
    if not found:
        print(f"{MANIFEST}: dist.version is missing", file=sys.stderr)
        return 2
    print("Building the Collector from its Go modules; this takes some minutes, once ...", file=sys.stderr, flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        (output := Path(scratch) / "build").mkdir()
        moved = re.sub(r"^(  output_path:).*$", rf"\1 {output}", manifest, flags=re.MULTILINE)
        (here := Path(scratch) / MANIFEST.name).write_text(moved, encoding="utf-8")
        builder = f"go.opentelemetry.io/collector/cmd/builder@v{found[1]}"
        made = subprocess.run(
            ["go", "run", builder, "--config", str(here)], stdout=sys.stderr, cwd=scratch, check=False
        )
        if made.returncode == 0:
            folder.mkdir(exist_ok=True)
            (output / NAME).replace(folder / NAME)
        return made.returncode


if __name__ == "__main__":
    sys.exit(main())
