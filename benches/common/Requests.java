import java.util.Set;
import java.util.TreeMap;

import com.sun.tools.attach.VirtualMachine;
import javax.management.ObjectName;
import javax.management.remote.JMXConnectorFactory;
import javax.management.remote.JMXServiceURL;

/** Prints how many requests of each kind the Kafka brokers of these process ids have served since they started. */
public class Requests {
    /** What Kafka counts as a Fetch as well, and what its brokers tell their controller every two seconds. */
    private static final Set<String> AGAIN_OR_ITS_OWN = Set.of("FetchConsumer", "FetchFollower", "BrokerHeartbeat");

    public static void main(String[] pids) throws Exception {
        var counts = new TreeMap<String, Long>();
        for (String pid : pids) {
            var machine = VirtualMachine.attach(pid);
            String url;
            try {
                url = machine.startLocalManagementAgent();
            } finally {
                machine.detach();
            }
            try (var connector = JMXConnectorFactory.connect(new JMXServiceURL(url))) {
                var beans = connector.getMBeanServerConnection();
                var all = new ObjectName("kafka.network:type=RequestMetrics,name=RequestsPerSec,*");
                for (ObjectName bean : beans.queryNames(all, null)) {
                    String request = bean.getKeyProperty("request");
                    if (AGAIN_OR_ITS_OWN.contains(request)) {
                        continue;
                    }
                    long count = ((Number) beans.getAttribute(bean, "Count")).longValue();
                    counts.merge(request, count, Long::sum);
                }
            }
        }
        counts.forEach((request, count) -> System.out.println(request + "\t" + count));
    }
}
