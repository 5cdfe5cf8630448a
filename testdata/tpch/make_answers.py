"""Write the answers of the 22 TPC-H queries, computed by DuckDB, next to this file.

usage: tpchgen-cli parquet -s 0.01 -o DATA && python testdata/tpch/make_answers.py DATA
"""
import pathlib
import sys

import duckdb

here = pathlib.Path(__file__).parent
data = pathlib.Path(sys.argv[1])
(here / "answers").mkdir(exist_ok=True)
connection = duckdb.connect()
for table in sorted(data.glob("*.parquet")):
    connection.execute(f"CREATE VIEW {table.stem} AS FROM '{table}'")
for query in sorted((here / "../../sql/tpch").glob("q*.sql")):
    answer = here / "answers" / f"{query.stem}.csv"
    text = query.read_text().rstrip().rstrip(";")
    connection.execute(f"COPY ({text}) TO '{answer}' (HEADER, DELIMITER ',')")
