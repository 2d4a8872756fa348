"""`make chaos`: kill workers a thousand times at a hostile exchange, then compare the books.

`python -m tests.chaos.run [--kills N] [--seed N] [--only PHASE]`: its own PostgreSQL, Valkey,
stand-in for the exchange and workers. The last line is the verdict.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import text

from app.db import db
from dev.embedded import temporary_services
from tests.chaos.rig import HASTE
from tests.services import migrate

# Accounts with two bots on coins each, and accounts with a bot on a contract each.
ACCOUNTS, BOTS, CONTRACTS = 2, 2, 3
LEFT_ALONE = 3
# In a run of so many kills each fault and each habit must have struck.
KILLS_FOR_ALL = 200


def main() -> int:
    """Run and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="phases with this in their name")
    parser.add_argument("--keep", type=Path, help="a folder that keeps journal and log")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="botyard.", ignore_cleanup_errors=True) as name:
        folder = options.keep or Path(name)
        folder.mkdir(exist_ok=True)
        with temporary_services() as services:
            environment = {
                "BOTYARD_ENV": "testing",
                "DATABASE_URL": services.database_url,
                "REDIS_URL": services.redis_url,
                "SECRET_KEY": "only-for-chaos-" * 3,
                "BOTYARD_MASTER_KEYS": "test:" + "A" * 43 + "=",
                "BASE_URL": "http://localhost",
                **HASTE,
            }
            migrate(services.database_url)
            return run(options, environment, folder)


def run(options: Any, environment: dict[str, str], folder: Path) -> int:
    """Run over given servers; return 0 if nothing was found."""
    from app import create_app
    from tests.chaos.campaign import Campaign, phases, table
    from tests.chaos.prices import made, recorded
    from tests.chaos.rig import running_rig
    from tests.doubles.bybit.control import running_double

    tape = recorded() or made(options.seed)
    chosen = [phase for phase in phases() if options.only in phase.name]
    with running_double(folder / "journal.jsonl", options.seed) as control:
        environment["EXCHANGE_BASES"] = f"bybit={control.url}"
        os.environ.update(environment)
        with (
            create_app().app_context(),
            running_rig(environment, control, tape, folder / "log", options.seed) as rig,
        ):
            say(
                f"{options.kills} kills, seed {options.seed}, {tape.name},"
                f" {ACCOUNTS * BOTS} bots on coins, {CONTRACTS} on contracts"
            )
            rig.begin(ACCOUNTS, BOTS, CONTRACTS)
            campaign = Campaign(rig, say)
            result = campaign.run(options.kills, chosen)
            if result.passed and not options.only:
                campaign.end_alone(LEFT_ALONE)
            if result.passed and options.kills >= KILLS_FOR_ALL:
                campaign.note_never_struck(chosen)
            if result.passed:
                campaign.note_idle()
            say(table(result, control.do("counts"), control.restarts))
            if not result.passed:
                write_evidence(rig, folder)
    for line in [*result.findings, *result.missing, *result.idle][:40]:
        say(f"FOUND {line}")
    for name in result.never_struck:
        say(f"FOUND a fault or habit that never struck: {name}")
    killed = sum(result.kills.values())
    if result.passed and killed >= options.kills:
        say(
            f"PASSED: {killed} kills, {result.fills} fills: no order twice, none orphaned, no fill"
            " lost or doubled, no level missing, books equal to the exchange's to the last unit"
        )
        return 0
    say(f"FAILED: {result.faults_found} findings after {killed} kills, seed {options.seed}")
    return 1


def write_evidence(rig: Any, folder: Path) -> None:
    """Write what both sides know of orders, and the bots' logs, for whoever looks into it."""
    from app.transactions import transaction

    def rows(query: str) -> list[dict[str, Any]]:
        with transaction():
            return [dict(row) for row in db.session.execute(text(query)).mappings()]

    evidence = {
        "orders": rows("select * from orders order by id"),
        "events": rows("select * from bot_events order by id"),
        "bots": rows("select * from bots order by id"),
        "fills": rows("select * from fills order by id"),
        "exchange": {seat.account: rig.control.books(seat.key) for seat in rig.live.seats},
    }
    (folder / "evidence.json").write_text(json.dumps(evidence, default=str, indent=1))


def say(line: str) -> None:
    """Tell whoever runs this."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
