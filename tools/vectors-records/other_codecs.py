"""Makes tests/data/compression/*.hex: what other libraries write and Kafka's Java classes do not.

Wants `pip install lz4 zstandard cramjam`; the directory is the only argument.
"""

import pathlib
import sys
import zlib

import cramjam
import lz4
import lz4.frame
import zstandard

CONTENT = b"".join(b"offset %d of segment %d\n" % (i % 40, i % 7) for i in range(7000))


def save(name, origin, codec, data, content=CONTENT):
    lines = [f"# {origin}", f"#> {codec} {len(content)}:{zlib.crc32(content):08x}"]
    lines += [data[at : at + 32].hex() for at in range(0, len(data), 32)]
    directory = pathlib.Path(sys.argv[1])
    (directory / f"{name}.hex").write_text("\n".join(lines) + "\n")


def lz4_frame(**options):
    return lz4.frame.compress(CONTENT, compression_level=9, **options)


lz4_origin = f"python lz4 {lz4.__version__}"
save("lz4_linked", lz4_origin, "lz4",
     lz4_frame(block_size=lz4.frame.BLOCKSIZE_MAX64KB, block_linked=True))
save("lz4_checksums", lz4_origin, "lz4",
     lz4_frame(block_size=lz4.frame.BLOCKSIZE_MAX256KB, block_linked=False, block_checksum=True,
               content_checksum=True, store_size=True))
zstd_origin = f"python zstandard {zstandard.__version__}, libzstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}"
save("zstd_one_segment", zstd_origin, "zstd",
     zstandard.ZstdCompressor(level=3, write_checksum=True, write_content_size=True).compress(CONTENT))
stream = zstandard.ZstdCompressor(level=19, write_checksum=True).compressobj()
half = len(CONTENT) // 2
save("zstd_stream", zstd_origin, "zstd",
     stream.compress(CONTENT[:half]) + stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
     + stream.compress(CONTENT[half:]) + stream.flush())
save("snappy_bare", f"python cramjam {cramjam.__version__}", "snappy",
     bytes(cramjam.snappy.compress_raw(CONTENT[:9000])), CONTENT[:9000])
