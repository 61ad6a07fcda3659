// One node of OpenSearch with its security plugin on 127.0.0.1: `java Server FOLDER PORT [SETTING=VALUE …]`.
//
// In FOLDER/config are certificates and keys, `root-ca.pem`, `node.pem`, `node-key.pem`, and in `opensearch-security` what the
// plugin begins with. Whoever has a certificate of `CN=admin` may do everything.

import java.util.List;
import java.util.Map;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.security.OpenSearchSecurityPlugin;
import org.opensearch.transport.Netty4Plugin;

public final class Server extends Node {
    private Server(Settings settings) {
        super(
            InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "test"),
            List.of(Netty4Plugin.class, OpenSearchSecurityPlugin.class),
            false
        );
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder()
            .put("cluster.name", "elbow-test")
            .put("discovery.type", "single-node")
            .put("http.port", arguments[1])
            .put("network.host", "127.0.0.1")
            .put("path.home", arguments[0])
            .put("transport.port", "0")
            .putList("plugins.security.authcz.admin_dn", "CN=admin")
            .put("plugins.security.allow_default_init_securityindex", true)
            .put("plugins.security.audit.type", "noop")
            .putList("plugins.security.restapi.roles_enabled", "all_access")
            .put("plugins.security.ssl.transport.enforce_hostname_verification", false)
            .put("plugins.security.ssl.http.enabled", true)
            .put("plugins.security.ssl.http.clientauth_mode", "OPTIONAL");
        for (String of : List.of("transport", "http")) {
            settings.put("plugins.security.ssl." + of + ".pemcert_filepath", "node.pem")
                .put("plugins.security.ssl." + of + ".pemkey_filepath", "node-key.pem")
                .put("plugins.security.ssl." + of + ".pemtrustedcas_filepath", "root-ca.pem");
        }
        for (int at = 2; at < arguments.length; at++) {
            String[] setting = arguments[at].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        new Server(settings.build()).start();
        Thread.currentThread().join();
    }
}
