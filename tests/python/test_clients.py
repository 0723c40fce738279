"""Every client lives through the scenario, each in the environment that it was made for."""

import os
import subprocess

import pytest

from broker import ROOT

SUITE = "suite"
CLIENTS = [
    (SUITE, "confluent", None),
    ("kafka-python-1.4.7", "kafka_python", "0.8.2"),
    ("kafka-python-1.4.7", "kafka_python", "0.9"),
    ("kafka-python-1.4.7", "kafka_python", "0.10"),
    ("kafka-python-1.4.7", "kafka_python", "1.0"),
    ("kafka-python-1.4.7", "kafka_python", None),
    ("kafka-python-2.0.2", "kafka_python", "0.8.2"),
    ("kafka-python-2.0.2", "kafka_python", "0.9"),
    ("kafka-python-2.0.2", "kafka_python", "0.10"),
    ("kafka-python-2.0.2", "kafka_python", "1.0"),
    ("kafka-python-2.0.2", "kafka_python", "2.5"),
    ("kafka-python-2.0.2", "kafka_python", None),
    (SUITE, "kafka_python", "0.10"),
    (SUITE, "kafka_python", "2.5"),
    (SUITE, "kafka_python", None),
    ("aiokafka", "aio", None),
]


@pytest.mark.parametrize(
    "environment,driver,version", CLIENTS, ids=[f"{env}-{driver}-{ver or 'negotiated'}" for env, driver, ver in CLIENTS]
)
def test_client_lives_through_the_scenario(environment, driver, version):
    python = os.path.join(ROOT, ".venv", environment, "bin", "python")
    assert os.path.exists(python), f"{python} is missing: run tests/support/venv.sh"
    command = [python, os.path.join(ROOT, "tests", "python", "scenario.py"), driver]
    run = subprocess.run(
        command + ([version] if version else []),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout[-6000:]
