"""confluent-kafka: librdkafka by Python."""

import sys

import confluent_kafka
from confluent_kafka import Consumer, ConsumerGroupState, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from steps import RUN, client, end, equal, eventually, step

servers = sys.argv[1]
common = {"bootstrap.servers": servers}
topic, ledger, group = f"confluent-{RUN}", f"confluent-ledger-{RUN}", f"confluent-group-{RUN}"
admin = AdminClient(common)
client("confluent-kafka", f"{confluent_kafka.__version__} (librdkafka {confluent_kafka.libversion()[0]})")


def create():
    for made in admin.create_topics([NewTopic(topic, 2, 1), NewTopic(ledger, 1, 1)]).values():
        made.result(20)


def send(numbers):
    failed = []
    producer = Producer(common | {"enable.idempotence": True})
    for n in numbers:
        producer.produce(topic, str(n), partition=n % 2, on_delivery=lambda error, _: error and failed.append(error))
    equal((producer.flush(20), failed), (0, []))


def read(consumer, count):
    values = []
    while len(values) < count:
        message = consumer.poll(20)
        assert message is not None, f"only {values}"
        assert not message.error(), message.error()
        values.append(int(message.value()))
    return sorted(values)


def consume():
    consumer = Consumer(common | {"group.id": "none", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0), TopicPartition(topic, 1, 0)])
    equal(read(consumer, 10), list(range(10)))
    consumer.close()


def member(group, protocol="classic"):
    settings = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False, "group.protocol": protocol}
    consumer = Consumer(common | settings)
    consumer.subscribe([topic])
    return consumer


def join():
    consumer = member(group)
    equal(read(consumer, 10), list(range(10)))
    consumer.commit(asynchronous=False)
    consumer.close()
    send(range(10, 20))


def rejoin():
    global second
    second = member(group)
    equal(read(second, 10), list(range(10, 20)))
    second.commit(asynchronous=False)


def describe():
    described = admin.describe_consumer_groups([group])[group].result(20)
    equal((described.state, len(described.members)), (ConsumerGroupState.STABLE, 1))
    second.close()


def kip848():
    name = f"{group}-848"
    consumer = member(name, "consumer")
    equal(read(consumer, 20), list(range(20)))
    consumer.commit(asynchronous=False)
    consumer.close()
    send(range(20, 22))
    consumer = member(name, "consumer")
    equal(read(consumer, 2), [20, 21])
    consumer.close()


def committed(count):
    consumer = Consumer(common | {"group.id": "none", "enable.partition.eof": False, "isolation.level": "read_committed"})
    consumer.assign([TopicPartition(ledger, 0, 0)])
    values = read(consumer, count)
    consumer.close()
    return values


def commit():
    global producer
    producer = Producer(common | {"transactional.id": f"confluent-{RUN}"})
    producer.init_transactions(20)
    producer.begin_transaction()
    for n in range(3):
        producer.produce(ledger, str(n))
    producer.commit_transaction(20)
    equal(committed(3), [0, 1, 2])


def abort():
    producer.begin_transaction()
    for n in range(3, 5):
        producer.produce(ledger, str(n))
    producer.flush(20)
    producer.abort_transaction(20)
    producer.begin_transaction()
    producer.produce(ledger, "5")
    producer.commit_transaction(20)
    equal(committed(4), [0, 1, 2, 5])


def offsets():
    consumer = member(f"{group}-offsets")
    read(consumer, 20)
    position = [TopicPartition(topic, 0, 7)]
    producer.begin_transaction()
    producer.send_offsets_to_transaction(position, consumer.consumer_group_metadata(), 20)
    producer.commit_transaction(20)
    equal(consumer.committed([TopicPartition(topic, 0)], 20)[0].offset, 7)
    consumer.close()


def delete():
    for deleted in admin.delete_topics([topic, ledger]).values():
        deleted.result(20)
    eventually(lambda: topic not in admin.list_topics(timeout=20).topics)


step("create", create)
step("produce", lambda: send(range(10)))
step("consume", consume)
step("group", join)
step("rejoin", rejoin)
step("describe", describe)
step("kip848", kip848)
step("commit", commit)
step("abort", abort)
step("offsets", offsets)
step("delete", delete)
end()
