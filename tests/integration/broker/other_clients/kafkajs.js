// What a user of kafkajs does: `node kafkajs.js BOOTSTRAP TOPIC COUNT`. Prints the values its group has read, as JSON.
const { Kafka, CompressionTypes, logLevel } = require("kafkajs");

const [bootstrap, topic, count] = process.argv.slice(2);
const kafka = new Kafka({ clientId: "kafkajs", brokers: [bootstrap], logLevel: logLevel.ERROR });
const values = (prefix) => Array.from({ length: Number(count) }, (_, i) => ({ key: `${i}`, value: `${prefix}-${i}` }));

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: true });

  const plain = kafka.producer();
  await plain.connect();
  await plain.send({ topic, messages: values("plain"), compression: CompressionTypes.GZIP });
  await plain.disconnect();

  const producer = kafka.producer({ transactionalId: `${topic}-tx`, maxInFlightRequests: 1, idempotent: true });
  await producer.connect();
  const aborted = await producer.transaction();
  await aborted.send({ topic, messages: values("aborted") });
  await aborted.abort();
  const committed = await producer.transaction();
  await committed.send({ topic, messages: values("committed") });
  await committed.commit();
  await producer.disconnect();

  const got = [];
  const consumer = kafka.consumer({ groupId: `${topic}-group`, readUncommitted: false });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, (event) => reject(event.payload.error));
    consumer.run({
      eachMessage: async ({ message }) => {
        got.push(message.value.toString());
        if (got.length === 2 * count) resolve();
      },
    }).catch(reject);
  });
  await consumer.disconnect();
  const offsets = await admin.fetchOffsets({ groupId: `${topic}-group`, topics: [topic] });
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const ofPartitions = (found) => found.sort((a, b) => a.partition - b.partition).map((each) => Number(each.offset));
  console.log(JSON.stringify({ got, offsets: ofPartitions(offsets[0].partitions), ends: ofPartitions(ends) }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
