// Prints every configuration key of Kafka's broker and topics: scope, key, type, default, bounds, broker keys.
// The output is kept as tests/data/kafka-4.4-config.tsv, against which the key table is checked:
//   mvn -q dependency:build-classpath -Dmdep.outputFile=target/classpath
//   java -cp "$(cat target/classpath)" ConfigKeys.java > ../../tests/data/kafka-4.4-config.tsv

import java.lang.reflect.Field;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.server.config.AbstractKafkaConfig;
import org.apache.kafka.server.config.ConfigSynonym;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.storage.internals.log.LogConfig;

public class ConfigKeys {
    public static void main(String[] args) throws Exception {
        print("broker", AbstractKafkaConfig.CONFIG_DEF);
        Field topics = LogConfig.class.getDeclaredField("CONFIG");
        topics.setAccessible(true);
        print("topic", (ConfigDef) topics.get(null));
    }

    static void print(String scope, ConfigDef keys) throws Exception {
        for (ConfigDef.ConfigKey key : new TreeMap<>(keys.configKeys()).values()) {
            if (key.internalConfig) {
                continue;
            }
            boolean none = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE || key.defaultValue == null;
            String value = none ? "null" : ConfigDef.convertToString(key.defaultValue, key.type);
            String bounds = key.validator == null ? "" : key.validator.toString().replaceAll("\\s+", " ");
            System.out.println(String.join("\t", scope, key.name, key.type.name(), value, bounds, synonyms(scope, key.name)));
        }
    }

    static String synonyms(String scope, String name) {
        Map<String, List<ConfigSynonym>> all = ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS;
        if (scope.equals("broker") || !all.containsKey(name)) {
            return "";
        }
        // The factor is what the synonym's converter makes of "1".
        return String.join(" ", all.get(name).stream()
            .map(s -> s.name() + "*" + (s.converter().apply("1"))).toList());
    }
}
