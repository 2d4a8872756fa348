"""Copy the front-end libraries of package-lock.json to app/static/vendor, with a manifest.

Run by `make vendor`. The copies are committed, so nothing else ever needs Node.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENDOR = ROOT / "app" / "static" / "vendor"
MANIFEST = VENDOR / "manifest.json"
FILES = {
    "altcha/dist/external/altcha.css": "altcha.css",
    "altcha/dist/external/altcha.min.js": "altcha.min.js",
    "altcha/dist/i18n/pt-br.js": "altcha-pt-br.js",
    "altcha/dist/i18n/ru.js": "altcha-ru.js",
    "altcha/dist/workers/pbkdf2.js": "altcha-pbkdf2.js",
    "altcha/LICENSE.txt": "altcha.LICENSE.txt",
    "bootstrap/dist/css/bootstrap.min.css": "bootstrap.min.css",
    "bootstrap/LICENSE": "bootstrap.LICENSE.txt",
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "htmx.org/LICENSE": "htmx.LICENSE.txt",
    "lightweight-charts/dist/lightweight-charts.standalone.production.mjs": (
        "lightweight-charts.mjs"
    ),
    "lightweight-charts/LICENSE": "lightweight-charts.LICENSE.txt",
}


def main() -> int:
    """Install by the lock file in a temporary folder, copy and write the manifest."""
    npm = shutil.which("npm")
    if npm is None:
        print("npm is needed to renew app/static/vendor; the committed files work without it.")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=folder, check=True, timeout=300)
        copy_files(Path(folder) / "node_modules", VENDOR)
    MANIFEST.write_text(json.dumps(build_manifest(VENDOR), indent=2) + "\n")
    print(f"{len(FILES)} files are in {VENDOR.relative_to(ROOT)}")
    return 0


def copy_files(modules: Path, target: Path) -> None:
    """Copy each listed file of `modules` under its short name."""
    target.mkdir(parents=True, exist_ok=True)
    for source, name in FILES.items():
        shutil.copyfile(modules / source, target / name)


def build_manifest(folder: Path) -> dict[str, dict[str, str]]:
    """Return package, version and SHA-256 of every vendored file in a folder."""
    packages = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    manifest = {}
    for source, name in FILES.items():
        package = source.split("/", 1)[0]
        manifest[name] = {
            "package": package,
            "version": packages[f"node_modules/{package}"]["version"],
            "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        }
    return manifest


if __name__ == "__main__":
    sys.exit(main())
