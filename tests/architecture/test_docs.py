from dev import docs_tables


def test_the_tables_of_the_architecture_pages_are_those_of_the_code() -> None:
    assert docs_tables.stale_pages() == []
