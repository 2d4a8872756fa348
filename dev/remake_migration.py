"""Rebuild the one initial migration from the models, on a throw-away database.

Only while nothing has been released: afterwards every change gets a migration of its own.
"""

import os
import sys
from pathlib import Path

VERSIONS = Path(__file__).resolve().parent.parent / "migrations" / "versions"


def main() -> None:
    """Write migrations/versions/0001_initial.py and prove that it upgrades and downgrades."""
    from dev.embedded import temporary_postgres

    with temporary_postgres() as url:
        os.environ.update(DATABASE_URL=url, REDIS_URL="redis://localhost:1", BOTYARD_ENV="testing")
        sys.path.insert(0, str(VERSIONS.parent.parent))
        from flask_migrate import downgrade, revision, upgrade

        from app import create_app

        # First, because a mistake in the code must not leave the project without its migration.
        app = create_app()
        for old in VERSIONS.glob("*.py"):
            old.unlink()
        VERSIONS.mkdir(exist_ok=True)
        with app.app_context():
            revision(message="initial", autogenerate=True, rev_id="0001")
            upgrade()
            downgrade(revision="base")


if __name__ == "__main__":
    main()
