"""Fetch the page's libraries from npm into src/caffe/web/static/vendor, with their licences and versions.

Needs npm; run it to move to other versions: ``python scripts/vendor_web.py``. The built files are committed, so that
nobody else needs npm.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parents[1] / "src" / "caffe" / "web" / "static" / "vendor"
PACKAGES = {
    "@dagrejs/dagre@3.1.3": {"dist/dagre.esm.js": "dagre.js", "dist/dagre.esm.js.LEGAL.txt": "dagre.LICENSE"},
    "uplot@1.6.32": {
        "dist/uPlot.esm.js": "uPlot.js",
        "dist/uPlot.min.css": "uPlot.min.css",
        "LICENSE": "uPlot.LICENSE",
    },
}
"""Package and version → file of it → name here."""


def main() -> None:
    VENDOR.mkdir(parents=True, exist_ok=True)
    versions = []
    for package, files in PACKAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            made = subprocess.run(
                ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
            )
            with tarfile.open(Path(folder, made.stdout.strip().splitlines()[-1])) as archive:
                about = json.load(archive.extractfile("package/package.json"))
                for source, name in files.items():
                    content = archive.extractfile(f"package/{source}").read()
                    text = content.decode().split("//# sourceMappingURL=")[0]
                    (VENDOR / name).write_text(text, encoding="utf-8")
        versions.append(
            f"{about['name']} {about['version']} ({about['license']}): {', '.join(files.values())}"
        )
    (VENDOR / "VERSIONS.txt").write_text("\n".join(versions) + "\n", encoding="utf-8")
    print("\n".join(versions))


if __name__ == "__main__":
    main()
