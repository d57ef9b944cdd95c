"""The broker in memory: a consumer is notified at once, respects its prefetch limit, and times out."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection, Consumer, Producer, Queue

from assembler_runner.publishing import memory_broker

QUEUE = Queue("memory-broker-test")


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection("memory://localhost/", transport=memory_broker.TRANSPORT) as made:
        assert isinstance(made.transport, memory_broker.Transport)
        yield made


def send(connection: Connection, *bodies: str) -> None:
    producer = Producer(connection.channel())
    for body in bodies:
        producer.publish({"body": body}, routing_key=QUEUE.name, declare=[QUEUE])


def test_a_reader_that_waits_is_woken(connection: Connection) -> None:
    found: list[Any] = []
    with Consumer(connection.channel(), [QUEUE], on_message=found.append) as consumer:
        consumer.qos(prefetch_count=10)
        sender = threading.Timer(0.1, send, (connection, "first"))
        sender.start()
        begun = time.monotonic()
        connection.drain_events(timeout=20)
        assert time.monotonic() - begun < 10, "it was woken, and did not wait until its time was over"
        sender.join()
    assert [message.decode() for message in found] == [{"body": "first"}]
    found[0].ack()


def test_a_reader_gives_up_in_time(connection: Connection) -> None:
    with Consumer(connection.channel(), [QUEUE], on_message=lambda message: None), pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.05)


def test_a_consumer_continues_when_it_may_take_one_more(connection: Connection) -> None:
    found: list[Any] = []
    with Consumer(connection.channel(), [QUEUE], on_message=found.append) as consumer:
        consumer.qos(prefetch_count=1)
        send(connection, "first", "second")
        connection.drain_events(timeout=20)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.05)
        done = threading.Timer(0.1, found[0].ack)
        done.start()
        connection.drain_events(timeout=20)
        done.join()
    assert [message.decode()["body"] for message in found] == ["first", "second"]
    found[1].ack()
