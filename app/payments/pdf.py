"""An invoice or a credit note as a PDF file, in the reader's language.

The same paper gives the same file.
"""

import io
from collections.abc import Iterable
from functools import cache
from html import escape
from pathlib import Path

from flask_babel import gettext as _
from flask_babel import pgettext

from app.formatting.filters import day, money, number
from app.payments.queries import CreditView, InvoicePage, LineView
from app.payments.texts import AMOUNT, STATE_LABELS, credit_words, discount_words

FONTS = Path(__file__).resolve().parent / "fonts"
PLAIN, BOLD = "DejaVuSans", "DejaVuSans-Bold"
SELLER = "Botyard"
MARGIN = 56
# Widths of the columns on A4 between the margins: what for, period, count, amount.
COLUMNS = (196, 121, 76, 90)

# What something is called and what it is; and what stands in the columns.
Fact = tuple[str, str]
Cells = tuple[str, str, str, str]


def render(page: InvoicePage, email: str) -> bytes:
    """Return the file of an invoice."""
    facts = [
        (_("State"), str(STATE_LABELS[page.card.state])),
        (_("Issued"), day(page.opened_at) if page.opened_at else ""),
        (_("Due"), day(page.card.due_at) if page.card.due_at else ""),
        (_("Paid"), day(page.paid_at) if page.paid_at else ""),
    ]
    rows = [_line(line, page.card.currency) for line in page.lines]
    title = _("Invoice %(number)s", number=page.card.number)
    return _file(title, email, facts, _table(rows, _sums(page)))


def render_credit(page: InvoicePage, credit: CreditView, email: str) -> bytes:
    """Return the file of a credit note of an invoice."""
    currency = page.card.currency
    facts = [
        (pgettext("credit note", "Issued"), day(credit.created_at)),
        (_("To invoice"), page.card.number or ""),
        (_("Invoice of"), day(page.opened_at) if page.opened_at else ""),
    ]
    what = _("Given back of invoice %(number)s", number=page.card.number)
    rows = [(what, "", number(1), money(credit.amount - credit.tax, currency))]
    sums = [(_("Tax"), money(credit.tax, currency))] if credit.tax else []
    total = (_("Total"), money(credit.amount, currency))
    title = _("Credit note %(number)s", number=credit.number)
    return _file(title, email, facts, _table(rows, [*sums, total]))


def _file(title: str, email: str, facts: Iterable[Fact], lines: object) -> bytes:
    # Loaded for whoever asks for a file: it takes a while.
    from reportlab.lib.pagesizes import A4
    from reportlab.platypus import SimpleDocTemplate

    target = io.BytesIO()
    document = SimpleDocTemplate(
        target,
        pagesize=A4,
        title=title,
        author=SELLER,
        invariant=1,
        leftMargin=MARGIN,
        rightMargin=MARGIN,
        topMargin=MARGIN,
        bottomMargin=MARGIN,
    )
    document.build([*_head(title, email, facts), lines])
    return target.getvalue()


@cache
def _load_fonts() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    for name in (PLAIN, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(FONTS / f"{name}.ttf")))


def _head(title: str, email: str, facts: Iterable[Fact]) -> list[object]:
    from reportlab.platypus import Spacer, Table

    sides = [(pgettext("sender", "From"), SELLER), (_("For"), email)]
    rows = [[_text(name), _text(value)] for name, value in (*sides, *facts) if value]
    table = Table(rows, colWidths=(120, sum(COLUMNS) - 120), hAlign="LEFT")
    return [_text(title, BOLD, 18), Spacer(1, 18), table, Spacer(1, 18)]


def _table(lines: Iterable[Cells], sums: Iterable[Fact]) -> object:
    from reportlab.lib import colors
    from reportlab.platypus import Table, TableStyle

    rows = [_row(heads(), BOLD), *(_row(line, PLAIN) for line in lines)]
    rows += [_row((name, "", "", value), BOLD) for name, value in sums]
    style = [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LINEBELOW", (0, 0), (-1, 0), 0.75, colors.black),
        ("LINEBELOW", (0, 1), (-1, -1), 0.25, colors.lightgrey),
    ]
    return Table(rows, colWidths=COLUMNS, repeatRows=1, hAlign="LEFT", style=TableStyle(style))


def _line(line: LineView, currency: str) -> Cells:
    period = ""
    if line.period_start is not None and line.period_end is not None:
        period = f"{day(line.period_start)} – {day(line.period_end)}"
    return line.description, period, number(line.quantity), money(line.amount, currency)


def heads() -> Cells:
    """Return what stands above the columns of the lines."""
    return _("What for"), _("Period"), _("Count"), str(AMOUNT)


def _row(words: Cells, font: str) -> list[object]:
    """Return the cells of a row, its numbers at the right."""
    what, period, *numbers = words
    left = [_text(what, font), _text(period, font)]
    return left + [_text(one, font, is_number=True) for one in numbers]


def _sums(page: InvoicePage) -> list[Fact]:
    currency = page.card.currency
    sums = [
        (discount_words(page.discount_name), -page.discount),
        (_("Tax"), page.tax),
        (_("Total"), page.card.total),
        *((_credit(one, currency), -one.amount) for one in page.credits),
        (_("Given back"), page.card.refunded),
    ]
    total = page.card.total
    return [(name, money(value, currency)) for name, value in sums if value or value is total]


def _credit(one: CreditView, currency: str) -> str:
    tax = money(one.tax, currency) if one.tax else ""
    return credit_words(one.number, day(one.created_at), tax)


def _text(words: str, font: str = PLAIN, size: int = 9, *, is_number: bool = False) -> object:
    from reportlab.lib.enums import TA_LEFT, TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    _load_fonts()
    # Long words break anywhere: nothing that somebody wrote runs over the edge.
    style = ParagraphStyle(
        font,
        fontName=font,
        fontSize=size,
        leading=size * 1.4,
        splitLongWords=1,
        alignment=TA_RIGHT if is_number else TA_LEFT,
    )
    return Paragraph(escape(words, quote=False), style)
