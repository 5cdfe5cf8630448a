"""Makes the Parquet files beside it: tables whose files were written at different times by different programs.

    pip install pyarrow && python testdata/drift/make.py
"""
import datetime, decimal, os
import pyarrow as pa
import pyarrow.parquet as pq

here = os.path.dirname(os.path.abspath(__file__))


def write(name, columns, **options):
    path = os.path.join(here, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="none", **options)


def at(day):
    return datetime.datetime(2020, 1, day, 12, 30, 0, 250000)


# One table of timestamps: INT96 as old Sparks wrote them, and milliseconds, microseconds, nanoseconds.
write("timestamps/int96.parquet", {"t": pa.array([at(1), None], pa.timestamp("ns"))}, use_deprecated_int96_timestamps=True)
write("timestamps/ms.parquet", {"t": pa.array([at(2)], pa.timestamp("ms"))})
write("timestamps/us.parquet", {"t": pa.array([at(3)], pa.timestamp("us"))})
write("timestamps/ns.parquet", {"t": pa.array([at(4)], pa.timestamp("ns"))}, version="2.6")
write("timestamps/date.parquet", {"t": pa.array([datetime.date(2020, 1, 5)], pa.date32())})

# Numbers that widen from file to file.
write("numbers/1.parquet", {"n": pa.array([1, None], pa.int8()), "x": pa.array([1, 2], pa.int32()), "d": pa.array([7, 8], pa.int16())})
write("numbers/2.parquet", {"n": pa.array([2**40], pa.int64()), "x": pa.array([2.5], pa.float64()), "d": pa.array([decimal.Decimal("1.25")], pa.decimal128(5, 2))})
write("numbers/3.parquet", {"N": pa.array([300], pa.int16()), "x": pa.array([0.5], pa.float32())})
write("numbers/4.parquet", {"d": pa.array([decimal.Decimal("12345678901234567890.125")], pa.decimal128(25, 3))})

# Rows inside of rows that got more fields, in another order; items of lists that widened.
write("nested/1.parquet", {"id": [1], "s": pa.array([{"a": 1, "b": "x"}], pa.struct([("a", pa.int32()), ("b", pa.string())])), "l": pa.array([[1, 2]], pa.list_(pa.int32()))})
write("nested/2.parquet", {"id": [2, 3], "s": pa.array([{"c": 1.5, "a": 2**40}, None], pa.struct([("c", pa.float64()), ("a", pa.int64())])), "l": pa.array([[2.5, None], None], pa.large_list(pa.float64())), "m": pa.array([[("k", {"x": 1})], None], pa.map_(pa.string(), pa.struct([("x", pa.int32())])))})
write("nested/3.parquet", {"id": [4], "m": pa.array([[("q", {"x": 2, "y": "z"})]], pa.map_(pa.string(), pa.struct([("x", pa.int64()), ("y", pa.string())])))})

# What does not meet.
for i in range(12):
    kind = pa.string() if i % 2 else pa.int64()
    write("clash/%02d.parquet" % i, {"id": [i], "a": pa.array([str(i) if i % 2 else i], kind)})
# Text as bytes without its annotation.
write("binary/1.parquet", {"s": pa.array([b"as bytes"], pa.binary())})
write("binary/2.parquet", {"s": pa.array(["as text"], pa.string())})
