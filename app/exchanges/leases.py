"""One writer for each account: a lease that ends by itself, and a token that only grows.

A worker that was paused beyond its lease may still think that it holds it. So every transaction
that writes for an account asks `still_held` first, and whoever sends asks again just before: a
token that somebody raised since is refused. The row stays locked (shared) to the end of the asking
transaction, so nobody can take the account over in the middle of it.

The holder is the name of a worker's place, the same after a restart. Whoever has that name takes
its own leases again at once, and by the raised token the process before it is fenced off.
"""

from collections.abc import Iterable, Mapping

from sqlalchemy import text

from app.db import db

LEASE_SECONDS = 20

# Rows that somebody holds locked belong to a transaction under way: skipped, never waited for.
_ACQUIRE = text("""
    with wanted as (
        select unnest(cast(:accounts as bigint[])) as account_id
    ), free as (
        select account_id from account_leases
        where account_id = any(cast(:accounts as bigint[]))
          -- One that lasts longer than any was given before the clock was set back.
          and (
              expires_at <= clock_timestamp()
              or expires_at > clock_timestamp() + make_interval(secs => 2 * :seconds)
              or holder = :holder
          )
        order by account_id
        for update skip locked
    ), taken_over as (
        update account_leases as lease
        set holder = :holder, token = lease.token + 1,
            expires_at = clock_timestamp() + make_interval(secs => :seconds)
        from free where lease.account_id = free.account_id
        returning lease.account_id, lease.token
    ), added as (
        insert into account_leases (account_id, holder, token, expires_at)
        select account_id, :holder, 1, clock_timestamp() + make_interval(secs => :seconds)
        from wanted
        where not exists (
            select from account_leases as lease where lease.account_id = wanted.account_id
        )
        order by account_id
        on conflict do nothing
        returning account_id, token
    )
    select account_id, token from taken_over union all select account_id, token from added
""")

_HELD = text("""
    select lease.account_id from account_leases as lease
    join unnest(cast(:accounts as bigint[]), cast(:tokens as bigint[])) as mine (account_id, token)
      on lease.account_id = mine.account_id and lease.token = mine.token
    where lease.expires_at > clock_timestamp() + make_interval(secs => :margin)
    order by lease.account_id
    for share of lease
""")

_RENEW = text("""
    update account_leases as lease
    set expires_at = clock_timestamp() + make_interval(secs => :seconds)
    from unnest(cast(:accounts as bigint[]), cast(:tokens as bigint[])) as mine (account_id, token)
    where lease.account_id = mine.account_id and lease.token = mine.token
      and lease.expires_at > clock_timestamp()
    returning lease.account_id
""")

# The token rises: a paused process of the same name is fenced off.
_TAKE_BACK = text("""
    update account_leases set expires_at = clock_timestamp(), token = token + 1
    where holder = :holder and expires_at > clock_timestamp()
    returning account_id
""")

_FENCE_OFF = text("""
    update account_leases set expires_at = clock_timestamp(), token = token + 1
    where account_id = :account
""")

_RELEASE = text("""
    update account_leases as lease
    set expires_at = clock_timestamp()
    from unnest(cast(:accounts as bigint[]), cast(:tokens as bigint[])) as mine (account_id, token)
    where lease.account_id = mine.account_id and lease.token = mine.token
""")


def acquire(account_ids: Iterable[int], holder: str) -> dict[int, int]:
    """Take the leases that are free, ended, or this holder's own; return their new tokens."""
    wanted = sorted(set(account_ids))
    if not wanted:
        return {}
    values = {"accounts": wanted, "holder": holder, "seconds": LEASE_SECONDS}
    return {row.account_id: row.token for row in db.session.execute(_ACQUIRE, values)}


def still_held(tokens: Mapping[int, int], margin_s: float = 0) -> set[int]:
    """Return the accounts whose lease is still ours; it stays so to the transaction's end.

    With `margin_s` the lease must last that many seconds more: as long as a sending may take.
    """
    if not tokens:
        return set()
    values = {**_pairs(tokens), "margin": margin_s}
    return set(db.session.scalars(_HELD, values))


def renew(tokens: Mapping[int, int]) -> set[int]:
    """Prolong leases that are still ours; return the accounts that are."""
    if not tokens:
        return set()
    return set(db.session.scalars(_RENEW, {**_pairs(tokens), "seconds": LEASE_SECONDS}))


def take_back(holder: str) -> list[int]:
    """End the leases that a worker of this name has left behind; return their accounts."""
    return list(db.session.scalars(_TAKE_BACK, {"holder": holder}))


def fence_off(account_id: int) -> None:
    """End the lease of whoever is at work on an account, which waits for what it writes just now.

    Ticks lock the lease first: so does whoever asks for this.
    """
    db.session.execute(_FENCE_OFF, {"account": account_id})


def release(tokens: Mapping[int, int]) -> None:
    """Give leases back; one that somebody else took meanwhile is left alone."""
    if tokens:
        db.session.execute(_RELEASE, _pairs(tokens))


def _pairs(tokens: Mapping[int, int]) -> dict[str, list[int]]:
    accounts = sorted(tokens)
    return {"accounts": accounts, "tokens": [tokens[account] for account in accounts]}
