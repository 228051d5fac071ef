"""aiokafka: asyncio."""

import asyncio
import contextlib
import sys

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from steps import RUN, client, end, equal, step

servers = sys.argv[1]
topic, ledger, group = f"aiokafka-{RUN}", f"aiokafka-ledger-{RUN}", f"aiokafka-group-{RUN}"
client("aiokafka", aiokafka.__version__)


@contextlib.asynccontextmanager
async def administrator():
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def send(numbers):
    async with AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True) as producer:
        for n in numbers:
            await producer.send_and_wait(topic, str(n).encode(), partition=n % 2)


def open_consumer(*topics, **settings):
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **settings,
    )


async def read(consumer, count):
    values = []
    while len(values) < count:
        values.append(int((await asyncio.wait_for(consumer.getone(), 20)).value))
    return sorted(values)


async def create():
    async with administrator() as admin:
        await admin.create_topics([NewTopic(topic, 2, 1), NewTopic(ledger, 1, 1)])


async def consume():
    async with open_consumer(group_id=None) as consumer:
        consumer.assign([TopicPartition(topic, 0), TopicPartition(topic, 1)])
        equal(await read(consumer, 10), list(range(10)))


async def join():
    async with open_consumer(topic, group_id=group) as consumer:
        equal(await read(consumer, 10), list(range(10)))
        await consumer.commit()
    await send(range(10, 20))


async def rejoin():
    async with open_consumer(topic, group_id=group) as consumer:
        equal(await read(consumer, 10), list(range(10, 20)))
        await consumer.commit()


async def describe():
    async with administrator() as admin:
        response = (await admin.describe_consumer_groups([group]))[0]
        error, name, state = response.groups[0][:3]
        equal((error, name, state), (0, group, "Empty"))


async def committed(count):
    async with open_consumer(group_id=None, isolation_level="read_committed") as consumer:
        consumer.assign([TopicPartition(ledger, 0)])
        return await read(consumer, count)


async def transactions(work):
    async with AIOKafkaProducer(bootstrap_servers=servers, transactional_id=f"aiokafka-{RUN}") as producer:
        await work(producer)


async def commit():
    async def work(producer):
        async with producer.transaction():
            for n in range(3):
                await producer.send(ledger, str(n).encode())

    await transactions(work)
    equal(await committed(3), [0, 1, 2])


async def abort():
    async def work(producer):
        await producer.begin_transaction()
        for n in range(3, 5):
            await producer.send_and_wait(ledger, str(n).encode())
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send(ledger, b"5")

    await transactions(work)
    equal(await committed(4), [0, 1, 2, 5])


async def offsets():
    name, partition = f"{group}-offsets", TopicPartition(topic, 0)

    async def work(producer):
        async with producer.transaction():
            await producer.send_offsets_to_transaction({partition: 7}, name)

    await transactions(work)
    async with open_consumer(group_id=name) as consumer:
        consumer.assign([partition])
        equal(await consumer.committed(partition), 7)


async def delete():
    async with administrator() as admin:
        await admin.delete_topics([topic, ledger])
        while topic in await admin.list_topics():
            await asyncio.sleep(0.01)


for name, what in {
    "create": create,
    "produce": lambda: send(range(10)),
    "consume": consume,
    "group": join,
    "rejoin": rejoin,
    "describe": describe,
    "commit": commit,
    "abort": abort,
    "offsets": offsets,
    "delete": delete,
}.items():
    step(name, lambda: asyncio.run(what()))
end()
