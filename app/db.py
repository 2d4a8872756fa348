"""The database: declarative base, naming convention, exact decimals and UTC times."""

from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Annotated, Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import BigInteger, DateTime, Identity, MetaData, Numeric, Text, event, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect, Engine, ExceptionContext
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, mapped_column, registry
from sqlalchemy.types import TypeDecorator

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


# More digits than the column has, so that nothing is rounded on the way out.
_WIDE = Context(prec=60)
_ONE = Decimal(1)


class Exact(TypeDecorator[Decimal]):
    """NUMERIC(38,18) that takes and gives Decimal only; a float or NaN is a mistake of ours."""

    impl = Numeric(38, 18)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | None:
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool):
            value = Decimal(value)
        if not isinstance(value, Decimal) or not value.is_finite():
            raise TypeError(f"an exact column takes a finite Decimal, not {value!r}")
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        # The column pads with zeros to 18 places; drop them, and never leave an exponent.
        if value is None:
            return None
        plain: Decimal = value.normalize(_WIDE)
        is_whole = plain == plain.to_integral_value()
        return plain.quantize(_ONE, context=_WIDE) if is_whole else plain


class UtcTime(TypeDecorator[datetime]):
    """TIMESTAMPTZ that refuses naive times."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise TypeError("a time without zone is a mistake")
        return value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC) if value is not None else None


class Base(DeclarativeBase):
    """Base of all tables."""

    registry = registry(
        metadata=MetaData(naming_convention=NAMING),
        type_annotation_map={
            Decimal: Exact,
            datetime: UtcTime,
            str: Text,
            int: BigInteger,
            # Nothing is NULL, never the JSON word null.
            dict[str, Any]: JSONB(none_as_null=True),
            list[str]: JSONB(none_as_null=True),
        },
    )


db = SQLAlchemy(model_class=Base)

# "cannot execute ... in a read-only transaction"
_READ_ONLY = "25006"


@event.listens_for(Engine, "handle_error")
def _take_read_only_for_away(context: ExceptionContext) -> OperationalError | None:
    """Tell a database that takes no writing as one that is away, and let go of its connections.

    So is the former first server for a moment while another takes over, and the other until then:
    who asks again later finds the right one.
    """
    if getattr(context.original_exception, "sqlstate", None) != _READ_ONLY:
        return None
    context.is_disconnect = True
    return OperationalError(context.statement, None, context.original_exception)


RowId = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]
CreatedAt = Annotated[datetime, mapped_column(UtcTime, server_default=func.now())]


def utc_now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)
