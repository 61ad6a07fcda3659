// One node of Elasticsearch on 127.0.0.1, in memory and a folder: `java Server FOLDER PORT [SETTING=VALUE …]`.

import java.util.List;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.transport.Netty4Plugin;

public final class Server extends Node {
    private Server(Settings settings) {
        super(
            InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "test"),
            List.of(Netty4Plugin.class),
            false
        );
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder()
            .put("cluster.name", "elbow-test")
            .put("discovery.type", "single-node")
            .put("http.port", arguments[1])
            .put("http.type", "netty4")
            .put("network.host", "127.0.0.1")
            .put("path.home", arguments[0])
            .put("transport.port", "0")
            .put("transport.type", "netty4");
        for (int at = 2; at < arguments.length; at++) {
            String[] setting = arguments[at].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        new Server(settings.build()).start();
        Thread.currentThread().join();
    }
}
