"""No name that Syncline writes without quotes into statements is a word that some database reserves."""

from __future__ import annotations

import re

import pytest

from syncline.databases.base.tables import LINES, ONE_LOG, STATE, TABLES
from syncline.databases.base.text import statements
from syncline.testing.conformance import Words
from syncline.testing.conforms.centre import TRACKED

RESERVED = {
    "MariaDB": """
accessible add all alter analyze and as asc asensitive before between bigint binary blob both by call
cascade case change char character check collate column condition constraint continue convert create cross
current_date current_role current_time current_timestamp current_user cursor databases day_hour
day_microsecond day_minute day_second dec decimal declare default delayed delete delete_domain_id desc
describe deterministic distinct distinctrow div do_domain_ids double drop dual each else elseif enclosed
escaped except exists exit explain false fetch float float4 float8 for force foreign from fulltext grant
group having high_priority hour_microsecond hour_minute hour_second if ignore ignore_domain_ids in index
infile inner inout insensitive insert int int1 int2 int3 int4 int8 integer intersect interval into is
iterate join key keys kill leading leave left like limit linear lines load localtime localtimestamp lock
long longblob longtext loop low_priority master_demote_to_replica master_demote_to_slave
master_ssl_verify_server_cert match maxvalue mediumblob mediumint mediumtext middleint minute_microsecond
minute_second mod modifies natural no_write_to_binlog not null numeric offset on optimize optionally or
order out outer outfile over page_checksum parse_vcol_expr partition portion precision primary procedure
purge range read read_write reads real recursive ref_system_id references regexp release rename repeat
replace require resignal restrict return returning revoke right rlike row_number rows schemas
second_microsecond select sensitive separator set show signal smallint spatial specific sql sql_big_result
sql_buffer_result sql_cache sql_calc_found_rows sql_no_cache sql_small_result sqlexception sqlstate
sqlwarning ssl starting stats_auto_recalc stats_persistent stats_sample_pages straight_join table terminated
then tinyblob tinyint tinytext to trailing trigger true undo union unique unlock unsigned update usage use
using utc_date utc_time utc_timestamp values varbinary varchar varcharacter varying when where while with
write xor year_month zerofill
""",
    "MySQL": """
accessible add all alter analyze and as asc asensitive before between bigint binary blob both by call
cascade case change char character check collate column condition constraint continue convert create cross
cube cume_dist current_date current_time current_timestamp current_user cursor database databases day_hour
day_microsecond day_minute day_second dec decimal declare default delayed delete dense_rank desc describe
deterministic distinct distinctrow div double drop dual each else elseif empty enclosed escaped except
exists exit explain false fetch first_value float float4 float8 for force foreign from fulltext function
generated get grant group grouping groups having high_priority hour_microsecond hour_minute hour_second if
ignore in index infile inner inout insensitive insert int int1 int2 int3 int4 int8 integer intersect
interval into io_after_gtids io_before_gtids is iterate join json_table key keys kill lag last_value lateral
lead leading leave left library like limit linear lines load localtime localtimestamp lock long longblob
longtext loop low_priority manual master_bind match maxvalue mediumblob mediumint mediumtext middleint
minute_microsecond minute_second mod modifies natural no_write_to_binlog not nth_value ntile null numeric of
on optimize optimizer_costs option optionally or order out outer outfile over parallel partition
percent_rank precision primary procedure purge qualify range rank read read_write reads real recursive
references regexp release rename repeat replace require resignal restrict return revoke right rlike row
row_number rows schema schemas second_microsecond select sensitive separator set show signal smallint
spatial specific sql sql_big_result sql_calc_found_rows sql_small_result sqlexception sqlstate sqlwarning
ssl starting stored straight_join system table tablesample terminated then tinyblob tinyint tinytext to
trailing trigger true undo union unique unlock unsigned update usage use using utc_date utc_time
utc_timestamp values varbinary varchar varcharacter varying virtual when where while window with write xor
year_month zerofill
""",
    "Oracle": """
access add all alter and any as asc audit between by char check cluster column column_value comment compress
connect create current date decimal default delete desc distinct drop else exclusive exists file float for
from grant group having identified immediate in increment index initial insert integer intersect into is
level like lock long maxextents minus mlslabel mode modify nested_table_id noaudit nocompress not nowait
null number of offline on online option or order pctfree prior public raw rename resource revoke row rowid
rownum rows select session set share size smallint start successful synonym sysdate table then to trigger
uid union unique update user validate values varchar varchar2 view whenever where with
""",
    "PostgreSQL": """
all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate
collation column concurrently constraint create cross current_catalog current_date current_role
current_schema current_time current_timestamp current_user default deferrable desc distinct do else end
except false fetch for foreign freeze from full grant group having ilike in initially inner intersect into
is isnull join lateral leading left like limit localtime localtimestamp natural not notnull null offset on
only or order outer overlaps placing primary references returning right select session_user similar some
symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when
where window with
""",
    "SQL Server": """
add all alter and any as asc authorization backup begin between break browse bulk by cascade case check
checkpoint close clustered coalesce collate column commit compute constraint contains containstable continue
convert create cross current current_date current_time current_timestamp current_user cursor database dbcc
deallocate declare default delete deny desc disk distinct distributed double drop dump else end errlvl
escape except exec execute exists exit external fetch file fillfactor for foreign freetext freetexttable
from full function goto grant group having holdlock identity identity_insert identitycol if in index inner
insert intersect into is join key kill left like lineno load merge national nocheck nonclustered not null
nullif of off offsets on open opendatasource openquery openrowset openxml option or order outer over percent
pivot plan precision primary print proc procedure public raiserror read readtext reconfigure references
replication restore restrict return revert revoke right rollback rowcount rowguidcol rule save schema
securityaudit select semantickeyphrasetable semanticsimilaritydetailstable semanticsimilaritytable
session_user set setuser shutdown some statistics system_user table tablesample textsize then to top tran
transaction trigger truncate try_convert tsequal union unique unpivot update updatetext use user values
varying view waitfor when where while with within writetext
""",
    "SQLite": """
add all alter and as autoincrement between case check collate commit constraint create default deferrable
delete distinct drop else escape except exists foreign from group having if in index insert intersect into
is isnull join limit not notnull null on or order primary references returning select set table then to
transaction union unique update using values when where
""",
}
"""The words that can be no name of a column without quotes. Those of MariaDB 10.11 were tried, one by one;
those of the others are what their manuals say."""


@pytest.mark.parametrize("database", RESERVED)
def test_no_column_of_synclines_own_tables_is_called_by_a_reserved_word(database: str) -> None:
    tables = (*TABLES, LINES, STATE, *ONE_LOG)
    names = {column.name for table in tables for column in table.columns}
    assert names.isdisjoint(RESERVED[database].split())


@pytest.mark.parametrize("database", RESERVED)
def test_no_alias_in_shared_statements_is_a_reserved_word(database: str) -> None:
    texts = [*statements("syncline.databases.base", "ledger.sql").values()]
    texts += statements("syncline.databases.base", "ordered.sql").values()
    aliases = {name for text in texts for name in re.findall(r"(?:\bAS |\) )([a-z]+)", text)}
    assert len(aliases) > 3
    assert aliases.isdisjoint(RESERVED[database].split())


@pytest.mark.parametrize("database", RESERVED)
def test_no_name_in_the_conformance_suite_is_a_reserved_word(database: str) -> None:
    words = Words()
    texts = "\n".join((*words.tables, *words.values))
    columns = set(re.findall(r"[(,] ?([a-z_]+) (?:text|integer|bigint|double|blob)", texts))
    assert {"ratio", "octets", "customer_id", "d"} <= columns
    assert {*columns, *TRACKED}.isdisjoint(RESERVED[database].split())
