// Makes record vectors with Kafka's own classes, and reads with them what Chronik wrote.
//
//   Vectors make <directory> <version of Kafka>  writes the vectors as .hex files
//   Vectors read <file.bin>...                   prints what Kafka reads in each file
//
// The package of the record classes moved in Kafka 4.4; run.sh puts the right import in place of the next line.
//IMPORT
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.HexFormat;
import java.util.zip.CRC32;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

public class Vectors {
    static final long T = 1700000000000L;
    static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    static Path directory;
    static String version;

    public static void main(String[] args) throws Exception {
        if (args[0].equals("read")) {
            for (int i = 1; i < args.length; i++) {
                byte[] bytes = Files.readAllBytes(Paths.get(args[i]));
                System.out.print(describe(MemoryRecords.readableRecords(ByteBuffer.wrap(bytes)), ""));
            }
            return;
        }
        directory = Paths.get(args[1]);
        version = args[2];
        if (version.startsWith("3.")) {
            makeOld();
        } else {
            makeNew();
        }
    }

    static void makeNew() throws Exception {
        for (String codec : CODECS) {
            save("v2_" + codec, plain((byte) 2, codec, TimestampType.CREATE_TIME));
            save("v2_" + codec + "_large", large((byte) 2, codec));
        }
        save("v2_none_log_append_time", plain((byte) 2, "none", TimestampType.LOG_APPEND_TIME));
        save("v2_gzip_log_append_time", plain((byte) 2, "gzip", TimestampType.LOG_APPEND_TIME));
        save("v2_none_gaps", gaps((byte) 2, "none"));
        save("v2_zstd_gaps", gaps((byte) 2, "zstd"));
        save("v2_none_transactional", transactional());
        save("v2_none_no_timestamp", MemoryRecords.withRecords(Compression.NONE,
            new SimpleRecord(-1L, bytes("k"), bytes("v"))));
        for (ControlRecordType type : new ControlRecordType[] {ControlRecordType.ABORT, ControlRecordType.COMMIT}) {
            save("v2_marker_" + type.name().toLowerCase(), MemoryRecords.withEndTransactionMarker(
                77L, T, 3, 4000L, (short) 5, new EndTransactionMarker(type, 9)));
        }
        ByteBuffer empty = ByteBuffer.allocate(61);
        DefaultRecordBatch.writeEmptyHeader(empty, (byte) 2, 4000L, (short) 5, 10, 100L, 104L, 7,
            TimestampType.CREATE_TIME, T, true, false);
        empty.flip();
        save("v2_empty", MemoryRecords.readableRecords(empty));
    }

    static void makeOld() throws Exception {
        for (byte magic = 0; magic <= 1; magic++) {
            for (String codec : new String[] {"none", "gzip", "snappy", "lz4"}) {
                String name = "v" + magic + "_" + codec;
                save(name, plain(magic, codec, TimestampType.CREATE_TIME));
                save(name + "_large", large(magic, codec));
                save(name + "_gaps", gaps(magic, codec));
                saveDown("v2_" + codec + "_to_v" + magic, plain((byte) 2, codec, TimestampType.CREATE_TIME), magic);
                saveDown("v2_" + codec + "_gaps_to_v" + magic, gaps((byte) 2, codec), magic);
            }
        }
        save("v1_none_log_append_time", plain((byte) 1, "none", TimestampType.LOG_APPEND_TIME));
        save("v1_gzip_log_append_time", plain((byte) 1, "gzip", TimestampType.LOG_APPEND_TIME));
        for (String codec : new String[] {"none", "gzip"}) {
            saveDown("v2_" + codec + "_log_append_time_to_v1",
                plain((byte) 2, codec, TimestampType.LOG_APPEND_TIME), (byte) 1);
        }
    }

    static MemoryRecords plain(byte magic, String codec, TimestampType type) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(4096), magic,
            Compression.of(codec).build(), type, 100L, T + 5000, 7);
        Header[] headers = magic < 2 ? new Header[0]
            : new Header[] {new RecordHeader("h1", bytes("a")), new RecordHeader("h2", null)};
        builder.append(T, bytes("k0"), bytes("value-0"));
        builder.append(T + 5, null, bytes("value-1"), headers);
        builder.append(T - 1, bytes("k2"), null);
        builder.append(T + 3, bytes(""), bytes("x".repeat(300)));
        return builder.build();
    }

    /** More than one block of every codec. */
    static MemoryRecords large(byte magic, String codec) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), magic,
            Compression.of(codec).build(), TimestampType.CREATE_TIME, 0L, -1L, 0);
        int size = codec.equals("none") ? 1000 : 90_000;
        builder.append(T, bytes("a"), bytes("abcdefgh".repeat(size / 8)));
        builder.append(T, bytes("b"), bytes("0123456789abcdef".repeat(size / 16)));
        return builder.build();
    }

    static MemoryRecords gaps(byte magic, String codec) {
        MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(4096), magic,
            Compression.of(codec).build(), TimestampType.CREATE_TIME, 100L, -1L, 7);
        for (long offset : new long[] {102, 103, 107, 250}) {
            builder.appendWithOffset(offset, T + offset, bytes("k" + offset), bytes("v" + offset));
        }
        return builder.build();
    }

    static MemoryRecords transactional() {
        return MemoryRecords.withTransactionalRecords(50L, Compression.NONE, 4000L, (short) 5, 2147483646, 3,
            new SimpleRecord(T, bytes("k0"), bytes("v0")), new SimpleRecord(T, bytes("k1"), bytes("v1")),
            new SimpleRecord(T, bytes("k2"), bytes("v2")));
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    //DOWN

    static void save(String name, MemoryRecords records) throws IOException {
        write(name, "MemoryRecordsBuilder", records);
    }

    static void write(String name, String origin, MemoryRecords records) throws IOException {
        ByteBuffer buffer = records.buffer().duplicate();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        StringBuilder text = new StringBuilder();
        text.append("# kafka-clients ").append(version).append(", ").append(origin).append("\n");
        text.append(describe(records, "#> "));
        for (int at = 0; at < bytes.length; at += 32) {
            text.append(HexFormat.of().formatHex(bytes, at, Math.min(bytes.length, at + 32))).append("\n");
        }
        Files.writeString(directory.resolve(name + ".hex"), text.toString());
    }

    static String describe(MemoryRecords records, String prefix) {
        StringBuilder text = new StringBuilder();
        for (RecordBatch batch : records.batches()) {
            batch.ensureValid();
            text.append(prefix).append("batch").append(" magic=").append(batch.magic())
                .append(" size=").append(batch.sizeInBytes())
                .append(" codec=").append(batch.compressionType().name)
                .append(" last=").append(batch.lastOffset());
            if (batch.magic() == 2) {
                text.append(" base=").append(batch.baseOffset()).append(" epoch=").append(batch.partitionLeaderEpoch())
                    .append(" max=").append(batch.maxTimestamp()).append(" type=").append(batch.timestampType().name)
                    .append(" producer=").append(batch.producerId()).append("/").append(batch.producerEpoch())
                    .append(" sequence=").append(batch.baseSequence()).append("..").append(batch.lastSequence())
                    .append(" count=").append(batch.countOrNull())
                    .append(" transactional=").append(batch.isTransactional())
                    .append(" control=").append(batch.isControlBatch());
            }
            text.append("\n");
            for (Record record : batch) {
                record.ensureValid();
                text.append(prefix).append("record ").append(record.offset()).append(" ").append(record.timestamp())
                    .append(" ").append(show(record.key())).append(" ").append(show(record.value()));
                for (Header header : record.headers()) {
                    text.append(" ").append(header.key()).append("=")
                        .append(show(header.value() == null ? null : ByteBuffer.wrap(header.value())));
                }
                text.append("\n");
            }
        }
        return text.toString();
    }

    /** Hexadecimal, or length and CRC-32 if it is long. */
    static String show(ByteBuffer buffer) {
        if (buffer == null) {
            return "null";
        }
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        if (bytes.length <= 64) {
            return "x" + HexFormat.of().formatHex(bytes);
        }
        CRC32 crc = new CRC32();
        crc.update(bytes);
        return bytes.length + ":" + String.format("%08x", crc.getValue());
    }
}
