//! A gate where commands wait, with somebody who asks and somebody who approves.

use serde_json::{Value, json};

use crate::{Gate, Person, cluster, eventually};

/// The gate and its people.
pub struct Field {
    /// The gate.
    pub gate: Gate,
    /// Only reads.
    pub ana: Person,
    /// Approves.
    pub bob: Person,
}

impl Field {
    /// A gate where commands wait, ana who only reads, and bob who approves.
    pub fn new() -> Self {
        Self::of(Gate::start_with(cluster(), &["--hold", "wait"]))
    }

    /// The same people at another gate.
    pub fn of(gate: Gate) -> Self {
        let ana = gate.person("ana", &["viewer"]);
        let bob = gate.person("bob", &["viewer", "approver"]);
        Self { gate, ana, bob }
    }

    /// The one request that waits now.
    pub fn waiting(&self) -> Value {
        eventually("a request waits", || self.waiting_now().into_iter().next())
    }

    /// All that waits, as bob sees it.
    pub fn waiting_now(&self) -> Vec<Value> {
        let (status, list) = self.bob.call(&self.gate, "GET", "/v1/access?waiting", None);
        assert_eq!(status, 200, "{list}");
        list["requests"].as_array().expect("requests").clone()
    }

    /// An answer to a request; status and JSON.
    pub fn answer(&self, who: &Person, request: &Value, verb: &str, body: &Value) -> (u16, Value) {
        let id = request["id"].as_str().expect("an id");
        who.call(
            &self.gate,
            "POST",
            &format!("/v1/access/{id}/{verb}"),
            Some(body),
        )
    }

    /// An approval of exactly what a request shows.
    pub fn approve(&self, who: &Person, request: &Value) -> (u16, Value) {
        let body = json!({"digest": request["digest"]});
        self.answer(who, request, "approve", &body)
    }

    /// A config map of its own in `shop`, for a test to change or delete.
    pub fn config_map(&self, name: &str) {
        self.delete_as_admin(name);
        let made = cluster()
            .kubectl()
            .args([
                "create",
                "configmap",
                name,
                "-n",
                "shop",
                "--from-literal=a=b",
            ])
            .output()
            .expect("kubectl runs");
        assert!(made.status.success(), "{made:?}");
    }

    /// Deletes a config map past the gate, if it is there.
    pub fn delete_as_admin(&self, name: &str) {
        let gone = cluster()
            .kubectl()
            .args([
                "delete",
                "configmap",
                name,
                "-n",
                "shop",
                "--ignore-not-found",
            ])
            .output()
            .expect("kubectl runs");
        assert!(gone.status.success(), "{gone:?}");
    }

    /// Whether a config map is there.
    pub fn exists(&self, name: &str) -> bool {
        let found = cluster()
            .kubectl()
            .args(["get", "configmap", name, "-n", "shop"])
            .output()
            .expect("kubectl runs");
        found.status.success()
    }
}

impl Default for Field {
    fn default() -> Self {
        Self::new()
    }
}
