// Apache Kafka's own client.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.AppInfoParser;

public class Client {
    static final int DEADLINE = 30;
    static final String RUN = UUID.randomUUID().toString().substring(0, 8);
    static final String TOPIC = "java-" + RUN, LEDGER = "java-ledger-" + RUN, GROUP = "java-group-" + RUN;
    static String servers;
    static Admin admin;
    static Consumer<String, String> second;
    static Producer<String, String> transactional;

    interface Step { void run() throws Exception; }

    public static void main(String[] arguments) throws Exception {
        servers = arguments[0];
        System.out.println("client kafka-clients " + AppInfoParser.getVersion() + " (Java)");
        admin = Admin.create(Map.<String, Object>of("bootstrap.servers", servers));
        step("create", () -> admin.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1), new NewTopic(LEDGER, 1, (short) 1))).all().get());
        step("produce", () -> send(0, 10));
        step("consume", Client::consume);
        step("group", Client::join);
        step("rejoin", () -> {
            second = member(GROUP, "classic");
            equal(read(second, 10), numbers(10, 20));
            second.commitSync();
        });
        step("describe", Client::describe);
        if (AppInfoParser.getVersion().compareTo("4") >= 0) step("kip848", Client::consumerProtocol);
        step("commit", Client::commit);
        step("abort", Client::abort);
        step("offsets", Client::offsets);
        step("delete", () -> {
            admin.deleteTopics(List.of(TOPIC, LEDGER)).all().get();
            // What a cluster has been told may take a moment to be known to all of its brokers.
            while (admin.listTopics().names().get().contains(TOPIC)) Thread.sleep(10);
        });
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    static void step(String name, Step step) {
        long began = System.nanoTime();
        FutureTask<Void> task = new FutureTask<>(() -> { step.run(); return null; });
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        thread.start();
        String told = "ok";
        try {
            task.get(DEADLINE, TimeUnit.SECONDS);
        } catch (TimeoutException e) {
            told = "failed: no end within " + DEADLINE + " s";
        } catch (Exception e) {
            Throwable cause = e;
            while (cause.getCause() != null) cause = cause.getCause();
            told = "failed: " + String.valueOf(cause).replace('\n', ' ');
        }
        System.out.println(name + " " + told + " " + (System.nanoTime() - began) / 1_000_000 + " ms");
    }

    static void equal(Object found, Object expected) {
        if (!found.equals(expected)) throw new AssertionError(found + " and not " + expected);
    }

    static List<Integer> numbers(int from, int to) {
        List<Integer> numbers = new ArrayList<>();
        for (int n = from; n < to; n++) numbers.add(n);
        return numbers;
    }

    static void send(int from, int to) throws Exception {
        try (Producer<String, String> producer = producer(Map.of())) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int n = from; n < to; n++) sent.add(producer.send(new ProducerRecord<>(TOPIC, n % 2, "k", "" + n)));
            for (Future<RecordMetadata> report : sent) report.get();
        }
    }

    static Producer<String, String> producer(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.put("bootstrap.servers", servers);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    static Consumer<String, String> consumer(Map<String, Object> more) {
        Map<String, Object> settings = new HashMap<>(more);
        settings.putAll(Map.of("bootstrap.servers", servers, "auto.offset.reset", "earliest", "enable.auto.commit", false));
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    static Consumer<String, String> member(String group, String protocol) {
        Map<String, Object> settings = new HashMap<>(Map.of("group.id", group));
        if (!protocol.equals("classic")) settings.put("group.protocol", protocol);
        Consumer<String, String> consumer = consumer(settings);
        consumer.subscribe(List.of(TOPIC));
        return consumer;
    }

    static List<Integer> read(Consumer<String, String> consumer, int count) {
        List<Integer> values = new ArrayList<>();
        while (values.size() < count)
            for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(20))) values.add(Integer.valueOf(record.value()));
        Collections.sort(values);
        return values;
    }

    static void consume() {
        try (Consumer<String, String> consumer = consumer(Map.of())) {
            consumer.assign(List.of(new TopicPartition(TOPIC, 0), new TopicPartition(TOPIC, 1)));
            equal(read(consumer, 10), numbers(0, 10));
        }
    }

    static void join() throws Exception {
        try (Consumer<String, String> consumer = member(GROUP, "classic")) {
            equal(read(consumer, 10), numbers(0, 10));
            consumer.commitSync();
        }
        send(10, 20);
    }

    static void describe() throws Exception {
        ConsumerGroupDescription group = admin.describeConsumerGroups(List.of(GROUP)).all().get().get(GROUP);
        equal(group.state() + " " + group.members().size(), "Stable 1");
        equal(admin.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata().get().get(new TopicPartition(TOPIC, 0)).offset(), 10L);
        second.close();
    }

    static void consumerProtocol() throws Exception {
        String group = GROUP + "-848";
        try (Consumer<String, String> consumer = member(group, "consumer")) {
            equal(read(consumer, 20), numbers(0, 20));
            consumer.commitSync();
        }
        send(20, 22);
        try (Consumer<String, String> consumer = member(group, "consumer")) {
            equal(read(consumer, 2), numbers(20, 22));
        }
    }

    static List<Integer> committed(int count) {
        try (Consumer<String, String> consumer = consumer(Map.of("isolation.level", "read_committed"))) {
            consumer.assign(List.of(new TopicPartition(LEDGER, 0)));
            return read(consumer, count);
        }
    }

    static void commit() {
        transactional = producer(Map.of("transactional.id", "java-" + RUN));
        transactional.initTransactions();
        transactional.beginTransaction();
        for (int n = 0; n < 3; n++) transactional.send(new ProducerRecord<>(LEDGER, "" + n));
        transactional.commitTransaction();
        equal(committed(3), List.of(0, 1, 2));
    }

    static void abort() {
        transactional.beginTransaction();
        for (int n = 3; n < 5; n++) transactional.send(new ProducerRecord<>(LEDGER, "" + n));
        transactional.flush();
        transactional.abortTransaction();
        transactional.beginTransaction();
        transactional.send(new ProducerRecord<>(LEDGER, "5"));
        transactional.commitTransaction();
        equal(committed(4), List.of(0, 1, 2, 5));
    }

    static void offsets() {
        TopicPartition partition = new TopicPartition(TOPIC, 0);
        try (Consumer<String, String> consumer = member(GROUP + "-offsets", "classic")) {
            read(consumer, 20);
            transactional.beginTransaction();
            transactional.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(7)), consumer.groupMetadata());
            transactional.commitTransaction();
            equal(consumer.committed(Set.of(partition)).get(partition).offset(), 7L);
        }
        transactional.close();
    }
}
