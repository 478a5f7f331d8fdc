//! Counters and gauges for Prometheus. Labels are bounded: decision, status class, action, cluster,
//! the state of an access request, the origin of a grant; never a person, a path or a session.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// What the gate counts.
pub struct Metrics {
    registry: Registry,
    decisions: Family<DecisionLabels, Counter>,
    refusals: Family<StatusLabels, Counter>,
    answers: Family<StatusLabels, Counter>,
    decide: Histogram,
    record: Histogram,
    open_streams: Gauge<i64, AtomicI64>,
    held_requests: Gauge<i64, AtomicI64>,
    holds_ended: Family<OutcomeLabels, Counter>,
    access_requests: Family<StateLabels, Gauge<i64, AtomicI64>>,
    live_grants: Family<OriginLabels, Gauge<i64, AtomicI64>>,
    connections: Gauge<i64, AtomicI64>,
    connections_refused: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    fail_open: Counter<u64, AtomicU64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DecisionLabels {
    cluster: String,
    action: &'static str,
    decision: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StatusLabels {
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OriginLabels {
    origin: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("kubestile");
        let micros = || Histogram::new(exponential_buckets(10e-6, 4.0, 10));
        let metrics = Self {
            decisions: Family::default(),
            refusals: Family::default(),
            answers: Family::default(),
            decide: micros(),
            record: micros(),
            open_streams: Gauge::default(),
            held_requests: Gauge::default(),
            holds_ended: Family::default(),
            access_requests: Family::default(),
            live_grants: Family::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            fail_open: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("decisions", "Requests judged", metrics.decisions.clone());
        registry.register(
            "refusals",
            "Answers made by the gate itself",
            metrics.refusals.clone(),
        );
        registry.register(
            "answers",
            "Answers of API servers passed on",
            metrics.answers.clone(),
        );
        let secs = Unit::Seconds;
        registry.register_with_unit(
            "decide",
            "Time of one decision",
            secs,
            metrics.decide.clone(),
        );
        let secs = Unit::Seconds;
        let help = "Time until a record that is waited for was durable";
        registry.register_with_unit("record", help, secs, metrics.record.clone());
        let help = "Open watches, logs and upgraded streams";
        registry.register("open_streams", help, metrics.open_streams.clone());
        let help = "Requests that wait for an approval";
        registry.register("held_requests", help, metrics.held_requests.clone());
        let help = "Held requests that wait no more, by what became of them";
        registry.register("holds_ended", help, metrics.holds_ended.clone());
        let help = "Access requests that are remembered, by how they stand";
        registry.register("access_requests", help, metrics.access_requests.clone());
        let help = "Grants that give something now, by how they came about";
        registry.register("live_grants", help, metrics.live_grants.clone());
        registry.register(
            "connections",
            "Open client connections",
            metrics.connections.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections closed because their source had too many",
            metrics.connections_refused.clone(),
        );
        registry.register(
            "received_bytes",
            "Bytes from clients",
            metrics.bytes_in.clone(),
        );
        registry.register("sent_bytes", "Bytes to clients", metrics.bytes_out.clone());
        let help = "Times a named setting let something pass that is refused by default";
        registry.register("fail_open", help, metrics.fail_open.clone());
        Self {
            registry,
            ..metrics
        }
    }

    /// A decision was made, in `secs` seconds.
    pub fn decided(&self, cluster: &str, action: &'static str, decision: &'static str, secs: f64) {
        let labels = DecisionLabels {
            cluster: cluster.to_owned(),
            action,
            decision,
        };
        self.decisions.get_or_create(&labels).inc();
        self.decide.observe(secs);
    }

    /// A record was waited for, `secs` seconds.
    pub fn recorded(&self, secs: f64) {
        self.record.observe(secs);
    }

    /// The gate answered by itself.
    pub fn refused(&self, code: u16) {
        self.refusals.get_or_create(&StatusLabels { code }).inc();
    }

    /// An API server's answer was passed on.
    pub fn answered(&self, code: u16) {
        self.answers.get_or_create(&StatusLabels { code }).inc();
    }

    /// Bytes went through.
    pub fn moved(&self, bytes_in: u64, bytes_out: u64) {
        self.bytes_in.inc_by(bytes_in);
        self.bytes_out.inc_by(bytes_out);
    }

    /// A long-running request began (`1`) or ended (`-1`).
    pub fn streams(&self, by: i64) {
        self.open_streams.inc_by(by);
    }

    /// `by` more requests wait for an approval.
    pub fn held(&self, by: i64) {
        self.held_requests.inc_by(by);
    }

    /// A held request waits no more: it was `approved`, `denied`, `expired` or `withdrawn`, or was `refused`
    /// because its client comes again.
    pub fn hold_ended(&self, outcome: &'static str) {
        let labels = OutcomeLabels { outcome };
        self.holds_ended.get_or_create(&labels).inc();
    }

    /// How access requests and grants stand now: how many of each state and origin. What is not named there
    /// is none.
    pub fn stand(
        &self,
        requests: &BTreeMap<&'static str, i64>,
        grants: &BTreeMap<&'static str, i64>,
    ) {
        self.access_requests.clear();
        for (state, count) in requests {
            let gauge = self.access_requests.get_or_create(&StateLabels { state });
            gauge.set(*count);
        }
        self.live_grants.clear();
        for (origin, count) in grants {
            let gauge = self.live_grants.get_or_create(&OriginLabels { origin });
            gauge.set(*count);
        }
    }

    /// A client connection began (`1`) or ended (`-1`).
    pub fn connections(&self, by: i64) {
        self.connections.inc_by(by);
    }

    /// A connection was closed at once because its source has too many.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// A named setting let something pass.
    pub fn failed_open(&self) {
        self.fail_open.inc();
    }

    /// The OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(_) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_is_what_was_said_last() {
        let metrics = Metrics::new();
        metrics.stand(
            &[("waiting", 3), ("denied", 1)].into(),
            &[("request", 2)].into(),
        );
        metrics.stand(&[("waiting", 2)].into(), &[].into());
        metrics.hold_ended("approved");
        let text = metrics.text();
        for line in [
            "kubestile_access_requests{state=\"waiting\"} 2",
            "kubestile_holds_ended_total{outcome=\"approved\"} 1",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(
            !text.contains("denied") && !text.contains("origin"),
            "{text}"
        );
    }

    #[test]
    fn the_text_has_what_was_counted() {
        let metrics = Metrics::new();
        metrics.decided("prod", "exec", "deny", 20e-6);
        let text = metrics.text();
        assert!(
            text.contains(
                "kubestile_decisions_total{cluster=\"prod\",action=\"exec\",decision=\"deny\"} 1"
            ),
            "{text}"
        );
    }
}
