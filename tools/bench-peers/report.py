"""Tables of what was measured: figures by peer, and the targets that concern peers."""

import math
import statistics

# Title, unit, the measurement and its figure.
FIGURES = [
    ("produce, 1 KB records, 256 KB requests, acks=1", "CPU-s/GB", "produce-1k", "cpu_s_per_gb"),
    ("the same, throughput", "MB/s", "produce-1k", "mb_per_s"),
    ("produce, 100 B records, 256 KB requests, acks=1", "CPU-s/GB", "produce-100", "cpu_s_per_gb"),
    ("catch-up fetch", "CPU-s/GB", "fetch", "cpu_s_per_gb"),
    ("the same, throughput", "MB/s", "fetch", "mb_per_s"),
    ("ack, one in flight, 100 B, acks=1, p50", "µs", "latency", "p50_us"),
    ("ack, one in flight, 100 B, acks=1, p99", "µs", "latency", "p99_us"),
    ("produce to consume at 1,000 records/s, p50", "µs", "follow", "arrival_p50_us"),
    ("produce to consume at 1,000 records/s, p99", "µs", "follow", "arrival_p99_us"),
    ("synced acks=all, 64 producers, 1 partition", "batches/s", "synced", "requests_per_s"),
    ("synced acks=all, 64 producers, 8 partitions", "batches/s", "synced-8", "requests_per_s"),
    ("resident memory, idle", "MiB", "idle", "resident_mib"),
    ("resident memory, after all this", "MiB", "after", "resident_mib"),
    ("context switches, idle", "1/s", "idle", "switches_per_s"),
    ("exec to first answer", "ms", "start", "start_ms"),
    ("librdkafka produces 1 KB records", "CPU-s/GB", "librdkafka", "produce_cpu_s_per_gb"),
    ("librdkafka consumes them", "CPU-s/GB", "librdkafka", "consume_cpu_s_per_gb"),
    ("kafka-producer-perf-test, 1 KB records", "CPU-s/GB", "kafka-tools", "produce_cpu_s_per_gb"),
    ("kafka-consumer-perf-test", "CPU-s/GB", "kafka-tools", "consume_cpu_s_per_gb"),
    ("kcat produces 1 KB records", "CPU-s/GB", "kcat", "produce_cpu_s_per_gb"),
    ("kcat consumes them", "CPU-s/GB", "kcat", "consume_cpu_s_per_gb"),
]
# What is longer stands below the table alone.
REASON_MAX = 26
# Of these less is worse.
MORE_IS_BETTER = {"mb_per_s", "requests_per_s"}


class Results:
    """Rounds by measurement and peer, and why some have none."""

    def __init__(self):
        self.rounds, self.failures = {}, {}

    def add(self, measure, peer, line):
        self.rounds.setdefault((measure, peer), []).append(line)

    def fail(self, measure, peer, reason):
        self.failures[measure, peer] = reason

    def has_failed(self, measure, peer):
        return (measure, peer) in self.failures

    def median(self, measure, peer, figure):
        lines = [] if self.has_failed(measure, peer) else self.rounds.get((measure, peer), [])
        values = [line[figure] for line in lines if line.get(figure) is not None]
        return statistics.median(values) if values else math.nan

    def cell(self, measure, peer, figure):
        value = self.median(measure, peer, figure)
        if not math.isnan(value):
            return digits(value)
        reason = self.failures.get((measure, peer), "–")
        return reason if len(reason) <= REASON_MAX else f"{reason[: REASON_MAX - 1]}…"


def reasons(results):
    """Why cells have no figure, where that does not fit into them."""
    return [f"{peer}, {measure}: {why}" for (measure, peer), why in results.failures.items() if len(why) > REASON_MAX]


def digits(value):
    """Three digits, or all before the point."""
    size = abs(value)
    decimals = 0 if size >= 100 or value == int(value) else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}"


def figures(results, names):
    """The table of all figures: one column a peer."""
    table = [["figure", "unit", *names]]
    for title, unit, measure, figure in FIGURES:
        cells = [results.cell(measure, name, figure) for name in names]
        if any(cell != "–" for cell in cells):
            table.append([title, unit, *cells])
    return table


def targets(results, names):
    """The rows of the table of targets that ask for a peer."""
    others = [name for name in names if name != "chronik"]
    kafkas = [name for name in others if name.startswith("kafka")]
    rows = [["figure", "target", "measured", "beside", "ratio", "verdict"]]

    def row(index, bound, limit, whom, who):
        title, unit, measure, figure = FIGURES[index]
        values = {name: results.median(measure, name, figure) for name in whom}
        values = {name: value for name, value in values.items() if not math.isnan(value)}
        own = results.median(measure, "chronik", figure)
        target = f"{bound} {limit} × {who}" if limit != 1 else f"{bound} {who}"
        if not values or math.isnan(own):
            rows.append([title, target, "", "", "", "not measured"])
            return
        best = (max if figure in MORE_IS_BETTER else min)(values, key=values.get)
        ratio = own / values[best]
        met = {"≤": ratio <= limit, "≥": ratio >= limit, "<": ratio < limit}[bound]
        beside = f"{digits(values[best])} {unit} ({best})"
        verdict = "met" if met else "not met"
        rows.append([title, target, f"{digits(own)} {unit}", beside, f"{ratio:.2f}", verdict])

    for index in (0, 2):
        row(index, "≤", 0.5, kafkas, "Kafka")
        row(index, "<", 1, ["mock"], "the mock")
    row(9, "≥", 5, kafkas, "Kafka, flush.messages=1")
    for index in (5, 6):
        row(index, "<", 1, others, "every peer")
    return rows


def screen(head, who, why, tables):
    """All of it for a terminal."""
    figures_table, targets_table = map(text, tables)
    parts = [head, "\n".join(who), figures_table, "\n".join(why), targets_table]
    return "\n\n".join(part for part in parts if part)


def page(head, who, why, tables):
    """All of it in Markdown."""
    figures_table, targets_table = markdown(tables[0], 2), markdown(tables[1], 4)
    parts = [head, bullets(who), figures_table, bullets(why), targets_table]
    return "\n\n".join(part for part in parts if part) + "\n"


def bullets(lines):
    return "\n".join(f"- {line}" for line in lines)


def text(table):
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]
    return "\n".join(lines)


def markdown(table, left):
    """The first columns are text, the others numbers."""
    rule = "|".join("---" if column < left else "---:" for column in range(len(table[0])))
    head, *rows = [f"| {' | '.join(row)} |" for row in table]
    return "\n".join([head, f"|{rule}|", *rows])
