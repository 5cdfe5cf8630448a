"""Write the broken files of this folder: python testdata/malformed/make.py"""
import gzip
import pathlib
import struct

here = pathlib.Path(__file__).parent
good = (here / "../taxi/green/2020/01/green_tripdata_2020_01.parquet").read_bytes()
footer = len(good) - 8 - struct.unpack("<I", good[-8:-4])[0]


def write(name, content):
    (here / name).write_bytes(content)


def spoil(start, stop, step=1):
    content = bytearray(good)
    for i in range(start, stop, step):
        content[i] ^= 0x5A
    return bytes(content)


write("empty.parquet", b"")
write("only_magic.parquet", b"PAR1")
write("text.parquet", b"this is text, not Parquet\n")
write("truncated.parquet", good[:9000])
write("footer_too_long.parquet", good[:-8] + struct.pack("<I", 0x7FFFFFFF) + b"PAR1")
write("footer_garbage.parquet", spoil(footer + 20, footer + 60))
write("pages_garbage.parquet", spoil(200, footer - 200, 7))
write("too_few_fields.csv", b"id,name,price\n1,a,1.5\n2,b\n3,c,2.5\n")
write("too_many_fields.csv", b"id,name,price\n1,a,1.5\n2,b,2.5,extra\n")
write("unclosed_quote.csv", b'id,name\n1,"never closed\n2,b\n')
write("not_a_number.csv", b"id,price\n" + b"".join(b"%d,%d.5\n" % (i, i) for i in range(1, 6)) + b"six,6.5\n")
write("invalid_utf8.csv", b"id,name\n1,\xff\xfe\n")
lines = b"id,name\n" + b"".join(b"%d,name %d\n" % (i, i * 7919) for i in range(2000))
packed = gzip.compress(lines, mtime=0)
write("truncated.csv.gz", packed[: len(packed) // 2])
