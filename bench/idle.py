"""What a tick costs that finds nothing to do: `python -m bench.idle [--accounts N] [--ticks T]`.

Real accounts with two grids each at a stand-in for the exchange that listens on a socket; the
real library, PostgreSQL and Valkey. Counts calls to the exchange by kind, as /metrics does, and
again at the stand-in, which must agree.
"""

import argparse
import time
from typing import Any

from bench.servers import fresh_servers

BOTS = 2
SETTLING = 12
PATIENCE = 60


def main() -> None:
    """Run the benchmark over fresh servers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--ticks", type=int, default=20)
    options = parser.parse_args()
    with fresh_servers(AUDIT_SECONDS="600"):
        raise SystemExit(measure(options.accounts, options.ticks))


def measure(accounts: int, ticks: int) -> int:
    """Make the accounts, let them settle, tick them; return the exit code."""
    from flask_migrate import upgrade

    from app import create_app
    from app.adapters.exchanges.bases import use_bases
    from tests.doubles.bybit.server import serve
    from tests.doubles.bybit.venue import Venue
    from tests.doubles.live import LiveWorld

    server = serve(Venue())
    use_bases({"bybit": server.url})
    app = create_app()
    with app.app_context():
        use_bases({"bybit": server.url})
        upgrade()
        world = LiveWorld(server.operator_hand())
        world.play("100")
        for number in range(accounts):
            world.add_seat(f"customer-{number:04d}-of-the-benchmark", BOTS)
        settle(world)
        before, heard = calls(), sum(server.operator.calls.values())
        began = time.perf_counter()
        for _ in range(ticks):
            world.tick()
        took = time.perf_counter() - began
        after, heard = calls(), sum(server.operator.calls.values()) - heard
    made = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in ("private", "public")}
    looks, bots = accounts * ticks, accounts * BOTS * ticks
    private, public = made["private"] / looks, made["public"] / bots
    print(f"{accounts} real accounts, {BOTS} grids each, {ticks} ticks that find nothing to do")
    for kind, each in (("private", f"{private:.2f} an account"), ("public", f"{public:.2f} a bot")):
        print(f'exchange_calls_total{{kind="{kind}"}} {made[kind]}: {each} and tick')
    print(f"the stand-in heard {heard} calls; {took / looks * 1000:.1f} ms an account and tick")
    fits = private <= 1 and public == 0 and heard == made["private"] + made["public"]
    print(
        "as wanted: at most 1 private call an account, no public call" if fits else "TOO MANY CALLS"
    )
    return 0 if fits else 1


def settle(world: Any) -> None:
    """Tick until every bot is active and no order waits to be sent."""
    from sqlalchemy import text

    from app.db import db
    from app.transactions import transaction

    quiet, waiting = 0, None
    for _ in range(PATIENCE):
        world.tick()
        with transaction():
            waiting = db.session.scalar(
                text(
                    "select (select count(*) from bots where state <> 'active')"
                    " + (select count(*) from orders where status in ('INTENDED', 'UNRESOLVED'))"
                )
            )
        quiet = quiet + 1 if waiting == 0 else 0
        if quiet >= SETTLING // 4:
            return
    raise SystemExit(f"{waiting} bots or orders did not settle")


def calls() -> dict[str, int]:
    """Return the calls of all processes so far by kind."""
    from app.adapters.exchanges.rate_broker import exchange_calls
    from app.extensions import redis_client

    found: dict[str, int] = {}
    for (_, kind), count in exchange_calls(redis_client.client).items():
        found[kind] = found.get(kind, 0) + count
    return found


if __name__ == "__main__":
    main()
