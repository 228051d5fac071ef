"""kafka-python: pure Python."""

import sys

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.structs import OffsetAndMetadata

from steps import RUN, client, end, equal, eventually, step

servers = sys.argv[1]
topic, ledger, group = f"kafka-python-{RUN}", f"kafka-python-ledger-{RUN}", f"kafka-python-group-{RUN}"
client("kafka-python", kafka.__version__)


def create():
    global admin
    admin = KafkaAdminClient(bootstrap_servers=servers)
    admin.create_topics([NewTopic(topic, 2, 1), NewTopic(ledger, 1, 1)])


def send(numbers):
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    sent = [producer.send(topic, str(n).encode(), partition=n % 2) for n in numbers]
    for report in sent:
        report.get(20)
    producer.close()


def read(consumer, count):
    values = []
    while len(values) < count:
        values.append(int(next(consumer).value))
    return sorted(values)


def open_consumer(**settings):
    return KafkaConsumer(
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=20_000,
        **settings,
    )


def consume():
    consumer = open_consumer(group_id=None)
    consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
    equal(read(consumer, 10), list(range(10)))
    consumer.close()


def member(group):
    consumer = open_consumer(group_id=group)
    consumer.subscribe([topic])
    return consumer


def join():
    consumer = member(group)
    equal(read(consumer, 10), list(range(10)))
    consumer.commit()
    consumer.close()
    send(range(10, 20))


def rejoin():
    global second
    second = member(group)
    equal(read(second, 10), list(range(10, 20)))
    second.commit()


def describe():
    described = admin.describe_groups([group])
    described = described[group] if isinstance(described, dict) else described[0]
    state = described["group_state"] if isinstance(described, dict) else described.state
    members = described["members"] if isinstance(described, dict) else described.members
    equal((state, len(members)), ("Stable", 1))
    second.close()


def committed(count):
    consumer = open_consumer(group_id=None, isolation_level="read_committed")
    consumer.assign([TopicPartition(ledger, 0)])
    values = read(consumer, count)
    consumer.close()
    return values


def commit():
    global producer
    producer = KafkaProducer(bootstrap_servers=servers, transactional_id=f"kafka-python-{RUN}")
    producer.init_transactions()
    producer.begin_transaction()
    for n in range(3):
        producer.send(ledger, str(n).encode())
    producer.commit_transaction()
    equal(committed(3), [0, 1, 2])


def abort():
    producer.begin_transaction()
    for n in range(3, 5):
        producer.send(ledger, str(n).encode())
    producer.flush(20)
    producer.abort_transaction()
    producer.begin_transaction()
    producer.send(ledger, b"5")
    producer.commit_transaction()
    equal(committed(4), [0, 1, 2, 5])


def offsets():
    name = f"{group}-offsets"
    consumer = member(name)
    read(consumer, 20)
    partition = TopicPartition(topic, 0)
    producer.begin_transaction()
    producer.send_offsets_to_transaction({partition: OffsetAndMetadata(7, "", -1)}, name)
    producer.commit_transaction()
    equal(consumer.committed(partition), 7)
    consumer.close()
    producer.close()


def delete():
    admin.delete_topics([topic, ledger])
    eventually(lambda: topic not in admin.list_topics())


step("create", create)
step("produce", lambda: send(range(10)))
step("consume", consume)
step("group", join)
step("rejoin", rejoin)
step("describe", describe)
step("commit", commit)
step("abort", abort)
step("offsets", offsets)
step("delete", delete)
end()
