"""Definitions from a network are data: one table or one index, written anew, and nothing else."""

from __future__ import annotations

import sqlite3

import pytest

from syncline.sqlitekit.described import NoDefinition, check_expression, check_type, index_sql, table_sql

TABLES = [
    "CREATE TABLE t(a)",
    "CREATE TABLE \"t\" (a INTEGER PRIMARY KEY,\n b TEXT DEFAULT (lower('it''s')), c DECIMAL(10,5))",
    "CREATE TABLE [t] (a TEXT PRIMARY KEY, b BLOB DEFAULT x'00', CHECK (a GLOB '[a-z]*')) WITHOUT ROWID",
    "CREATE TABLE t (a REAL CHECK (a > 1e5 AND a <> .5))",
    "CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT REFERENCES u (x) ON UPDATE CASCADE ON DELETE SET NULL"
    " DEFERRABLE INITIALLY DEFERRED, c TEXT COLLATE NOCASE, d TEXT AS (upper(c) || '->') STORED) STRICT",
    'CREATE TABLE T ("select" text, [values] text, `a``b` text, \u00e9t\u00e9 text default -1.5)',
]


@pytest.mark.parametrize("sql", TABLES)
def test_an_honest_table_comes_out_as_it_went_in(sql: str) -> None:
    assert table_sql(sql, "t") == sql
    sqlite3.connect(":memory:").execute(sql)


def test_comments_go() -> None:
    sql = "CREATE TABLE t (a, -- '; DROP TABLE u\n b /* ; */, c)"
    assert table_sql(sql, "t") == "CREATE TABLE t (a,   b  , c)"


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1",
        "PRAGMA writable_schema = ON",
        "ATTACH DATABASE 'x' AS y",
        "CREATE TABLE u(a)",
        "CREATE TABLE t(a); DROP TABLE u",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TABLE t(a) AS SELECT 1",
        "CREATE TABLE main.t(a)",
        "CREATE TEMP TABLE t(a)",
        "CREATE TABLE IF NOT EXISTS t(a)",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        "CREATE TABLE t(a CHECK (a IN (SELECT s FROM u)))",
        "CREATE TABLE t(a",
        "CREATE TABLE t(a))",
        "CREATE TABLE t(a 'x)",
        'CREATE TABLE t(a "x)',
        "CREATE TABLE t(a /* x)",
        "CREATE TABLE t(a ?1)",
        "CREATE TABLE t(a\u00a0TEXT)",
        "CREATE TABLE t(a $x)",
        "CREATE TABLE t(a '\0')",
        "CREATE TABLE t(" + "a" * 1_000_001 + ")",
    ],
    ids=lambda sql: repr(sql[:40]),
)
def test_what_is_no_plain_table_is_refused(sql: str) -> None:
    with pytest.raises(NoDefinition):
        table_sql(sql, "t")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX i ON t(a)",
        'CREATE UNIQUE INDEX "i" ON "t" (a COLLATE nocase, lower(b) DESC) WHERE a IS NOT NULL AND b <> \'\'',
    ],
)
def test_an_honest_index_comes_out_as_it_went_in(sql: str) -> None:
    assert index_sql(sql, "T") == sql


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX i ON u(a)",
        "CREATE INDEX i ON",
        "CREATE INDEX ON t(a)",
        "CREATE INDEX i ON t(a) x",
        "CREATE INDEX i ON t(a) WHERE a IN (SELECT 1)",
        "CREATE TRIGGER e AFTER UPDATE ON t BEGIN UPDATE u SET v = 1; END",
        "INSERT INTO t SELECT 77, s FROM y.cookies",
        "DELETE FROM y.cookies",
        "CREATE TABLE x.p(q)",
    ],
)
def test_what_is_no_plain_index_is_refused(sql: str) -> None:
    with pytest.raises(NoDefinition):
        index_sql(sql, "t")


@pytest.mark.parametrize(
    "declared",
    [
        "",
        "INTEGER",
        "VARCHAR(10)",
        "DECIMAL(10, 5)",
        "NATIVE CHARACTER (70)",
        "double precision",
        "numeric(+10,-2)",
    ],
)
def test_a_type_is_words_and_numbers(declared: str) -> None:
    check_type(declared)


@pytest.mark.parametrize(
    "declared",
    ["text); CREATE TABLE evil(x", "INTEGER DEFAULT 1", "text NOT NULL", "a, b", "text --", "x'00'"],
)
def test_what_is_no_type_is_refused(declared: str) -> None:
    with pytest.raises(NoDefinition):
        check_type(declared)


def test_an_expression_stays_within_its_parentheses() -> None:
    check_expression("lower(hex(randomblob(16))) || '; --'")
    for sql in ("(select 1))) ; drop table u; --", "1) , evil (2", "1; 2", "(1"):
        with pytest.raises(NoDefinition):
            check_expression(sql)
