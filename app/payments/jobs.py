"""Queue entry points."""

import logging
import time

from app.adapters.payments import rail_named
from app.adapters.payments.port import RailCheckout, Ref
from app.db import db, utc_now
from app.errors import DomainError, Unavailable
from app.payments import checkouts, drain, intake, receipts, refunds, slow
from app.payments.settling import take, take_ref
from app.transactions import transaction

log = logging.getLogger(__name__)

# Long enough that callbacks on the way are met, short enough that mail does not wait for us.
LINGER_S = 1.0
LOOK_EVERY_S = 0.05
LONGEST_RUN_S = 20.0
# Where one worker does everything, callbacks wait for this.
LONGEST_WRITING_S = 5.0


def drain_events() -> int:
    """Apply callbacks until none has come for a while; return how many."""
    done, now = 0, time.monotonic()
    end, idle_since = now + LONGEST_RUN_S, now
    while (now := time.monotonic()) < end:
        with transaction():
            groups = drain.due_groups()
        applied = 0
        for group in groups:
            applied += drain.apply_group(group)
            # A commit looks at all that was ever loaded.
            db.session.close()
        done += applied
        if applied:
            idle_since = now
            time.sleep(drain.rest_after(time.monotonic() - now, len(groups), applied))
        elif now - idle_since > LINGER_S:
            return done
        else:
            time.sleep(LOOK_EVERY_S)
    intake.request_drain()
    return done


def sweep_events() -> None:
    """Ask for work where callbacks wait whose job was lost."""
    with transaction():
        waits = bool(drain.due_groups())
    if waits:
        intake.request_drain()


def try_dead_events() -> None:
    """Try callbacks that were given up once more: their fault may be repaired by now."""
    with transaction():
        drain.try_dead_again(utc_now())


def prune_events() -> None:
    """Forget callbacks of long ago, in small transactions."""
    while True:
        with transaction():
            gone = drain.prune(utc_now())
        if not gone:
            return


def look_at_checkouts() -> None:
    """Ask the rails about open pages to pay on: a callback may never come."""
    now = utc_now()
    with transaction():
        checkouts.expire_unmade(now)
        due = checkouts.to_look_at(now)
    for rail, external_id in due:
        _look_at(rail, external_id)


def look_at_slow_payments() -> None:
    """Ask the rails about money that is under way for long; one that is away is left alone."""
    with transaction():
        due = slow.under_way(utc_now())
    away: set[str] = set()
    for rail, ref in due:
        if rail in away:
            continue
        try:
            with transaction():
                take_ref(rail, ref)
        except DomainError as error:
            if isinstance(error, Unavailable):
                away.add(rail)
            log.warning("slow_payment rail=%s id=%s error=%s", rail, ref.id, error.code)
        except Exception:
            # A fault of ours: the callback of this one may have died by it, the others go on.
            log.exception("slow_payment_failed rail=%s id=%s", rail, ref.id)


def look_at_checkout(checkout_id: int) -> None:
    """Ask the rail how a page stands, for somebody who waits for it."""
    with transaction():
        rail, external_id = checkouts.page_of(checkout_id)
    _look_at(rail, external_id)


def close_page(checkout_id: int) -> None:
    """Have a rail take back a page that nobody needs any more; money may come all the same."""
    with transaction():
        rail, external_id = checkouts.page_of(checkout_id)
    try:
        rail_named(rail).close(external_id)
    except DomainError as error:
        log.warning("page_not_closed checkout=%s error=%s", checkout_id, error.code)


def _look_at(rail: str, external_id: str) -> None:
    try:
        with transaction():
            seen = rail_named(rail).fetch(Ref("checkout", external_id))
            if seen is None:
                return
            take(rail, seen)
            if isinstance(seen, RailCheckout):
                for ref in seen.refs:
                    take_ref(rail, ref)
    except DomainError as error:
        log.warning("checkout_not_looked_at rail=%s error=%s", rail, error.code)
    except Exception:
        # A fault of ours: the other pages are looked at all the same.
        log.exception("checkout_look_failed rail=%s id=%s", rail, external_id)


def send_refund(refund_id: int) -> None:
    """Ask the rail for a refund; its key makes it once, however often this runs."""
    with transaction():
        asked = refunds.order_of(refund_id)
    if asked is None:
        return
    rail, order = asked
    try:
        answer = rail_named(rail).refund(order)
    except Unavailable as error:
        log.warning("refund_not_sent refund=%s error=%s", refund_id, error.code)
        return
    except DomainError as error:
        with transaction():
            refunds.refuse(refund_id, error.code)
        return
    with transaction():
        take(rail, answer)


def send_waiting_refunds() -> None:
    """Ask again for refunds whose job was lost or whose rail did not answer."""
    with transaction():
        ids = refunds.unsent(utc_now())
    for refund_id in ids:
        send_refund(refund_id)


def write_receipts() -> None:
    """Write the mails about money that has come or gone back, each in its own transaction."""
    end = time.monotonic() + LONGEST_WRITING_S
    with transaction():
        due = receipts.due(utc_now())
    for one in due:
        if time.monotonic() > end:
            return
        try:
            with transaction():
                receipts.tell(one)
        except Exception:
            # A fault of ours: the other mails are written all the same.
            log.exception("receipt_failed table=%s id=%s", one.model.__tablename__, one.id)
            with transaction():
                receipts.put_off(one)
        # A commit looks at all that was ever loaded.
        db.session.close()
