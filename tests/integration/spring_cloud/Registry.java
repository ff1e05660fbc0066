package shop;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.netflix.eureka.server.EnableEurekaServer;

/** Spring Cloud's registry as anybody writes it. */
@SpringBootApplication
@EnableEurekaServer
public class Registry {
    public static void main(String[] arguments) {
        SpringApplication.run(Registry.class, arguments);
    }
}
