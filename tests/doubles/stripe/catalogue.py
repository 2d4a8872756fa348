"""What is sold: products, prices, features, coupons and promotion codes."""

from decimal import Decimal

from tests.doubles.stripe.account import Account
from tests.doubles.stripe.errors import invalid, needed
from tests.doubles.stripe.values import Json

CHARS = 14


def create_product(account: Account, params: Json) -> Json:
    """Answer POST /v1/products."""
    if not params.get("name"):
        raise needed("name")
    name = params.get("id") or account.id("prod", CHARS)
    if name in account.objects:
        raise invalid(f"Product already exists: {name}", "id", "resource_already_exists")
    product = {
        "id": name,
        "object": "product",
        "active": params.get("active", True),
        "created": account.now,
        "default_price": None,
        "description": params.get("description"),
        "images": params.get("images") or [],
        "livemode": account.settings.livemode,
        "marketing_features": params.get("marketing_features") or [],
        "metadata": params.get("metadata") or {},
        "name": params["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": params.get("statement_descriptor"),
        "tax_code": params.get("tax_code"),
        "unit_label": params.get("unit_label"),
        "updated": account.now,
        "url": params.get("url"),
    }
    account.add(product, "product.created")
    if data := params.get("default_price_data"):
        price = create_price(account, {**data, "product": name})
        account.touch(product)["default_price"] = price["id"]
    return product


def create_price(account: Account, params: Json) -> Json:
    """Answer POST /v1/prices."""
    if not params.get("currency"):
        raise needed("currency")
    product = params.get("product")
    if data := params.get("product_data"):
        product = create_product(account, data)["id"]
    account.get("product", product, "product")
    amount, decimal = _amount(params)
    key = params.get("lookup_key")
    if key:
        _claim_lookup_key(account, key, transfer=params.get("transfer_lookup_key") == "true")
    recurring = params.get("recurring")
    price = {
        "id": account.id("price"),
        "object": "price",
        "active": params.get("active", True),
        "billing_scheme": "per_unit",
        "created": account.now,
        "currency": params["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": account.settings.livemode,
        "lookup_key": key,
        "metadata": params.get("metadata") or {},
        "nickname": params.get("nickname"),
        "product": product,
        "recurring": recurring and _recurring(recurring),
        "tax_behavior": params.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": decimal,
    }
    return account.add(price, "price.created")


def _amount(params: Json) -> tuple[int | None, str]:
    if params.get("unit_amount") is not None:
        amount = int(params["unit_amount"])
        if amount < 0:
            raise invalid("This value must be greater than or equal to 0.", "unit_amount")
        return amount, str(amount)
    if params.get("unit_amount_decimal") is not None:
        exact = Decimal(params["unit_amount_decimal"])
        return (int(exact) if exact == int(exact) else None), f"{exact.normalize():f}"
    raise needed("unit_amount")


def _recurring(given: Json) -> Json:
    interval = given.get("interval")
    if interval not in {"day", "week", "month", "year"}:
        raise invalid(f"Invalid recurring[interval]: {interval}", "recurring[interval]")
    return {
        "interval": interval,
        "interval_count": given.get("interval_count", 1),
        "meter": given.get("meter"),
        "usage_type": given.get("usage_type", "licensed"),
    }


def _claim_lookup_key(account: Account, key: str, *, transfer: bool) -> None:
    for price in account.every("price", lookup_key=key):
        if not transfer:
            raise invalid(f"A price (`{price['id']}`) already uses that lookup key.", "lookup_key")
        account.touch(price)["lookup_key"] = None


def inline_price(account: Account, row: Json) -> Json:
    """Return the price of a row: one that exists, or one made of its `price_data`."""
    if row.get("price"):
        price = account.get("price", row["price"], "items[0][price]")
        if not price["active"]:
            raise invalid(
                f"The price specified is inactive. This field only accepts active prices: "
                f"{price['id']}",
                "items[0][price]",
                "price_inactive",
            )
        return price
    if data := row.get("price_data"):
        return create_price(account, data)
    raise needed("price")


def create_feature(account: Account, params: Json) -> Json:
    """Answer POST /v1/entitlements/features."""
    if not params.get("lookup_key"):
        raise needed("lookup_key")
    feature = {
        "id": account.id("feat"),
        "object": "entitlements.feature",
        "active": True,
        "livemode": account.settings.livemode,
        "lookup_key": params["lookup_key"],
        "metadata": params.get("metadata") or {},
        "name": params.get("name") or params["lookup_key"],
    }
    return account.add(feature)


def attach_feature(account: Account, params: Json, product: str) -> Json:
    """Answer POST /v1/products/{product}/features."""
    account.get("product", product)
    feature = account.get(
        "entitlements.feature", params.get("entitlement_feature"), "entitlement_feature"
    )
    link: Json = {
        "id": account.id("prodft"),
        "object": "product_feature",
        "entitlement_feature": feature,
        "livemode": account.settings.livemode,
    }
    account.hidden[link["id"]] = {"product": product}
    return account.add(link)


def create_coupon(account: Account, params: Json) -> Json:
    """Answer POST /v1/coupons."""
    percent, amount = params.get("percent_off"), params.get("amount_off")
    if (percent is None) == (amount is None):
        raise invalid("Must provide exactly one of percent_off and amount_off", "percent_off")
    duration = params.get("duration", "once")
    if (duration == "repeating") != (params.get("duration_in_months") is not None):
        raise invalid("duration_in_months goes with duration=repeating only", "duration_in_months")
    name = str(params.get("id") or account.id("", 8)[1:])
    if name in account.objects:
        raise invalid("Coupon already exists.", "id", "resource_already_exists")
    coupon: Json = {
        "id": name,
        "object": "coupon",
        "amount_off": amount,
        "created": account.now,
        "currency": params["currency"].lower() if params.get("currency") else None,
        "duration": duration,
        "duration_in_months": params.get("duration_in_months"),
        "livemode": account.settings.livemode,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": params.get("metadata") or {},
        "name": params.get("name"),
        "percent_off": None if percent is None else _number(percent),
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    if products := (params.get("applies_to") or {}).get("products"):
        # Told only to whoever asks for it by expand[].
        account.hidden[name] = {"applies_to": {"products": products}}
    return account.add(coupon, "coupon.created")


def _number(text: str) -> int | float:
    exact = Decimal(text)
    return int(exact) if exact == int(exact) else float(exact)


def create_promotion_code(account: Account, params: Json) -> Json:
    """Answer POST /v1/promotion_codes."""
    promotion = params.get("promotion") or {}
    if promotion.get("type") != "coupon":
        raise needed("promotion")
    coupon = account.get("coupon", promotion.get("coupon"), "promotion[coupon]")
    code = params.get("code") or account.id("", 8)[1:].upper()
    if _active_code(account, code):
        raise invalid(
            f"An active promotion code with `code: {code}` already exists.",
            "code",
            "resource_already_exists",
        )
    restrictions = params.get("restrictions") or {}
    row = {
        "id": account.id("promo"),
        "object": "promotion_code",
        "active": params.get("active", True),
        "code": code,
        "created": account.now,
        "customer": params.get("customer"),
        "customer_account": None,
        "expires_at": params.get("expires_at"),
        "livemode": account.settings.livemode,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": params.get("metadata") or {},
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": {
            "first_time_transaction": restrictions.get("first_time_transaction", False),
            "minimum_amount": restrictions.get("minimum_amount"),
            "minimum_amount_currency": restrictions.get("minimum_amount_currency"),
        },
        "times_redeemed": 0,
    }
    return account.add(row, "promotion_code.created")


def _active_code(account: Account, code: str) -> Json | None:
    codes = account.every("promotion_code", active=True)
    return next((row for row in codes if row["code"].lower() == code.lower()), None)


def code_named(account: Account, code: str) -> Json:
    """Return the promotion code that a customer typed."""
    row = _active_code(account, code)
    if row is None:
        raise invalid("This promotion code is invalid.", "promotion_code", "resource_missing")
    return row
