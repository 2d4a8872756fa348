"""What every view of the desk has in common: closed, read-only, one look, no secrets."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from flask import abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_admin import AdminIndexView, BaseView
from flask_admin.contrib.sqla import ModelView
from flask_admin.model import typefmt
from flask_admin.model.template import EndpointLinkRowAction
from flask_babel.speaklater import LazyString
from flask_login import current_user
from flask_wtf import FlaskForm
from jinja2 import pass_context
from jinja2.runtime import Context
from sqlalchemy import Integer, Numeric

from app.accounts.access import current_may, lacks_factor, lead_to_factor
from app.accounts.form_pages import UNPROCESSABLE
from app.accounts.permissions import Permission
from app.admin.filters import LARGEST, Converter, read_whole
from app.admin.names import PAYER, named, read_names, read_payers
from app.admin.words import yes_or_no
from app.formatting.filters import full_price
from app.formatting.filters import time as format_time

# Never shown on any page, whatever a view lists.
SECRET_COLUMNS = frozenset(
    {
        "password_hash",
        "code_hash",
        "sealed_phone",
        "sealed_contacts",
        "sealed_recipient",
        "sealed_previous",
        "sealed_key",
        "sealed_secret",
        "sealed_passphrase",
        "sealed_subject",
        "sealed_body",
    }
)

LAST_PAGE = 100_000


def _show_time(_view: object, value: datetime, _name: str) -> str:
    return format_time(value)


def _show_decimal(_view: object, value: Decimal, _name: str) -> str:
    # Flask-Admin would write a zero of the database as 0E-18.
    return full_price(value)


FORMATTERS: Mapping[type, Any] = {
    **typefmt.BASE_FORMATTERS,
    datetime: _show_time,
    Decimal: _show_decimal,
    bool: yes_or_no,
}


class Guarded:
    """Open only to people whose role has the view's permission."""

    permission: ClassVar[Permission]

    def is_accessible(self) -> bool:
        # The menu asks this of every view, several times: it is found out once in a request.
        known: dict[Permission, bool] = g.setdefault("open_views", {})
        if self.permission not in known:
            known[self.permission] = current_may(self.permission)
        return known[self.permission]

    def is_visible(self) -> bool:
        return self.is_accessible()

    def inaccessible_callback(self, name: str, **kwargs: Any) -> ResponseReturnValue:
        if not current_user.is_authenticated:
            return redirect(url_for("accounts.login", next=request.path))
        if lacks_factor():
            return lead_to_factor()
        # Who is not staff must not learn that there is a desk.
        abort(403 if current_may(Permission.DESK) else 404)


class Act(EndpointLinkRowAction):
    """A button in the rows of a list, shown to those who may do what it leads to.

    Rows to which it can't be done, as `fits` says, have none.
    """

    def __init__(
        self,
        icon: str,
        endpoint: str,
        title: LazyString,
        needs: Permission,
        id_arg: str = "id",
        fits: Callable[[Any], bool] = lambda _row: True,
    ) -> None:
        super().__init__(icon, endpoint, title=title, id_arg=id_arg)
        self.needs = needs
        self._fits = fits

    def render(self, context: Context, row_id: str, row: Any) -> Any:
        """Write the button, if it fits the row."""
        return super().render(context, row_id, row) if self._fits(row) else ""


class AdminView(Guarded, ModelView):
    """A list of rows with search and filters; a subclass names its columns and its permission."""

    form_base_class = FlaskForm
    filter_converter = Converter()
    can_create = False
    can_edit = False
    can_delete = False
    can_view_details = True
    can_export = False
    can_set_page_size = True
    page_size = 50
    page_size_options = (20, 50, 100)
    column_display_pk = True
    column_type_formatters = FORMATTERS
    column_type_formatters_detail = FORMATTERS
    column_default_sort: Any = ("id", True)
    named_filter_urls = True
    column_list: Sequence[str] = ()

    def is_number(self, name: str) -> bool:
        """Say whether a column holds numbers to compare, which stand right-aligned; ids do not."""
        column = self.model.__table__.columns.get(name)
        if column is None or column.primary_key or column.foreign_keys or name.endswith("_id"):
            return False
        kind = getattr(column.type, "impl_instance", column.type)
        return isinstance(kind, Numeric | Integer)

    def get_list(self, page: int | None, *args: Any, **kwargs: Any) -> Any:
        """List a page; one that can't be is the nearest that can."""
        count, rows = super().get_list(min(max(page or 0, 0), LAST_PAGE), *args, **kwargs)
        read_names(self.model, rows, self.column_list)
        if PAYER in self.column_list:
            read_payers({row.payment_id for row in rows})
        return count, rows

    @pass_context
    def get_list_value(self, context: Any, model: Any, name: str) -> Any:
        """Write a column of a row; a person, a bot or an account by name."""
        return named(model, name) or super().get_list_value(context, model, name)

    @pass_context
    def get_detail_value(self, context: Any, model: Any, name: str) -> Any:
        """Write the same on the page of one row."""
        return named(model, name) or super().get_detail_value(context, model, name)

    def get_list_row_actions(self) -> list[Any]:
        """Return the buttons of a row, without those that would be refused."""
        listed = super().get_list_row_actions()
        return [one for one in listed if not isinstance(one, Act) or current_may(one.needs)]

    def form_page(
        self,
        form: FlaskForm,
        heading: str,
        button: str,
        row: Any = None,
        about: Iterable[tuple[str, Any]] = (),
    ) -> ResponseReturnValue:
        """Show a form with which staff act, and what the list says of the row they act on."""
        facts = tuple(about) if row is None else tuple(self._facts_of(row))
        return self.with_form(
            "admin/act_form.html", form, heading=heading, button=button, facts=facts
        )

    def with_form(self, template: str, form: FlaskForm, **values: Any) -> ResponseReturnValue:
        """Render a page with its form: 422 when something in that is wrong."""
        return self.render(template, form=form, **values), UNPROCESSABLE if form.errors else 200

    def _facts_of(self, row: Any) -> Iterator[tuple[str, Any]]:
        for name in self.column_list:
            # What is no column of the table, a formatter writes.
            if getattr(row, name, name) is not None:
                yield self.get_column_name(name), self.get_list_value(None, row, name)

    def asked_row(self) -> Any:
        """Return the row whose number the address tells; 404 for one that is not there."""
        row = self.get_one(str(asked_number()))
        if row is None:
            abort(404)
        return row

    def get_one(self, id: str) -> Any:
        """Return a row, or None for a number that no row can have."""
        key = self.model.__table__.primary_key.columns[0]
        try:
            return super().get_one(str(read_whole(id)) if key.type.python_type is int else id)
        except ValueError:
            return None

    def get_details_columns(self) -> list[tuple[str, str]]:
        """Show in detail what the list shows, and nothing that nobody listed."""
        names = [name for name in (self.column_details_list or self.column_list)]
        return [(n, self.get_column_name(n)) for n in names if n not in SECRET_COLUMNS]


def asked_number(name: str = "id") -> int:
    """Return the number of a row that a request names, 0 for one that no row can have."""
    number = request.args.get(name, 0, type=int)
    return number if 0 < number <= LARGEST else 0


class StaffPage(Guarded, BaseView):
    """A page of the desk that is not a list of rows."""


class StaffHome(Guarded, AdminIndexView):
    """The first page of the desk."""
