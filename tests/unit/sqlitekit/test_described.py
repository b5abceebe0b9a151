"""Definitions from a network are data: one table or one index, written anew, and nothing else."""

from __future__ import annotations

import sqlite3

import pytest

from syncline.sqlitekit.described import (
    NoDefinition,
    check_expression,
    check_growth,
    check_type,
    index_sql,
    table_sql,
)

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
        "FLOAT$BLOB",
        "DECIMAL_TEXT$(10,2)",
    ],
)
def test_a_type_is_words_and_numbers(declared: str) -> None:
    check_type(declared)


@pytest.mark.parametrize(
    "declared",
    ["text); CREATE TABLE evil(x", "INTEGER DEFAULT 1", "text NOT NULL", "a, b", "text --", "x'00'", "$x"],
)
def test_what_is_no_type_is_refused(declared: str) -> None:
    with pytest.raises(NoDefinition):
        check_type(declared)


def test_an_expression_stays_within_its_parentheses() -> None:
    check_expression("lower(hex(randomblob(16))) || '; --'")
    for sql in ("(select 1))) ; drop table u; --", "1) , evil (2", "1; 2", "(1"):
        with pytest.raises(NoDefinition):
            check_expression(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "zeroblob(999999999)",
        "hex(zeroblob(0x7fffffff))",
        '"zeroblob"(999999999)',
        "[zeroblob] (999999999)",
        "zeroblob((999999999))",
        "zeroblob(9 || 99999999)",
        "randomblob(v)",
        "printf('%1000000000d', 1)",
        "printf('%*d', 1000000000, 1)",
        "printf('%d %-1000d', 1, 1)",
        "printf('%l%%1000000d', 1)",
        "printf('%.*f', 1000000000, 1)",
        "printf(v, 1)",
        "format('%.99999f', 1)",
        "replace(v, 'a', w)",
        "replace(v, 'a', zeroblob(9))",
        "replace(replace(replace(v, 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa'), 'a', 'aaaaaaaaaa')",
        "hex(" * 9 + "v" + ")" * 9,
        "hex(" * 5_000 + "v" + ")" * 5_000,
        "printf('%Q', " * 8 + "v" + ")" * 8,
        "json_array(" * 12 + "v" + ")" * 12,
        "json_pretty(5)",
        "v" + " || v" * 300,
        "CREATE TABLE t (a, b AS (a || a || a || a), c AS (b || b || b || b || b), d AS (c || c || c || c),"
        " CHECK (d || d || d > ''))",
        "CREATE TABLE t (b AS (c), c AS (b))",
        "CREATE TABLE t (a, 'b' AS (hex(hex(hex(a)))), c AS (hex(hex(hex(b)))), CHECK (hex(hex(c)) > ''))",
        "CREATE TABLE t (a, 'it''s' AS (hex(hex(hex(hex(a))))), CHECK (hex(hex(hex(hex(t.'it''s')))) > ''))",
        "CREATE TABLE t (a, É AS (hex(hex(hex(hex(a))))), é AS (a), CHECK (hex(hex(hex(hex(É)))) > ''))",
        "concat_ws(hex(hex(v))" + ", ''" * 60 + ")",
        "json_extract(hex(hex(v))" + ", '$'" * 60 + ")",
        "CREATE TABLE hex ((x) AS (y), z CHECK (zeroblob(999999999) > z))",
        "CREATE INDEX i ON t (hex(zeroblob(999999999)))",
    ],
)
def test_an_expression_that_makes_far_more_than_it_is_given_is_refused(sql: str) -> None:
    with pytest.raises(NoDefinition):
        check_growth(sql)


@pytest.mark.parametrize(
    "sql",
    [
        *TABLES,
        "lower(hex(randomblob(4))) || '-' || lower(hex(randomblob(2))) || '-4'"
        " || substr(lower(hex(randomblob(2))), 2) || '-' || substr('89ab', abs(random()) % 4 + 1, 1)"
        " || substr(lower(hex(randomblob(2))), 2) || '-' || lower(hex(randomblob(6)))",
        "replace(replace(replace(replace(v, ' ', ''), '-', ''), '(', ''), ')', '')",
        "replace(v, w, '')",
        "CURRENT_TIMESTAMP",
        "strftime('%Y-%m-%d %H:%M:%f', 'now')",
        "printf('%04d-%02d', y, m)",
        "printf('2024*%05d %.2f %-20s %,d %0010d %%1000 %%*', y, m, v, w, n)",
        "format('%%%03d1000', y)",
        "zeroblob(4096)",
        "json_object('a', 1, 'b', json_array(v, w))",
        "concat_ws(', ', first, last, street, city)",
        "json_extract(v, '$.a', '$.b')",
        "CREATE TABLE t (id, 'all' AS (upper(id) || 'all'), CHECK (t.'all' <> 'all'))",
        "v" + " OR v = 'x'" * 500,
        "CREATE TABLE format (id INTEGER PRIMARY KEY, a char(10), b decimal(10, 5) REFERENCES format (id))",
        "CREATE TABLE t (first TEXT, last TEXT, whole TEXT GENERATED ALWAYS AS (first || ' ' || last) STORED,"
        " up AS (upper(whole)), CHECK (hex(whole) <> quote(up)))",
        "CREATE INDEX hex ON replace (lower(a), b) WHERE b IS NOT NULL",
    ],
)
def test_an_honest_expression_is_light(sql: str) -> None:
    check_growth(sql)


def test_an_index_weighs_what_the_generated_columns_of_its_table_weigh() -> None:
    index = "CREATE INDEX i ON t (hex(hex(hex(hex(b)))))"
    check_growth(index, "CREATE TABLE t (a, b AS (hex(a)))")
    with pytest.raises(NoDefinition):
        check_growth(index, "CREATE TABLE t (a, b AS (hex(hex(hex(hex(a))))))")
