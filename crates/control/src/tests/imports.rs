//! Imports of an API server's audit log.

use kubestile_core::event::{Imported, LeftOut, Object, Seen, Source};
use kubestile_core::{ClusterName, ImportId};
use kubestile_store::audit::search::{Filter, search};

use super::*;
use crate::api::BeginImport;

const EARLIER: i64 = START - 3600;

impl Gate {
    async fn behind_it(&self, name: &str) {
        let body = json!({ "server": "https://a", "mode": "legacy" });
        let added = self
            .admin(put(&format!("/v1/clusters/{name}"), &body))
            .await;
        assert_eq!(added.status, StatusCode::OK, "{:?}", added.body);
    }

    async fn begin(&self, request: &BeginImport) -> Answer {
        let body = serde_json::to_value(request).unwrap();
        self.admin(post("/v1/clusters/prod/imports", &body)).await
    }

    async fn begun(&self, request: &BeginImport) -> ImportId {
        let answer = self.begin(request).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        answer.body["import"].as_str().unwrap().parse().unwrap()
    }

    async fn bring(&self, import: ImportId, offset: u64, records: &[Imported]) -> Answer {
        let body = json!({ "offset": offset, "records": records });
        let path = format!("/v1/imports/{import}/records");
        self.admin(post(&path, &body)).await
    }

    async fn end(&self, import: ImportId, failed: &str) -> Answer {
        let path = format!("/v1/imports/{import}/end");
        self.admin(post(&path, &json!({ "failed": failed }))).await
    }

    /// How many records have this.
    async fn times(&self, text: &str) -> usize {
        self.audit.sealed_to(self.audit.size()).await.unwrap();
        let log = self.dir.path().join("log");
        let records = search(&log, &Filter::default()).unwrap();
        let texts = records.map(|found| {
            let bytes = found.unwrap().record.canonical_bytes().unwrap();
            String::from_utf8(bytes).unwrap()
        });
        texts.filter(|record| record.contains(text)).count()
    }
}

fn gap(sha256: char, records: u64) -> BeginImport {
    BeginImport {
        from: Timestamp::from_secs(EARLIER),
        until: Timestamp::from_secs(EARLIER + 600),
        reason: "the gate\u{1b}[2J was dead".to_owned(),
        named: "ana".to_owned(),
        sources: vec![Source {
            name: "audit.log".to_owned(),
            sha256: sha256.to_string().repeat(64),
            bytes: 9,
        }],
        records,
        left_out: LeftOut {
            outside: 4,
            ..LeftOut::default()
        },
        again: false,
    }
}

fn record(import: ImportId, cluster: &str, second: i64) -> Imported {
    let cluster: ClusterName = cluster.parse().unwrap();
    let seen = Seen {
        id: "a-1",
        at: Timestamp::from_secs(EARLIER + second),
        stage: "ResponseComplete",
        verb: "delete",
        uri: "/api/v1/namespaces/shop/pods/web",
        object: Some(Object {
            resource: "pods",
            namespace: "shop",
            name: "web",
            ..Object::default()
        }),
        user: "kubestile-break-glass:person:ana",
        groups: &[],
        impersonated: None,
        source: "192.0.2.1",
        user_agent: "kubectl",
        status: 200,
    };
    Imported::new(import, &cluster, [1; 32], &seen)
}

#[tokio::test]
async fn a_marker_the_records_a_marker() {
    let gate = Gate::new().await;
    gate.behind_it("prod").await;
    let import = gate.begun(&gap('a', 3)).await;
    let records: Vec<Imported> = (1..=3).map(|s| record(import, "prod", s)).collect();
    let (first, rest) = records.split_at(1);
    assert_eq!(
        gate.bring(import, 0, first).await.body,
        json!({ "written": 1 })
    );
    // Sent again, because the answer was lost.
    assert_eq!(
        gate.bring(import, 0, first).await.status,
        StatusCode::CONFLICT
    );
    assert_eq!(
        gate.bring(import, 1, &[]).await.body,
        json!({ "written": 1 })
    );
    assert_eq!(
        gate.bring(import, 1, rest).await.body,
        json!({ "written": 3 })
    );
    let too_many = gate.bring(import, 3, first).await;
    assert_eq!(too_many.status, StatusCode::BAD_REQUEST);
    let ended = gate.end(import, "").await;
    assert_eq!(ended.body["gap"]["change"], "ended", "{:?}", ended.body);
    assert_eq!(ended.body["gap"]["records"], 3);
    assert_eq!(ended.body["gap"]["first"], records[0].at);
    assert_eq!(ended.body["gap"]["last"], records[2].at);
    assert_eq!(ended.body["gap"]["leftOut"]["outside"], 4);
    assert_eq!(ended.body["gap"]["reason"], "the gate[2J was dead");
    assert_eq!(ended.body["gap"]["by"], "local administrator");
    assert_eq!(ended.body["gap"]["named"], "ana");
    for over in [gate.bring(import, 3, &[]).await, gate.end(import, "").await] {
        assert_eq!(over.status, StatusCode::CONFLICT);
    }
    assert_eq!(gate.times(r#""kind":"gap""#).await, 2);
    assert_eq!(gate.times(r#""kind":"imported""#).await, 3);
    assert_eq!(gate.times(r#""kind":"decision""#).await, 0);
}

#[tokio::test]
async fn a_file_is_imported_once_for_a_time_unless_it_is_meant() {
    let gate = Gate::new().await;
    gate.behind_it("prod").await;
    let first = gate.begun(&gap('a', 0)).await;
    let busy = gate.begin(&gap('b', 0)).await;
    assert_eq!(busy.status, StatusCode::CONFLICT);
    assert!(
        busy.error()
            .contains(&format!("`{first}` of this cluster is under way"))
    );
    gate.end(first, "").await;
    let twice = gate.begin(&gap('a', 0)).await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
    assert!(
        twice.error().contains(&first.to_string()),
        "{}",
        twice.error()
    );
    let again = BeginImport {
        again: true,
        ..gap('a', 0)
    };
    let answer = gate.begin(&again).await;
    assert_eq!(answer.body["after"], first.to_string());
    let second: ImportId = answer.body["import"].as_str().unwrap().parse().unwrap();
    gate.end(second, "").await;
    let changed = gate.begin(&gap('b', 0)).await;
    assert_eq!(changed.status, StatusCode::CREATED, "{:?}", changed.body);
    assert_eq!(changed.body["changed"], json!(["audit.log"]));
    let third: ImportId = changed.body["import"].as_str().unwrap().parse().unwrap();
    gate.end(third, "").await;
    let elsewhen = BeginImport {
        from: Timestamp::from_secs(EARLIER + 1200),
        until: Timestamp::from_secs(EARLIER + 1300),
        ..gap('a', 0)
    };
    let answer = gate.begin(&elsewhen).await;
    assert_eq!(answer.body["after"], Value::Null, "{:?}", answer.body);
}

#[tokio::test]
async fn an_import_that_never_ended_is_marked_and_the_next_says_so() {
    let gate = Gate::new().await;
    gate.behind_it("prod").await;
    let dead = gate.begun(&gap('a', 5)).await;
    gate.bring(dead, 0, &[record(dead, "prod", 1)]).await;
    gate.pass(121);
    let next = gate.begin(&gap('a', 0)).await;
    assert_eq!(next.status, StatusCode::CREATED, "{:?}", next.body);
    assert_eq!(next.body["cut_short"], dead.to_string());
    assert_eq!(next.body["after"], dead.to_string());
    assert!(gate.log().contains(r#""change":"cut short""#));
    assert_eq!(gate.bring(dead, 1, &[]).await.status, StatusCode::CONFLICT);
    // Without a next one, the gate says so by itself.
    let next: ImportId = next.body["import"].as_str().unwrap().parse().unwrap();
    let app = crate::state::App::new(gate.state.clone());
    crate::imports::settle(&app).await.unwrap();
    assert_eq!(gate.times(r#""change":"cut short""#).await, 1);
    gate.pass(121);
    crate::imports::settle(&app).await.unwrap();
    assert_eq!(gate.times(r#""change":"cut short""#).await, 2);
    assert_eq!(gate.end(next, "").await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_did_not_all_come_is_cut_short() {
    let gate = Gate::new().await;
    gate.behind_it("prod").await;
    let import = gate.begun(&gap('a', 2)).await;
    gate.bring(import, 0, &[record(import, "prod", 1)]).await;
    let ended = gate.end(import, "").await;
    assert_eq!(ended.body["gap"]["change"], "cut short");
    assert_eq!(ended.body["gap"]["detail"], "1 of 2 records came");
    let import = gate.begun(&gap('a', 0)).await;
    let ended = gate.end(import, "`audit.log` changed\n").await;
    assert_eq!(ended.body["gap"]["change"], "cut short");
    assert_eq!(ended.body["gap"]["detail"], "`audit.log` changed");
}

#[tokio::test]
async fn only_the_local_administrator_imports_and_only_what_can_be() {
    let gate = Gate::new().await;
    gate.behind_it("prod").await;
    let ana = gate.client("ana", &["admin"]).await;
    let body = serde_json::to_value(gap('a', 0)).unwrap();
    let path = "/v1/clusters/prod/imports";
    let person = gate.public(post(path, &body).by(&ana)).await;
    assert_eq!(person.status, StatusCode::NOT_FOUND);
    let size = gate.audit.size();
    let elsewhere = gate.admin(post("/v1/clusters/other/imports", &body)).await;
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);
    let ahead = Timestamp::from_secs(START + 3600);
    for bad in [
        BeginImport {
            from: ahead,
            ..gap('a', 0)
        },
        BeginImport {
            until: ahead,
            ..gap('a', 0)
        },
        BeginImport {
            reason: "\u{7} ".to_owned(),
            ..gap('a', 0)
        },
        BeginImport {
            sources: Vec::new(),
            ..gap('a', 0)
        },
        BeginImport {
            sources: vec![gap('a', 0).sources.remove(0); 51],
            ..gap('a', 0)
        },
        gap('A', 0),
    ] {
        let answer = gate.begin(&bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad:?}");
    }
    assert_eq!(gate.audit.size(), size, "nothing was written of it");
    let import = gate.begun(&gap('a', 200)).await;
    let good = record(import, "prod", 1);
    let other = ImportId::from_uuid(Uuid::from_u128(1));
    for bad in [
        vec![record(other, "prod", 1)],
        vec![record(import, "other", 1)],
        vec![record(import, "prod", -1)],
        vec![good.clone(), record(import, "prod", 601)],
        vec![Imported {
            user: "a\nb".to_owned(),
            ..good.clone()
        }],
        vec![good.clone(); 101],
    ] {
        let answer = gate.bring(import, 0, &bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad:?}");
    }
    assert_eq!(gate.times(r#""kind":"imported""#).await, 0);
    assert_eq!(
        gate.bring(other, 0, &[]).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn nothing_is_imported_unrecorded() {
    let gate = Gate::new().await;
    gate.behind_it("prod").await;
    gate.break_log().await;
    let answer = gate.begin(&gap('a', 0)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}
