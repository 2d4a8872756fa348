"""The page of a provider on which a subscription begins: the steps of an edge.

What is stored comes first, then the call, then its answer. One page a person is open at a time.
"""

from datetime import datetime

from sqlalchemy import Select, select

from app.accounts.deletion import service as deletion
from app.accounts.locks import lock_person
from app.adapters.payments.keeping import SubscribeOrder, WithoutCard
from app.adapters.payments.port import Piece
from app.db import db, utc_now
from app.errors import Conflict
from app.payments import checkouts, paying
from app.payments.checkouts import Step, Want
from app.payments.models import Checkout
from app.payments.paying import Payer
from app.payments.rules import CheckoutState, Purpose
from app.settings import queries as settings
from app.settings.rules import TRIAL_CARD
from app.subscriptions import queries, seats
from app.subscriptions.kept import baskets
from app.subscriptions.kept.baskets import Basket
from app.subscriptions.models import KeptState, KeptSubscription, Plan
from app.subscriptions.promotions import queries as codes
from app.subscriptions.promotions import service as promotions
from app.subscriptions.provider import prices, promos, store
from app.subscriptions.seeds import CURRENCY
from app.subscriptions.terms import Choice
from app.transactions import transaction

# One page a person: another choice takes the place of the one before.
SUBJECT = "subscription"


def lead_to_page(person: Payer, rail: str, choice: Choice, back: str) -> str:
    """Return where somebody subscribes to a choice; two clicks lead to the same page.

    Raises Conflict for who has a subscription already, InvalidInput for what is not sold, and what
    there is against a promotion code.
    """
    with transaction():
        basket = _checked(person.id, choice, utc_now())
        trial = _trial_days(person.id, basket)
        discount = codes.discount_for(person.id, choice)
        months = promos.months_of(discount, choice, trial) if discount else 0
    names = prices.ensure(rail, [item.price_id for item in basket.items])
    pieces = tuple(Piece(names[item.price_id], item.quantity) for item in basket.items)
    promo = promos.ensure(rail, choice.promo, months) if discount else None

    def want() -> Want:
        _checked(person.id, choice, utc_now())
        if trial != _trial_days(person.id, basket):
            raise Conflict("subscription_moved")
        return Want(
            Purpose.SUBSCRIPTION,
            basket.total - discount.off(basket.total) if discount else basket.total,
            basket.names,
            subject=SUBJECT,
            content={
                "pieces": [[piece.price, piece.quantity] for piece in pieces],
                "trial_days": trial,
                "without_card": _without_card() if trial else None,
                "language": person.language,
                "back": back,
                **({"promo": promo} if promo else {}),
            },
        )

    with transaction():
        wanted = want()
        step = checkouts.prepare(person.id, rail, wanted)
        if promo:
            promotions.reserve(person.id, choice.promo, choice, step.reference)
    try:
        return paying.make_page(
            step, lambda: store.keeper(rail).subscribe(_order(person, step, wanted))
        )
    except Conflict:
        if promo:
            with transaction():
                promos.doubt(rail, promo)
        raise


def check_code(user_id: int, choice: Choice) -> None:
    """Raise what there is against the promotion code of a choice where a provider keeps it."""
    discount = codes.discount_for(user_id, choice)
    if discount is not None:
        basket = baskets.choose(choice, CURRENCY, utc_now())
        promos.months_of(discount, choice, _trial_days(user_id, basket))


def give_way_to_kept(user_id: int) -> None:
    """Take back the page on which somebody could still subscribe, if we keep a subscription now."""
    if not _has_kept(user_id):
        return
    for checkout in db.session.scalars(_open_pages(user_id)):
        checkouts.replace(checkout)


def _open_pages(user_id: int) -> Select[Checkout]:
    return (
        select(Checkout)
        .where(
            Checkout.user_id == user_id,
            Checkout.purpose == Purpose.SUBSCRIPTION.value,
            Checkout.state == CheckoutState.OPEN.value,
        )
        .with_for_update()
    )


def _order(person: Payer, step: Step, wanted: Want) -> SubscribeOrder:
    """Return the order of a page: all of it stands in its row, so that it can be sent again."""
    content = wanted.content or {}
    without = content["without_card"]
    return SubscribeOrder(
        key=step.reference,
        reference=step.reference,
        user_id=person.id,
        email=person.email,
        language=content["language"],
        pieces=tuple(Piece(price, quantity) for price, quantity in content["pieces"]),
        success_url=paying.success_url(step),
        cancel_url=paying.site_url(content["back"]),
        customer_id=step.customer_id,
        trial_days=content["trial_days"],
        without_card=WithoutCard(without) if without else None,
        promo=content.get("promo"),
    )


def _checked(user_id: int, choice: Choice, now: datetime) -> Basket:
    """Return what is chosen, under the lock of the person; refuse a second subscription."""
    lock_person(user_id)
    if deletion.is_leaving(user_id):
        raise Conflict("account_is_leaving")
    if _has_kept(user_id, KeptState.INCOMPLETE):
        raise Conflict("ordered_elsewhere")
    if store.live_of(user_id) is not None or _has_kept(user_id):
        raise Conflict("subscription_exists")
    basket = baskets.choose(choice, CURRENCY, now)
    # The page that is open already gives way to this one.
    seats.take(basket.items, holder=seats.page_of(user_id))
    return basket


def _has_kept(user_id: int, state: KeptState | None = None) -> bool:
    """Tell whether we keep a subscription of a person that is not over, or is in a state."""
    is_it = KeptSubscription.state != KeptState.ENDED.value
    if state is not None:
        is_it = KeptSubscription.state == state.value
    query = select(KeptSubscription.id).where(KeptSubscription.user_id == user_id, is_it)
    return db.session.scalar(query.limit(1)) is not None


def _trial_days(user_id: int, basket: Basket) -> int:
    """Return for how many days somebody may try this: a plan alone, once a person."""
    if basket.plan is None or basket.addons or queries.has_tried(user_id):
        return 0
    return db.session.get_one(Plan, basket.plan.plan_code).trial_days


def _without_card() -> str | None:
    chosen = settings.text_of(TRIAL_CARD)
    return chosen if chosen in set(WithoutCard) else None
