"""Numbers, money and times as people read and type them, in each language."""

from app.formatting.filters import register_formatting
from app.formatting.inputs import input_text, parse_decimal, parse_optional_decimal
from app.formatting.numbers import (
    format_amount,
    format_count,
    format_large_money,
    format_money,
    format_percent,
    format_plain,
    format_price,
    format_signed_money,
    format_signed_percent,
    full_price,
)
from app.formatting.times import (
    format_age,
    format_date,
    format_time,
    split_duration,
    zone_label,
)

__all__ = [
    "format_age",
    "format_amount",
    "format_count",
    "format_date",
    "format_large_money",
    "format_money",
    "format_percent",
    "format_plain",
    "format_price",
    "format_signed_money",
    "format_signed_percent",
    "format_time",
    "full_price",
    "input_text",
    "parse_decimal",
    "parse_optional_decimal",
    "register_formatting",
    "split_duration",
    "zone_label",
]
