"""Counts, rates and latencies of a camera's stream."""

import math

import pytest

from samwise_ros.ros.health.monitor import StreamMonitor


def test_the_monitor_reports_rates_and_percentiles_of_the_last_answers():
    now = [100.0]
    monitor = StreamMonitor(lambda: now[0])
    empty = monitor.report()
    assert empty.rate == 0 and math.isnan(empty.latency_p50) and empty.error == ""
    for number in range(1000):
        now[0] += 0.1
        monitor.image_received()
        monitor.frame_answered(0.010 if number % 10 else 0.050)
    report = monitor.report()
    assert (report.received, report.processed, report.failed) == (1000, 1000, 0)
    assert report.rate == pytest.approx(10.0) and report.idle == 0
    assert report.latency_p50 == pytest.approx(0.010)
    assert report.latency_p95 == pytest.approx(0.050)
    now[0] += 20
    stalled = monitor.report()
    assert stalled.idle == pytest.approx(20) and stalled.rate < 6 and stalled.input_rate < 6


def test_the_monitor_counts_resets_and_keeps_the_last_reason():
    monitor = StreamMonitor()
    assert (monitor.report().resets, monitor.report().last_reset) == (0, "")
    monitor.memory_reset("images changed")
    monitor.memory_reset("stamps jumped back")
    assert (monitor.report().resets, monitor.report().last_reset) == (2, "stamps jumped back")


def test_an_error_stays_until_the_next_answer():
    monitor = StreamMonitor()
    monitor.frame_failed("frame not answered")
    assert monitor.report().error == "frame not answered" and monitor.report().failed == 1
    monitor.frame_answered(0.1)
    assert monitor.report().error == ""
