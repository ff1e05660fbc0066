package shop;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.stream.Collectors;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.context.ConfigurableApplicationContext;

/** A Spring Boot application as anybody writes it; asked on standard input what its discovery client knows. */
@SpringBootApplication
public class Application {
    public static void main(String[] arguments) throws Exception {
        ConfigurableApplicationContext context = SpringApplication.run(Application.class, arguments);
        DiscoveryClient client = context.getBean(DiscoveryClient.class);
        say("started");
        BufferedReader questions = new BufferedReader(new InputStreamReader(System.in));
        for (String service = questions.readLine(); service != null; service = questions.readLine()) {
            say(client.getInstances(service).stream().map(i -> i.getUri().toString()).sorted()
                    .collect(Collectors.joining(" ", "known ", "")));
        }
        context.close();
        say("stopped");
    }

    private static void say(String text) {
        System.out.println("> " + text);
    }
}
