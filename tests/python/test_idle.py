"""Idle is zero: no thread wakes up while nothing happens. `make idle` measures longer and prints the figures."""

import os
import time

import idle
import pytest
from broker import Broker

SECONDS = float(os.environ.get("CHRONIK_IDLE_S", "10"))


@pytest.mark.serial
def test_no_thread_wakes_up_while_nothing_happens():
    """All three kinds of rest are watched at once, each in a broker of its own."""
    brokers = [Broker().start() for _ in idle.CASES]
    try:
        held = [case(broker) for case, broker in zip(idle.CASES, brokers)]
        for broker in brokers:
            idle.settle(broker)
        before = [broker.voluntary_switches() for broker in brokers]
        cpu = [idle.processor_ms(broker) for broker in brokers]
        time.sleep(SECONDS)
        for case, broker, start, spent in zip(idle.CASES, brokers, before, cpu):
            assert broker.voluntary_switches() == start, case.__doc__
            assert idle.processor_ms(broker) == spent, case.__doc__
        for connections in held:
            for connection in connections:
                assert connection.call("ApiVersions")["error"] == 0, "it was asleep, not dead"
                connection.socket.close()
    finally:
        for broker in brokers:
            broker.__exit__(None, None, None)


@pytest.mark.serial
def test_a_long_poll_wakes_nobody_but_for_its_own_requests(broker):
    poll = idle.LongPoll(broker, max_wait_ms=500)
    idle.settle(broker, 2)
    requests, before = poll.requests, sum(broker.voluntary_switches().values())
    time.sleep(5)
    requests, switches = poll.requests - requests, sum(broker.voluntary_switches().values()) - before
    poll.stop()
    assert 8 <= requests <= 12
    # One wake-up for the request and one for its deadline, with one of each to spare.
    assert switches <= 2 * requests + 4, f"{switches} wake-ups for {requests} requests"
