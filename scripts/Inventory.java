import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/**
 * Prints the topics and groups of the cluster in RSTEST_KAFKA_BOOTSTRAP_SERVERS, one a line, without Kafka's own.
 *
 * With "neighbours" it first makes some whose names begin as those of the tests do: they are somebody else's.
 */
public class Inventory {
    public static void main(String[] arguments) throws Exception {
        String servers = System.getenv("RSTEST_KAFKA_BOOTSTRAP_SERVERS");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", servers))) {
            if (arguments.length > 0 && arguments[0].equals("neighbours")) {
                makeNeighbours(admin);
            }
            var lines = new TreeSet<String>();
            for (String topic : admin.listTopics().names().get()) {
                lines.add("topic " + topic);
            }
            admin.listGroups().all().get().forEach(group -> lines.add("group " + group.groupId()));
            lines.forEach(System.out::println);
        }
    }

    private static void makeNeighbours(Admin admin) throws Exception {
        var topics = new ArrayList<NewTopic>();
        for (String name : List.of("test-events-main-00000000", "test-events-main-00000000-f1", "test-neighbour", "test")) {
            topics.add(new NewTopic(name, 1, (short) 1));
        }
        admin.createTopics(topics).all().get();
        for (String group : List.of("test-consumer-main-00000000-events-0", "test-consumer")) {
            var offsets = Map.of(new TopicPartition("test-neighbour", 0), new OffsetAndMetadata(0));
            // The coordinator of a cluster that has just started is not there at once.
            for (int tries = 1; ; tries++) {
                try {
                    admin.alterConsumerGroupOffsets(group, offsets).all().get();
                    break;
                } catch (Exception e) {
                    if (tries == 100) {
                        throw e;
                    }
                    Thread.sleep(100);
                }
            }
        }
    }
}
