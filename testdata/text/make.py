"""Makes the files beside it: text with the line ends, bytes and compressions that real files have.

    pip install zstandard lz4 python-snappy && python testdata/text/make.py
"""
import bz2, gzip, os, struct, zlib
import lz4.block, lz4.frame, snappy, zstandard

here = os.path.dirname(os.path.abspath(__file__))


def write(name, content):
    path = os.path.join(here, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(content)


# Byte order mark; rows that end with CRLF, CR and LF; each of them inside quotes; no end of the last line.
write("line_ends/mixed.csv", b'\xef\xbb\xbfid,name\r\n1,a\r2,b\n\n3,"x\r\ny"\r\n4,"p\rq"\r5,"m\nn"\n6,last')
write("nul/nul.csv", b"id,name\n1,a\x00b\n2,\x00\n")
write("latin1/latin1.csv", b"id,name\n1,caf\xe9\n2,plain\n")
write("ragged/ragged.csv", b"1,a,10\n2,b\n3,c,30,x\n4,d,forty\n5,e,50\n")
write("quotes/quotes.csv", b'1,"a"b\n2,"c"\n3,"never closed\n4,d\n')
write("footer/report.csv", b"report of the day; \"draft\nid,amount\n1,1.5\n2,2.5\n\ntotal,4.0\nend of report\n\n")
write("json/events.json", b'{"id":1,"v":1.5}\n{"id":2,"v":"x"}\nnot json\n[3]\n\r\n{"id":4,"v":null}\r{"id":5}\r\n')
# Numbers that are hard to read (double, decimal(38,10), bigint), and numbers that no value of the type can hold.
numbers = [
    ("1e23", "1234567890123456789012345678.0123456789", "9223372036854775807"),
    ("4.9406564584124654e-324", "0.00000000005", "-9223372036854775808"),
    ("2.2250738585072011e-308", "-0.1", "3.0"),
    ("9007199254740993", "12e3", "9007199254740993"),
    ("31.245270191439438", "0.1234567890123456789", "12e2"),
    ("121.48791951161945", "-99999999999999999999", "-0"),
    ("1.7976931348623157e308", "1E-10", "1.0e0"),
    ("0.30000000000000004", "9999999999999999999999999999.9999999999", "100"),
]
whole = {"3.0": "3", "12e2": "1200", "-0": "0", "1.0e0": "1"}
bad = [
    ("1e400", "0", "0"),
    ("0", "0", "9223372036854775808"),
    ("0", "0", "1.5"),
    ("0", "1e28", "0"),
    ("-1.8e308", "0", "0"),
]
json = lambda i, d, n, b, more="": '{"id":%d,"d":%s,"n":%s,"i":%s%s}\n' % (i, d, n, b, more)
write("numbers/numbers.json", "".join(json(i, d, n, b, ',"all":{"d":[%s]}' % d) for i, (d, n, b) in enumerate(numbers, 1)).encode())
write("numbers/bad.json", "".join(json(i, *row) for i, row in enumerate(bad, 9)).encode())
csv = lambda i, d, n, b: "%d,%s,%s,%s\n" % (i, d, n, whole.get(b, b))
write("numbers/numbers.csv", ("id,d,n,i\n" + "".join(csv(i, *row) for i, row in enumerate(numbers, 1))).encode())
write("numbers/bad.csv", ("id,d,n,i\n" + "".join(csv(i, *row) for i, row in enumerate(bad, 9))).encode())
# Hive's own layout: \001 between fields, \002 between items, \003 between keys and values, \004 one level deeper.
write(
    "hive/nested.txt",
    b"1\x01a\x02b\x02\\N\x01k\x031\x02l\x03\\N\x01x\x027\x01p\x032\x043\x02q\x03\x01d29ybGQ=\n"
    + b"2\x01\x01\x01y\x01\x01\\N\n"
    + b"\\N\x01\\N\x01\\N\x01\\N\x01\\N\x01\n",
)

text = b"".join(b"%d,name %d\n" % (i, i % 7) for i in range(1, 1001))
half = text.index(b"500,")


def hadoop(compress):
    """Hadoop's blocks: bytes of text, then chunks of compressed bytes, each after its length."""
    out = b""
    for part in (text[:half], text[half:]):
        middle = len(part) // 2
        chunks = [compress(part[:middle]), compress(part[middle:])]
        out += struct.pack(">I", len(part)) + b"".join(struct.pack(">I", len(c)) + c for c in chunks)
    return out


write("compressed/gzip/n.csv.gz", gzip.compress(text[:half], mtime=0) + gzip.compress(text[half:], mtime=0))
zstd = zstandard.ZstdCompressor()
write("compressed/zstd/n.csv.zst", zstd.compress(text[:half]) + zstd.compress(text[half:]))
write("compressed/bzip2/n.csv.bz2", bz2.compress(text[:half]) + bz2.compress(text[half:]))
write("compressed/deflate/n.csv.deflate", zlib.compress(text))
write("compressed/lz4_frame/n.csv.lz4", lz4.frame.compress(text[:half]) + lz4.frame.compress(text[half:]))
write("compressed/lz4_hadoop/n.csv.lz4", hadoop(lambda b: lz4.block.compress(b, store_size=False)))
framed = snappy.StreamCompressor()
write("compressed/snappy_frame/n.csv.snappy", framed.compress(text))
write("compressed/snappy_hadoop/n.csv.snappy", hadoop(snappy.compress))
