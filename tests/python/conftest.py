"""Fixtures: a broker for a test, and its plain-socket client."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from broker import Broker  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "serial: measures something, so it runs with nothing beside it")


@pytest.fixture
def broker():
    """A fresh broker; at the end it must stop with exit code 0 and must never have panicked."""
    with Broker() as started:
        yield started


@pytest.fixture(scope="module")
def shared_broker():
    """One broker for the whole file, for tests that leave no trace."""
    with Broker() as started:
        yield started


@pytest.fixture
def make_broker():
    """Brokers with options of the test's own; checked and stopped like the others."""
    running = []

    def make(**settings):
        running.append(Broker(**settings).start())
        return running[-1]

    yield make
    for started in reversed(running):
        started.__exit__(None, None, None)
