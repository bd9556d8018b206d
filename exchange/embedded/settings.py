"""The settings of a one-node KRaft broker, as texts. Paths are relative: the JVM runs in the folder of its data."""

from __future__ import annotations

LOGS = "logs"
PROPERTIES = "server.properties"
LOG4J = "log4j2.properties"
BROKER_LOG = "broker.log"
OUTPUT = "jvm.log"


def server_properties(port: int, controller_port: int, *, logs: str = LOGS) -> str:
    """Kafka's own file (https://kafka.apache.org/documentation/#brokerconfigs): loopback only, no topic made by accident."""
    lines = (
        "process.roles=broker,controller",
        "node.id=1",
        f"controller.quorum.voters=1@127.0.0.1:{controller_port}",
        f"listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        f"advertised.listeners=PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names=CONTROLLER",
        "inter.broker.listener.name=PLAINTEXT",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        f"log.dirs={logs}",
        "auto.create.topics.enable=false",
        "offsets.topic.replication.factor=1",
        "offsets.topic.num.partitions=8",
        "transaction.state.log.replication.factor=1",
        "transaction.state.log.min.isr=1",
        "share.coordinator.state.topic.replication.factor=1",
        "share.coordinator.state.topic.min.isr=1",
        "group.initial.rebalance.delay.ms=0",
        "group.min.session.timeout.ms=1000",
        "log.cleaner.dedupe.buffer.size=8388608",
        "num.network.threads=2",
        "num.io.threads=2",
    )
    return "\n".join(lines) + "\n"


def log4j_properties() -> str:
    """Warnings to one file in the folder of the data, at most three of 10 MB; nothing on the terminal. What goes well is some
    3,000 lines a start."""
    return f"""\
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={BROKER_LOG}
appender.file.filePattern={BROKER_LOG}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %m (%c)%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=10MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=2
"""


def diagnosis(log: str) -> str:
    """Which error code the log of a broker that died tells of: disk_full, port_taken, data_in_use or broker_failed."""
    signs = {
        "No space left on device": "disk_full",
        "failed to bind": "port_taken",
        "Address already in use": "port_taken",
        "Failed to acquire lock": "data_in_use",
    }
    return next((code for sign, code in signs.items() if sign in log), "broker_failed")
