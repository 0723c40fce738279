// The newest Java producer and consumer, alone: idempotent writes with every codec, read back with CRC checks, a group
// with a rebalance, and a resume from its commit. usage: Story BOOTSTRAP TOPIC

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Story {
    static final int RECORDS = 100;
    static String bootstrap;

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        String topic = args[1];
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, Optional.of(2), Optional.empty()))).all().get();
            var described = admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic);
            check(described.partitions().size() == 2, "two partitions: " + described);
        }
        List<String> sent = new ArrayList<>();
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            for (String acks : List.of("0", "1", "all")) {
                produce(topic, codec, acks, sent);
            }
        }
        readBack(topic, sent);
        group(topic, sent.size());
        System.out.println(sent.size() + " records");
    }

    static void produce(String topic, String codec, String acks, List<String> sent) throws Exception {
        Map<String, Object> options = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap, "compression.type", codec, "acks", acks, "linger.ms", 5,
            "enable.idempotence", acks.equals("all"), "max.in.flight.requests.per.connection", 1));
        try (var producer = new KafkaProducer<>(options, new StringSerializer(), new StringSerializer())) {
            for (int number = 0; number < RECORDS; number++) {
                String value = codec + "/" + acks + "/" + number + "x".repeat(number * 7);
                var record = new ProducerRecord<>(topic, 0, 1500000000000L + number, "key", value);
                record.headers().add("number", Integer.toString(number).getBytes());
                producer.send(record);
                sent.add(value);
            }
            producer.flush();
        }
        // Without acknowledgement nothing else says that the records are there.
        await(() -> end(topic) == sent.size(), "the records of acks=" + acks);
    }

    static long end(String topic) {
        TopicPartition part = new TopicPartition(topic, 0);
        try (var consumer = consumer(null)) {
            return consumer.endOffsets(List.of(part)).get(part);
        }
    }

    static void readBack(String topic, List<String> sent) {
        try (var consumer = consumer(null)) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            consumer.seekToBeginning(consumer.assignment());
            List<ConsumerRecord<String, String>> got = new ArrayList<>();
            await(() -> {
                consumer.poll(Duration.ofMillis(200)).forEach(got::add);
                return got.size() >= sent.size();
            }, "all records");
            for (int number = 0; number < got.size(); number++) {
                var record = got.get(number);
                check(record.offset() == number, "offset " + record.offset() + " at " + number);
                check(record.value().equals(sent.get(number)), "value at " + number);
                check(record.timestamp() == 1500000000000L + number % RECORDS, "timestamp at " + number);
                check(new String(record.headers().lastHeader("number").value()).equals("" + number % RECORDS), "header");
            }
        }
    }

    static void group(String topic, int count) {
        Set<String> seen = new HashSet<>();
        try (var one = consumer(topic); var two = consumer(topic)) {
            one.subscribe(List.of(topic));
            await(() -> poll(one, seen) && one.assignment().size() == 2 && seen.size() == count, "one member has it all");
            one.commitSync();
            two.subscribe(List.of(topic));
            await(() -> poll(one, seen) && poll(two, seen) && one.assignment().size() == 1 && two.assignment().size() == 1,
                "two members share");
        }
        try (var later = consumer(topic)) {
            var part = new TopicPartition(topic, 0);
            check(later.committed(Set.of(part)).get(part).offset() == count, "the commit");
        }
        check(seen.size() == count, "nothing twice");
    }

    static boolean poll(KafkaConsumer<String, String> consumer, Set<String> seen) {
        for (var record : consumer.poll(Duration.ofMillis(50))) {
            check(seen.add(record.partition() + "/" + record.offset()), "twice: " + record.offset());
        }
        return true;
    }

    static KafkaConsumer<String, String> consumer(String group) {
        Map<String, Object> options = new HashMap<>(Map.of(
            "bootstrap.servers", bootstrap, "check.crcs", true, "enable.auto.commit", false,
            "auto.offset.reset", "earliest", "fetch.max.wait.ms", 100, "heartbeat.interval.ms", 200,
            "session.timeout.ms", 10000, "isolation.level", group == null ? "read_uncommitted" : "read_committed"));
        if (group != null) {
            options.put("group.id", group);
            options.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
        }
        return new KafkaConsumer<>(options, new StringDeserializer(), new StringDeserializer());
    }

    interface Condition {
        boolean holds();
    }

    static void await(Condition condition, String what) {
        long deadline = System.nanoTime() + 30_000_000_000L;
        while (!condition.holds()) {
            check(System.nanoTime() < deadline, "not within 30 s: " + what);
        }
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }
}
