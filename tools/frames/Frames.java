// Writes request frames with Apache Kafka's own message classes, so that the bytes owe nothing to Chronik.
// Reads lines "NAME API VERSION JSON" and prints lines "NAME HEX"; make.py runs it.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.ProduceRequestData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.requests.RequestHeader;

public class Frames {
    public static void main(String[] args) throws Exception {
        ObjectMapper json = new ObjectMapper();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        int correlation = 1;
        for (String line; (line = lines.readLine()) != null; ) {
            String[] parts = line.split(" ", 4);
            short version = Short.parseShort(parts[2]);
            System.out.println(parts[0] + " " + frame(parts[1], version, correlation++, json.readTree(parts[3])));
        }
    }

    static String frame(String name, short version, int correlation, JsonNode body) throws Exception {
        ApiKeys api = ApiKeys.valueOf(name.replaceAll("([a-z])([A-Z])", "$1_$2").toUpperCase());
        Class<?> converter = Class.forName("org.apache.kafka.common.message." + name + "RequestDataJsonConverter");
        ApiMessage message = (ApiMessage)
            converter.getMethod("read", JsonNode.class, short.class).invoke(null, body, version);
        if (message instanceof ProduceRequestData produce) {
            produce.topicData().forEach(topic -> topic.partitionData().forEach(part -> part.setRecords(records())));
        }
        var header = new RequestHeader(api, version, "probe", correlation).data();
        short headerVersion = api.requestHeaderVersion(version);
        ObjectSerializationCache cache = new ObjectSerializationCache();
        int size = header.size(cache, headerVersion) + message.size(cache, version);
        ByteBuffer buffer = ByteBuffer.allocate(4 + size);
        buffer.putInt(size);
        ByteBufferAccessor out = new ByteBufferAccessor(buffer);
        header.write(out, cache, headerVersion);
        message.write(out, cache, version);
        return HexFormat.of().formatHex(buffer.array());
    }

    static MemoryRecords records() {
        return MemoryRecords.withRecords(
            Compression.NONE,
            new SimpleRecord(1500000000000L, "key".getBytes(), "first value".getBytes()),
            new SimpleRecord(1500000000001L, null, "second value".getBytes()));
    }
}
