"""Coupons at work: who may use one, what it takes off, and when it is used up."""

from collections.abc import Iterable
from decimal import ROUND_HALF_UP, Decimal

from tests.doubles.stripe.account import Account
from tests.doubles.stripe.clock import add_interval
from tests.doubles.stripe.errors import invalid
from tests.doubles.stripe.values import Json


def check_coupon(account: Account, coupon: Json) -> None:
    """Refuse a coupon that can no longer be used."""
    late = coupon["redeem_by"] is not None and coupon["redeem_by"] < account.now
    most = coupon["max_redemptions"]
    if late or not coupon["valid"] or (most is not None and coupon["times_redeemed"] >= most):
        raise invalid(f"Coupon expired: {coupon['id']}", "coupon", "coupon_expired")


def check_code(account: Account, code: Json, customer: Json | None, amount: int) -> None:
    """Refuse a promotion code that this customer cannot use for this amount."""
    most, until = code["max_redemptions"], code["expires_at"]
    spent = most is not None and code["times_redeemed"] >= most
    if not code["active"] or spent or (until is not None and until <= account.now):
        raise invalid(
            "This promotion code is expired, inactive or used up.", "promotion_code",
            "promotion_code_expired",
        )  # fmt: skip
    rules = code["restrictions"]
    if code["customer"] and (customer is None or code["customer"] != customer["id"]):
        raise invalid(
            "This promotion code cannot be redeemed because it is for another customer.",
            "promotion_code",
        )
    if rules["minimum_amount"] and amount < rules["minimum_amount"]:
        raise invalid("The minimum amount of this promotion code is not met.", "promotion_code")
    if rules["first_time_transaction"] and customer is not None and _has_paid(account, customer):
        raise invalid(
            "This promotion code cannot be redeemed because the associated customer has prior "
            "transactions.",
            "promotion_code",
            "customer_has_prior_transactions",
        )
    check_coupon(account, account.get("coupon", code["promotion"]["coupon"]))


def _has_paid(account: Account, customer: Json) -> bool:
    charges = account.every("charge", customer=customer["id"], status="succeeded")
    return bool(charges)


def wanted(
    account: Account, rows: Iterable[Json] | None, customer: Json | None, amount: int
) -> list[tuple[Json, Json | None]]:
    """Return the coupons that `discounts` names, with the codes they came by."""
    told: list[tuple[Json, Json | None]] = []
    for row in rows or []:
        if row.get("promotion_code"):
            code = account.get(
                "promotion_code", row["promotion_code"], "discounts[0][promotion_code]"
            )
            check_code(account, code, customer, amount)
            told.append((account.get("coupon", code["promotion"]["coupon"]), code))
        elif row.get("coupon"):
            coupon = account.get("coupon", row["coupon"], "discounts[0][coupon]")
            check_coupon(account, coupon)
            told.append((coupon, None))
        elif row.get("discount"):
            known = account.get("discount", row["discount"], "discounts[0][discount]")
            told.append((account.get("coupon", known["source"]["coupon"]), None))
    return told


def redeem(
    account: Account,
    coupon: Json,
    code: Json | None,
    customer: str,
    *,
    subscription: str | None = None,
    session: str | None = None,
) -> Json:
    """Use a coupon; return the discount it gives."""
    account.touch(coupon)["times_redeemed"] += 1
    if coupon["max_redemptions"] is not None:
        coupon["valid"] = coupon["times_redeemed"] < coupon["max_redemptions"]
    if code is not None:
        account.touch(code)["times_redeemed"] += 1
        if code["max_redemptions"] is not None:
            code["active"] = code["times_redeemed"] < code["max_redemptions"]
    months = coupon["duration_in_months"]
    discount = {
        "id": account.id("di"),
        "object": "discount",
        "checkout_session": session,
        "customer": customer,
        "customer_account": None,
        "end": add_interval(account.now, "month", months) if months else None,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": code and code["id"],
        "source": {"coupon": coupon["id"], "type": "coupon"},
        "start": account.now,
        "subscription": subscription,
        "subscription_item": None,
    }
    return account.add(discount, "customer.discount.created")


def still_on(account: Account, names: Iterable[str]) -> list[Json]:
    """Return the discounts that have not run out."""
    rows = [account.objects[name] for name in names]
    return [row for row in rows if row["end"] is None or row["end"] > account.now]


def use_up(account: Account, subscription: Json) -> None:
    """Take away what was for one invoice only, and what ran out."""
    kept = []
    for row in [account.objects[name] for name in subscription["discounts"]]:
        coupon = account.objects[row["source"]["coupon"]]
        over = row["end"] is not None and row["end"] <= account.now
        if coupon["duration"] == "once" or over:
            account.tell("customer.discount.deleted", row)
        else:
            kept.append(row["id"])
    if kept != subscription["discounts"]:
        account.touch(subscription)["discounts"] = kept


def percent_of(amount: int, percent: object) -> int:
    """Return a share of an amount in whole cents, halves up."""
    exact = Decimal(amount) * Decimal(str(percent)) / 100
    return int(exact.quantize(Decimal(1), ROUND_HALF_UP))


def take_off(account: Account, discount: Json, amounts: list[tuple[int, str | None]]) -> list[int]:
    """Return what a discount takes off each line, given as amount and product."""
    coupon = account.objects[discount["source"]["coupon"]]
    only = account.hidden.get(coupon["id"], {}).get("applies_to", {}).get("products")
    fits = [amount > 0 and (only is None or product in only) for amount, product in amounts]
    if coupon["percent_off"] is not None:
        return [
            percent_of(amount, coupon["percent_off"]) if fit else 0
            for (amount, _), fit in zip(amounts, fits, strict=True)
        ]
    left, taken = coupon["amount_off"], []
    for (amount, _), fit in zip(amounts, fits, strict=True):
        part = min(left, amount) if fit else 0
        left -= part
        taken.append(part)
    return taken
