//! The TPC-H tables with what footers of scale factor 10 tell: rows, bounds of numbers and dates, nothing of strings.

use crate::catalog::{ColumnStatistics, Table, TableColumn, TableName, TableSource, TableStatistics};
use crate::types::{DataType, ScalarValue, decimal_type};
use std::sync::{Arc, LazyLock};

/// Name, type (i: bigint, d: decimal(15,2), t: date, s: varchar, n: int), lowest and highest value, bits per row in the file.
type Column = (&'static str, char, i64, i64, u64);

const DAY_1992: i64 = 8035;

#[rustfmt::skip]
const TABLES: &[(&str, u64, &[Column])] = &[
    ("region", 5, &[("r_regionkey", 'i', 0, 4, 64), ("r_name", 's', 0, 0, 64), ("r_comment", 's', 0, 0, 480)]),
    ("nation", 25, &[("n_nationkey", 'i', 0, 24, 64), ("n_name", 's', 0, 0, 64), ("n_regionkey", 'i', 0, 4, 64), ("n_comment", 's', 0, 0, 560)]),
    ("supplier", 100_000, &[("s_suppkey", 'i', 1, 100_000, 32), ("s_name", 's', 0, 0, 60), ("s_address", 's', 0, 0, 200),
        ("s_nationkey", 'i', 0, 24, 8), ("s_phone", 's', 0, 0, 96), ("s_acctbal", 'd', -99_998, 999_999, 40), ("s_comment", 's', 0, 0, 320)]),
    ("customer", 1_500_000, &[("c_custkey", 'i', 1, 1_500_000, 32), ("c_name", 's', 0, 0, 60), ("c_address", 's', 0, 0, 200),
        ("c_nationkey", 'i', 0, 24, 8), ("c_phone", 's', 0, 0, 96), ("c_acctbal", 'd', -99_999, 999_999, 40),
        ("c_mktsegment", 's', 0, 0, 3), ("c_comment", 's', 0, 0, 400)]),
    ("part", 2_000_000, &[("p_partkey", 'i', 1, 2_000_000, 32), ("p_name", 's', 0, 0, 160), ("p_mfgr", 's', 0, 0, 3), ("p_brand", 's', 0, 0, 5),
        ("p_type", 's', 0, 0, 8), ("p_size", 'n', 1, 50, 8), ("p_container", 's', 0, 0, 6), ("p_retailprice", 'd', 90_000, 209_900, 32),
        ("p_comment", 's', 0, 0, 80)]),
    ("partsupp", 8_000_000, &[("ps_partkey", 'i', 1, 2_000_000, 16), ("ps_suppkey", 'i', 1, 100_000, 32), ("ps_availqty", 'n', 1, 9_999, 16),
        ("ps_supplycost", 'd', 100, 100_000, 32), ("ps_comment", 's', 0, 0, 640)]),
    ("orders", 15_000_000, &[("o_orderkey", 'i', 1, 60_000_000, 32), ("o_custkey", 'i', 1, 1_499_999, 32), ("o_orderstatus", 's', 0, 0, 2),
        ("o_totalprice", 'd', 81_300, 55_891_000, 48), ("o_orderdate", 't', DAY_1992, 10_440, 16), ("o_orderpriority", 's', 0, 0, 3),
        ("o_clerk", 's', 0, 0, 14), ("o_shippriority", 'n', 0, 0, 8), ("o_comment", 's', 0, 0, 240)]),
    ("lineitem", 59_986_052, &[("l_orderkey", 'i', 1, 60_000_000, 16), ("l_partkey", 'i', 1, 2_000_000, 32), ("l_suppkey", 'i', 1, 100_000, 32),
        ("l_linenumber", 'n', 1, 7, 8), ("l_quantity", 'd', 100, 5_000, 8), ("l_extendedprice", 'd', 90_000, 10_495_000, 48),
        ("l_discount", 'd', 0, 10, 8), ("l_tax", 'd', 0, 8, 8), ("l_returnflag", 's', 0, 0, 2), ("l_linestatus", 's', 0, 0, 1),
        ("l_shipdate", 't', 8036, 10_561, 16), ("l_commitdate", 't', 8065, 10_530, 16), ("l_receiptdate", 't', 8038, 10_591, 16),
        ("l_shipinstruct", 's', 0, 0, 2), ("l_shipmode", 's', 0, 0, 3), ("l_comment", 's', 0, 0, 160)]),
];

/// One of the eight tables, the same for all its mentions.
pub(super) fn table(name: &str) -> Option<Arc<Table>> {
    static MADE: LazyLock<Vec<Arc<Table>>> = LazyLock::new(|| TABLES.iter().map(make).collect());
    MADE.iter().find(|t| *t.name.name == *name).cloned()
}

fn make((name, rows, columns): &(&str, u64, &[Column])) -> Arc<Table> {
    let decimal = decimal_type(15, 2);
    let value = |kind, v: i64| match kind {
        'i' => Some(ScalarValue::Int64(v)),
        'n' => Some(ScalarValue::Int32(v as i32)),
        'd' => Some(ScalarValue::Decimal(v as i128, 15, 2)),
        't' => Some(ScalarValue::Date(v as i32)),
        _ => None,
    };
    let data_type = |kind| match kind {
        'i' => DataType::Int64,
        'n' => DataType::Int32,
        'd' => decimal.clone(),
        't' => DataType::Date32,
        _ => DataType::Utf8View,
    };
    Arc::new(Table {
        name: TableName {
            database: None,
            name: (*name).into(),
        },
        columns: columns
            .iter()
            .map(|(name, kind, ..)| TableColumn {
                name: (*name).into(),
                data_type: data_type(*kind),
                nullable: false,
            })
            .collect(),
        source: TableSource::Memory(vec![]),
        statistics: TableStatistics {
            rows: Some(*rows),
            bytes: columns.iter().map(|c| c.4 * rows / 8).sum(),
            columns: columns
                .iter()
                .map(|(_, kind, min, max, bits)| ColumnStatistics {
                    min: value(*kind, *min),
                    max: value(*kind, *max),
                    nulls: Some(0),
                    distinct: None,
                    bytes: Some(bits * rows / 8),
                })
                .collect(),
        },
    })
}
