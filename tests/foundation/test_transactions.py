import pytest
from flask import Flask
from sqlalchemy import select

from app.db import db
from app.exchanges.models import Exchange
from app.transactions import after_commit, transaction


def names() -> list[str]:
    return list(db.session.scalars(select(Exchange.code).where(Exchange.code.like("test-%"))))


def test_hooks_run_after_the_commit(app: Flask, database: None) -> None:
    seen: list[list[str]] = []
    with transaction():
        db.session.add(Exchange(code="test-a", name="A"))
        after_commit(lambda: seen.append(names()))
        assert seen == []
    assert seen == [["test-a"]]


def test_an_error_undoes_all_and_drops_the_hooks(app: Flask, database: None) -> None:
    seen: list[int] = []
    with pytest.raises(RuntimeError, match="stop"), transaction():
        db.session.add(Exchange(code="test-b", name="B"))
        db.session.flush()
        after_commit(lambda: seen.append(1))
        raise RuntimeError("stop")
    assert seen == []
    assert names() == []


def test_only_the_edge_opens_a_transaction(app: Flask, database: None) -> None:
    with transaction(), pytest.raises(RuntimeError, match="open already"), transaction():
        pass


def test_after_commit_needs_a_transaction(app: Flask, database: None) -> None:
    with pytest.raises(RuntimeError, match="needs an open transaction"):
        after_commit(lambda: None)
