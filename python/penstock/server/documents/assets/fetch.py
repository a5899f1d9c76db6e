"""Takes Swagger UI from npm into this folder: `python -m penstock.server.documents.assets.fetch`.

Only the two files that the page loads, compressed, and their licences; nothing of the package's own dependency, which
reports installs. The archive must have the digest that stands here.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "5.35.0"
ARCHIVE_SHA256 = "1b8e891893404ea4c3558b6a87e2a3e494e7eedba41168c2ece5800a391a6ea6"
COMPRESSED = ("swagger-ui-bundle.js", "swagger-ui.css")
LICENCES = ("LICENSE", "NOTICE", "swagger-ui-bundle.js.LICENSE.txt")


def fetch(folder: Path) -> None:
    """Writes the files into `folder`. Raises SystemExit when the archive is not the one that was checked."""
    with tempfile.TemporaryDirectory() as scratch:
        pack = ["npm", "pack", "--silent", "--ignore-scripts", f"swagger-ui-dist@{VERSION}"]
        subprocess.run(pack, cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        archive = Path(scratch) / f"swagger-ui-dist-{VERSION}.tgz"
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        if found != ARCHIVE_SHA256:
            sys.exit(f"{archive.name} has the SHA-256 {found}, not {ARCHIVE_SHA256}.")
        with tarfile.open(archive) as members:
            for name in COMPRESSED:
                (folder / f"{name}.gz").write_bytes(gzip.compress(_read(members, name), 9, mtime=0))
            for name in LICENCES:
                (folder / name).write_bytes(_read(members, name))


def _read(members: tarfile.TarFile, name: str) -> bytes:
    member = members.extractfile(f"package/{name}")
    if member is None:
        sys.exit(f"The archive has no {name}.")
    return member.read()


if __name__ == "__main__":
    fetch(Path(__file__).parent)
