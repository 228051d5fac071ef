// kafkajs.

const { randomUUID } = require("node:crypto");
const { Kafka, logLevel } = require("kafkajs");

const DEADLINE = 30_000;
const run = randomUUID().slice(0, 8);
const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const [topic, ledger, group] = [`kafkajs-${run}`, `kafkajs-ledger-${run}`, `kafkajs-group-${run}`];
const numbers = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

async function step(name, what) {
  const began = Date.now();
  let told = "ok";
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end within ${DEADLINE / 1000} s`)), DEADLINE);
  });
  await Promise.race([what(), late]).catch((error) => {
    told = `failed: ${error.message.replaceAll("\n", " ")}`;
  });
  clearTimeout(timer);
  console.log(`${name} ${told} ${Date.now() - began} ms`);
}

function equal(found, expected) {
  const [left, right] = [JSON.stringify(found), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${left} and not ${right}`);
}

async function send(values) {
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, messages: values.map((n) => ({ partition: n % 2, value: `${n}` })) });
  await producer.disconnect();
}

// A member that reads so many, does what is asked of it then, commits and leaves.
async function member(groupId, topic, count, last = async () => {}, settings = {}) {
  const consumer = kafka.consumer({ groupId, ...settings });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const values = [];
  const ends = {};
  await new Promise((done, failed) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => failed(payload.error));
    consumer.run({
      autoCommit: false,
      eachMessage: async ({ partition, message }) => {
        values.push(Number(message.value));
        ends[partition] = `${Number(message.offset) + 1}`;
        if (values.length >= count) done();
      },
    });
  });
  await consumer.commitOffsets(Object.entries(ends).map(([partition, offset]) => ({ topic, partition: +partition, offset })));
  await last();
  await consumer.disconnect();
  return values.sort((left, right) => left - right);
}

let described = async () => {
  throw new Error("no member has read on");
};

async function describe() {
  const [found] = (await admin.describeGroups([group])).groups;
  described = async () => equal([found.state, found.members.length], ["Stable", 1]);
}

const committed = (count) => member(`none-${randomUUID()}`, ledger, count);

let producer;
async function transaction(values, end) {
  const transaction = await producer.transaction();
  for (const n of values) await transaction.send({ topic: ledger, messages: [{ value: `${n}` }] });
  await end(transaction);
}

async function main() {
  console.log(`client kafkajs ${require("kafkajs/package.json").version}`);
  await step("create", async () => {
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: 2 }, { topic: ledger, numPartitions: 1 }] });
  });
  await step("produce", () => send(numbers(0, 10)));
  await step("consume", async () => equal(await member(`${group}-first`, topic, 10), numbers(0, 10)));
  await step("group", async () => {
    equal(await member(group, topic, 10), numbers(0, 10));
    await send(numbers(10, 20));
  });
  await step("rejoin", async () => equal(await member(group, topic, 10, describe), numbers(10, 20)));
  await step("describe", () => described());
  await step("commit", async () => {
    producer = kafka.producer({ transactionalId: `kafkajs-${run}`, idempotent: true, maxInFlightRequests: 1 });
    await producer.connect();
    await transaction([0, 1, 2], (transaction) => transaction.commit());
    equal(await committed(3), [0, 1, 2]);
  });
  await step("abort", async () => {
    await transaction([3, 4], (transaction) => transaction.abort());
    await transaction([5], (transaction) => transaction.commit());
    equal(await committed(4), [0, 1, 2, 5]);
  });
  await step("offsets", async () => {
    const consumerGroupId = `${group}-offsets`;
    const topics = [{ topic, partitions: [{ partition: 0, offset: "7" }] }];
    await transaction([6], async (transaction) => {
      await transaction.sendOffsets({ consumerGroupId, topics });
      await transaction.commit();
    });
    const [stored] = await admin.fetchOffsets({ groupId: consumerGroupId, topics: [topic] });
    equal(stored.partitions.find(({ partition }) => partition === 0).offset, "7");
  });
  await step("delete", async () => {
    await admin.deleteTopics({ topics: [topic, ledger] });
    // What a cluster has been told may take a moment to be known to all of its brokers.
    while ((await admin.listTopics()).includes(topic)) await new Promise((done) => setTimeout(done, 10));
  });
  process.exit(0);
}

main();
