// Writes byte vectors with Kafka's own classes, for tests/wire_oracle.rs.
//
// Usage: java -cp <jars> Vectors.java <release> <directory> <message>...
//
// Each message gets three vectors per version:
//   default   a new object;
//   filled    every field has a value of its own, none its default, nothing is null;
//   sparse    every nullable field is null, every other array has one element at its defaults;
// and the newest version a fourth:
//   long      as filled, with strings, bytes and an array whose lengths take two bytes as varints.
// A vector is a whole frame without its length (header and body) for a request or a response, and the bytes of
// a key or value, with the version before them, for the rest. Versions that the file has already are left alone,
// so that an older release only adds what a newer one has dropped.

import java.lang.reflect.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.*;

public class Vectors {
    enum Mode { FILLED, SPARSE, LONG }

    static final int LONG_STRING = 200;
    static final int LONG_ARRAY = 130;

    static int counter;
    static boolean longArrayMade;
    static Mode mode;

    public static void main(String[] arguments) throws Exception {
        for (int i = 2; i < arguments.length; i++) {
            one(arguments[0], Path.of(arguments[1]), arguments[i]);
        }
    }

    /** A message is named `Fetch`, `ConsumerProtocolAssignment`, or with a package and a maximum: `a.b.C:4`. */
    static void one(String release, Path directory, String name) throws Exception {
        int max = Short.MAX_VALUE;
        if (name.contains(":")) {
            max = Integer.parseInt(name.substring(name.indexOf(':') + 1));
            name = name.substring(0, name.indexOf(':'));
        }
        if (name.contains(".") || name.startsWith("ConsumerProtocol")) {
            String type = name.contains(".") ? name : "org.apache.kafka.common.message." + name;
            write(release, directory, Class.forName(type), null, max);
            return;
        }
        for (String side : new String[] {"Request", "Response"}) {
            Class<?> type = Class.forName("org.apache.kafka.common.message." + name + side + "Data");
            write(release, directory, type, side, max);
        }
    }

    static void write(String release, Path directory, Class<?> type, String side, int max) throws Exception {
        String name = type.getSimpleName().replaceAll("Data$", "");
        Path file = directory.resolve(name + ".hex");
        String text = Files.exists(file) ? Files.readString(file)
            : "# " + name + ", written by Apache Kafka's own classes with tools/vectors.\n";
        StringBuilder out = new StringBuilder(text);
        int low = ((Short) type.getField("LOWEST_SUPPORTED_VERSION").get(null));
        int high = Math.min(max, (Short) type.getField("HIGHEST_SUPPORTED_VERSION").get(null));
        for (int version = low; version <= high; version++) {
            if (text.contains("[v" + version + " ")) {
                continue;
            }
            Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[version];
            for (String variant : new String[] {"default", "filled", "sparse", "long"}) {
                if (variant.equals("long") && version < high) {
                    continue;
                }
                counter = 0;
                longArrayMade = false;
                Message message = (Message) type.getConstructor().newInstance();
                if (!variant.equals("default")) {
                    mode = Mode.valueOf(variant.toUpperCase(Locale.ROOT));
                    fill(message, schema);
                }
                out.append("\n[v").append(version).append(' ').append(variant).append(" kafka ").append(release).append("]\n");
                hex(out, bytes(message, side, (short) version));
                if (variant.equals("filled") || variant.equals("sparse")) {
                    out.append(". ");
                    describe(out, message, schema);
                    out.append('\n');
                }
            }
        }
        Files.writeString(file, out.toString());
    }

    static byte[] bytes(Message message, String side, short version) throws Exception {
        if (side == null && message.getClass().getPackageName().endsWith("common.metadata")) {
            ByteBuffer out = ByteBuffer.allocate(1 << 20);
            ByteBufferAccessor writable = new ByteBufferAccessor(out);
            Class<?> serde = Class.forName("org.apache.kafka.metadata.MetadataRecordSerde");
            Class<?> pair = Class.forName("org.apache.kafka.server.common.ApiMessageAndVersion");
            Object both = pair.getConstructors()[0].newInstance(message, version);
            ObjectSerializationCache cache = new ObjectSerializationCache();
            Object instance = serde.getField("INSTANCE").get(null);
            method(serde, "recordSize", 2).invoke(instance, both, cache);
            method(serde, "write", 3).invoke(instance, both, cache, writable);
            return taken(out);
        }
        if (side == null) {
            return MessageUtil.toVersionPrefixedBytes(version, message);
        }
        ByteBuffer out = ByteBuffer.allocate(1 << 20);
        ApiMessageType api = ApiMessageType.fromApiKey(((ApiMessage) message).apiKey());
        if (side.equals("Request")) {
            RequestHeaderData header = new RequestHeaderData().setRequestApiKey(api.apiKey())
                .setRequestApiVersion(version).setCorrelationId(0x01020304).setClientId("vector");
            append(out, header, api.requestHeaderVersion(version));
        } else {
            append(out, new ResponseHeaderData().setCorrelationId(0x01020304), api.responseHeaderVersion(version));
        }
        append(out, message, version);
        return taken(out);
    }

    static Method method(Class<?> type, String name, int parameters) {
        for (Method method : type.getMethods()) {
            if (method.getName().equals(name) && method.getParameterCount() == parameters && !method.isBridge()) {
                return method;
            }
        }
        throw new IllegalArgumentException(type + " has no " + name);
    }

    static byte[] taken(ByteBuffer out) {
        return Arrays.copyOf(out.array(), out.position());
    }

    static void append(ByteBuffer out, Message message, short version) throws Exception {
        ObjectSerializationCache cache = new ObjectSerializationCache();
        int size = message.size(cache, version);
        ByteBuffer part = ByteBuffer.allocate(size);
        message.write(new ByteBufferAccessor(part), cache, version);
        part.flip();
        out.put(part);
    }

    /** A version's fields; the older release does not show the tagged ones. */
    @SuppressWarnings("unchecked")
    static Map<String, org.apache.kafka.common.protocol.types.Type> fields(Schema schema) throws Exception {
        Map<String, org.apache.kafka.common.protocol.types.Type> result = new LinkedHashMap<>();
        for (BoundField field : schema.fields()) {
            if (field.def.type instanceof TaggedFields tagged) {
                java.lang.reflect.Field inside = TaggedFields.class.getDeclaredField("fields");
                inside.setAccessible(true);
                for (org.apache.kafka.common.protocol.types.Field each :
                    ((Map<Integer, org.apache.kafka.common.protocol.types.Field>) inside.get(tagged)).values()) {
                    result.put(each.name, each.type);
                }
            } else {
                result.put(field.def.name, field.def.type);
            }
        }
        return result;
    }

    static String plain(String name) {
        return name.replace("_", "").toLowerCase(Locale.ROOT);
    }

    static Method setter(Object data, String field) {
        for (Method method : data.getClass().getMethods()) {
            if (method.getParameterCount() == 1 && plain(method.getName()).equals("set" + plain(field))) {
                return method;
            }
        }
        throw new IllegalArgumentException(data.getClass() + " has no " + field);
    }

    static Object get(Object data, String field) throws Exception {
        for (Method method : data.getClass().getMethods()) {
            if (method.getParameterCount() == 0 && plain(method.getName()).equals(plain(field))) {
                return method.invoke(data);
            }
        }
        throw new IllegalArgumentException(data.getClass() + " has no " + field);
    }

    static void fill(Object data, Schema schema) throws Exception {
        for (Map.Entry<String, org.apache.kafka.common.protocol.types.Type> field : fields(schema).entrySet()) {
            Method setter = setter(data, field.getKey());
            org.apache.kafka.common.protocol.types.Type type = field.getValue();
            boolean nullable = type.isNullable();
            Object old = get(data, field.getKey());
            if (mode == Mode.SPARSE && nullable) {
                setter.invoke(data, (Object) null);
            } else if (type.arrayElementType().isPresent()) {
                array(data, setter, type.arrayElementType().get());
            } else if (type instanceof Schema inner) {
                Object part = setter.getParameterTypes()[0].getConstructor().newInstance();
                fill(part, inner);
                if (mode != Mode.SPARSE) {
                    setter.invoke(data, part);
                }
            } else if (mode != Mode.SPARSE) {
                setter.invoke(data, value(setter.getParameterTypes()[0], type, old));
            }
        }
    }

    @SuppressWarnings("unchecked")
    static void array(Object data, Method setter, org.apache.kafka.common.protocol.types.Type element) throws Exception {
        Class<?> kind = setter.getParameterTypes()[0];
        Collection<Object> list = kind.isInterface() ? new ArrayList<>()
            : (Collection<Object>) kind.getConstructor().newInstance();
        java.lang.reflect.Type generic = kind.isInterface() ? setter.getGenericParameterTypes()[0] : kind.getGenericSuperclass();
        Class<?> inside = (Class<?>) ((ParameterizedType) generic).getActualTypeArguments()[0];
        if (element instanceof Schema schema) {
            for (int i = 0; i < (mode != Mode.SPARSE && counter < 8 ? 2 : 1); i++) {
                Object part = inside.getConstructor().newInstance();
                fill(part, schema);
                list.add(part);
            }
        } else if (mode != Mode.SPARSE) {
            boolean isLong = mode == Mode.LONG && !longArrayMade;
            longArrayMade |= isLong;
            for (int i = 0; i < (isLong ? LONG_ARRAY : 2); i++) {
                list.add(value(inside, element, null));
            }
        }
        setter.invoke(data, list);
    }

    /** A value that no other field of the vector has, as far as its type allows. */
    static Object value(Class<?> kind, org.apache.kafka.common.protocol.types.Type type, Object old) {
        int n = ++counter;
        if (kind == boolean.class || kind == Boolean.class) {
            return !Boolean.TRUE.equals(old);
        } else if (kind == byte.class || kind == Byte.class) {
            return (byte) (10 + n % 100);
        } else if (kind == short.class || kind == Short.class) {
            return (short) (0x3100 + n);
        } else if (type == org.apache.kafka.common.protocol.types.Type.UINT16) {
            return 0xf100 + n;
        } else if (kind == int.class || kind == Integer.class) {
            return 0x21220000 + n;
        } else if (kind == long.class || kind == Long.class) {
            return 0x1112131415160000L + n;
        } else if (kind == String.class) {
            return (mode == Mode.LONG && n % 4 == 1 ? "x".repeat(LONG_STRING) : "") + "text-" + n + "-\u00e9";
        } else if (kind == Uuid.class) {
            return new Uuid(0x4142434445464748L + n, 0x5152535455565758L + n);
        } else if (kind == byte[].class) {
            return raw(n);
        } else if (kind == ByteBuffer.class) {
            return ByteBuffer.wrap(raw(n));
        } else if (kind.getSimpleName().equals("BaseRecords")) {
            return records(kind, raw(n));
        }
        throw new IllegalArgumentException(kind + " is not known");
    }

    /** The class has moved to another package between the releases. */
    static Object records(Class<?> kind, byte[] bytes) {
        try {
            Class<?> memory = Class.forName(kind.getPackageName() + ".MemoryRecords");
            return memory.getMethod("readableRecords", ByteBuffer.class).invoke(null, ByteBuffer.wrap(bytes));
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    static Object call(Class<?> type, String name, Object on) {
        try {
            return type.getMethod(name).invoke(on);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    static byte[] raw(int n) {
        byte[] start = {(byte) 0xfe, 0x00, (byte) n};
        return mode == Mode.LONG ? Arrays.copyOf(start, LONG_STRING) : start;
    }

    static void hex(StringBuilder out, byte[] bytes) {
        for (int start = 0; start < bytes.length; start += 48) {
            int end = Math.min(bytes.length, start + 48);
            out.append(HexFormat.of().formatHex(bytes, start, end)).append('\n');
        }
    }

    /** Each field that the version carries, as `name=value;`, in the form in which the test prints its own. */
    static void describe(StringBuilder out, Object data, Schema schema) throws Exception {
        for (Map.Entry<String, org.apache.kafka.common.protocol.types.Type> field : fields(schema).entrySet()) {
            Object value = get(data, field.getKey());
            org.apache.kafka.common.protocol.types.Type type = field.getValue();
            if (value != null && type instanceof Schema inner) {
                describe(out, value, inner);
            } else if (value != null && type.arrayElementType().isPresent()
                && type.arrayElementType().get() instanceof Schema inner) {
                for (Object part : (Collection<?>) value) {
                    describe(out, part, inner);
                }
            } else {
                out.append(field.getKey()).append('=').append(text(value)).append(';');
            }
        }
    }

    static String text(Object value) {
        if (value == null) {
            return "null";
        } else if (value instanceof String) {
            return "\"" + value + "\"";
        } else if (value instanceof Collection<?> list) {
            return list.stream().map(Vectors::text).toList().toString();
        } else if (value instanceof byte[] bytes) {
            return HexFormat.of().formatHex(bytes);
        } else if (value instanceof ByteBuffer buffer) {
            byte[] bytes = new byte[buffer.remaining()];
            buffer.duplicate().get(bytes);
            return text(bytes);
        } else if (value.getClass().getSimpleName().equals("MemoryRecords")) {
            return text(call(value.getClass(), "buffer", value));
        }
        return value.toString();
    }
}
