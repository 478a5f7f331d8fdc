use super::super::event::Target;
use super::*;

const NATIVE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"8c604d8d-368c-4294-9cfa-e361b4cbbefa","stage":"ResponseComplete","requestURI":"/api/v1/namespaces/shop/pods/web/log?follow=true","verb":"get","user":{"username":"alice","uid":"u","groups":["dev","system:authenticated"],"extra":{"authentication.kubernetes.io/credential-id":["X509SHA256=ab"],"odd":["x"]}},"sourceIPs":["203.0.113.9","10.0.0.7"],"userAgent":"kubectl/v1.36.0 (linux/amd64) kubernetes/abc","objectRef":{"resource":"pods","namespace":"shop","name":"web","apiVersion":"v1","subresource":"log"},"responseStatus":{"metadata":{},"code":200},"requestObject":{"deep":[{"a":"\"}{"}]},"requestReceivedTimestamp":"2026-11-25T06:18:00.000001Z","stageTimestamp":"2026-11-25T06:18:00.100000Z","annotations":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"RBAC"}}"#;

fn events(line: &str) -> (Result<Line, Malformed>, Vec<String>) {
    let mut found = Vec::new();
    let result = read(line.as_bytes(), &mut |event| {
        let target = match &event.target {
            Target::Path(path) => (*path).to_owned(),
            Target::Resource {
                group,
                resource,
                subresource,
                namespace,
                name,
            } => format!("{group}|{resource}|{subresource}|{namespace}|{name}"),
        };
        let whom = event.impersonated.as_ref().map_or("", |w| w.name);
        found.push(format!(
            "{} {} {target} {}{}{whom} {:?} {}",
            event.user.name,
            event.verb,
            event.address,
            if whom.is_empty() { "" } else { " as " },
            event.authorized,
            event.code
        ));
    });
    (result, found)
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

const ALICE: &str = "alice get |pods|log|shop|web 10.0.0.7 Some(true) 200";

#[test]
fn an_event_of_an_api_server() {
    let (line, found) = events(NATIVE);
    assert_eq!(
        line,
        Ok(Line {
            form: Form::Native,
            events: 1
        })
    );
    assert_eq!(found, [ALICE]);
    let mut whole = None;
    read(NATIVE.as_bytes(), &mut |e| {
        whole = Some((
            e.at,
            e.user.credential.to_owned(),
            e.user.groups.join(","),
            e.id.len(),
        ));
    })
    .unwrap();
    assert_eq!(
        whole,
        Some((
            Some(1_795_587_480_000_001),
            "X509SHA256=ab".to_owned(),
            "dev,system:authenticated".to_owned(),
            36
        ))
    );
}

#[test]
fn the_first_stage_says_nothing_yet_and_a_list_says_all() {
    let received = NATIVE.replace("ResponseComplete", "RequestReceived");
    let (line, found) = events(&received);
    assert_eq!((line.unwrap().events, found.len()), (1, 0));
    let list = format!(r#"{{"kind":"EventList","items":[{NATIVE},{received},{NATIVE}]}}"#);
    let (line, found) = events(&list);
    assert_eq!((line.unwrap().events, found.len()), (3, 2));
    let (_, found) = events(&format!("[{NATIVE}, {list}]"));
    assert_eq!(found.len(), 3);
}

#[test]
fn a_path_has_no_query_and_impersonation_has_two_names() {
    let path = r#"{"kind":"Event","stage":"ResponseComplete","requestURI":"/metrics?token=x","verb":"get","user":{"username":"bo"},"impersonatedUser":{"username":"alice","groups":null},"sourceIPs":null,"responseStatus":null,"annotations":null}"#;
    let (_, found) = events(path);
    assert_eq!(found, ["bo get /metrics  as alice None 0"]);
}

#[test]
fn what_cloudwatch_makes_of_it() {
    let subscription = format!(
        r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"/aws/eks/shop/cluster","logStream":"kube-apiserver-audit-1","logEvents":[{{"id":"1","timestamp":1795587480000,"message":{0}}},{{"id":"2","timestamp":1795587480000,"message":"time=\"now\" level=info msg=\"authenticator\""}}]}}"#,
        quoted(NATIVE)
    );
    let filtered = format!(
        r#"{{"events":[{{"logStreamName":"kube-apiserver-audit-1","timestamp":1795587480000,"message":{},"ingestionTime":1,"eventId":"3"}}],"searchedLogStreams":[]}}"#,
        quoted(NATIVE)
    );
    let single = format!(
        r#"{{"timestamp":1795587480000,"message":{}}}"#,
        quoted(NATIVE)
    );
    let insights = format!(
        r#"{{"@timestamp":"2026-11-25 06:18:00.000","@message":{}}}"#,
        quoted(NATIVE)
    );
    let exported = format!("2026-11-25T06:18:00.000Z {NATIVE}");
    for text in [subscription, filtered, single, insights, exported] {
        let (line, found) = events(&text);
        assert_eq!(line.unwrap().form, Form::Eks, "{text}");
        assert_eq!(found, [ALICE], "{text}");
    }
    let (line, _) = events("2026-11-25T06:18:00.000Z I1125 06:18:00 controller started");
    assert_eq!(line.unwrap().events, 0);
}

#[test]
fn what_cloud_logging_makes_of_it() {
    let entry = r#"{"insertId":"a1","labels":{"authorization.k8s.io/decision":"allow","authorization.k8s.io/reason":"access granted by IAM permissions."},"logName":"projects/p/logs/cloudaudit.googleapis.com%2Factivity","operation":{"first":true,"id":"8c604d8d-368c-4294-9cfa-e361b4cbbefa","last":true,"producer":"k8s.io"},"protoPayload":{"@type":"type.googleapis.com/google.cloud.audit.AuditLog","authenticationInfo":{"principalEmail":"alice@example.com"},"authorizationInfo":[{"granted":true,"permission":"io.k8s.core.v1.pods.exec.create","resource":"core/v1/namespaces/shop/pods/web/exec"}],"methodName":"io.k8s.core.v1.pods.exec.create","requestMetadata":{"callerIp":"203.0.113.9","callerSuppliedUserAgent":"kubectl/v1.33.1 (darwin/arm64) kubernetes/1"},"resourceName":"core/v1/namespaces/shop/pods/web/exec","serviceName":"k8s.io","status":{"code":0}},"receiveTimestamp":"2026-11-25T06:18:01Z","resource":{"labels":{"cluster_name":"shop"},"type":"k8s_cluster"},"timestamp":"2026-11-25T06:18:00.5Z"}"#;
    let (line, found) = events(entry);
    assert_eq!(line.unwrap().form, Form::Gke);
    assert_eq!(
        found,
        ["alice@example.com create |pods|exec|shop|web 203.0.113.9 Some(true) 200"]
    );
    let refused = entry
        .replace(
            "io.k8s.core.v1.pods.exec.create",
            "io.k8s.authorization.rbac.v1.clusterroles.list",
        )
        .replace(
            "core/v1/namespaces/shop/pods/web/exec",
            "rbac.authorization.k8s.io/v1/clusterroles",
        )
        .replace(
            r#""authorization.k8s.io/decision":"allow""#,
            r#""authorization.k8s.io/decision":"forbid""#,
        )
        .replace(r#""code":0"#, r#""code":7"#);
    let (_, found) = events(&refused);
    assert_eq!(
        found,
        [
            "alice@example.com list rbac.authorization.k8s.io|clusterroles||| 203.0.113.9 Some(false) 403"
        ]
    );
    // A request to Google's own API about the cluster.
    let other = entry.replace(
        "io.k8s.core.v1.pods.exec.create",
        "google.container.v1.ClusterManager.GetCluster",
    );
    let (line, found) = events(&other);
    assert_eq!((line.unwrap().events, found.len()), (0, 0));
}

#[test]
fn what_azure_makes_of_it() {
    let record = format!(
        r#"{{"category":"kube-audit","ccpNamespace":"x","resourceId":"/SUBSCRIPTIONS/S","properties":{{"log":{},"stream":"stdout","pod":"kube-apiserver-1"}},"time":"2026-11-25T06:18:00.0000000Z","operationName":"Microsoft.ContainerService/managedClusters/diagnosticLogs/Read"}}"#,
        quoted(&format!("{NATIVE}\n"))
    );
    let hub = format!(r#"{{"records":[{record},{record}]}}"#);
    for (text, count) in [(record, 1), (hub, 2)] {
        let (line, found) = events(&text);
        assert_eq!(line.unwrap().form, Form::Aks);
        assert_eq!(found, vec![ALICE; count]);
    }
}

/// As EKS writes it: the policy is the one word of the reason that is kept.
#[test]
fn an_access_policy_of_eks_is_told_from_other_reasons() {
    let line = |reason: &str| {
        let event = serde_json::json!({
            "kind": "Event", "stage": "ResponseComplete", "verb": "list", "requestURI": "/api/v1/pods",
            "user": { "username": "ana" },
            "annotations": { "authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": reason },
        });
        let mut found = None;
        read(event.to_string().as_bytes(), &mut |e| {
            found = Some(e.user.policy.to_owned())
        })
        .unwrap();
        found.unwrap()
    };
    let policy = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy";
    let role = "arn:aws:iam::111122223333:role/ops";
    let eks = format!(
        "EKS Access Policy: allowed by ClusterRoleBinding \"{role}+{policy}\" of ClusterRole \"{policy}\" to User \"ana\""
    );
    assert_eq!(line(&eks), "AmazonEKSClusterAdminPolicy");
    assert_eq!(
        line(&format!("RBAC: allowed by ClusterRoleBinding \"{policy}\"")),
        ""
    );
    assert_eq!(line(""), "");
}

#[test]
fn what_is_broken_says_where_and_repeats_nothing() {
    let cut: String = NATIVE.chars().take(200).collect();
    assert_eq!(events(&cut).0, Err(Malformed::Truncated));
    assert_eq!(
        events(r#"{"kind":"Event",}"#).0,
        Err(Malformed::Syntax { column: 17 })
    );
    let odd = r#"{"kind":"Event","stage":"ResponseComplete","user":"hunter2"}"#;
    let error = events(odd).0.unwrap_err();
    assert!(matches!(error, Malformed::Shape { .. }));
    assert!(!error.to_string().contains("hunter2"));
    assert_eq!(
        events("plain words").0,
        Err(Malformed::Syntax { column: 1 })
    );
    assert_eq!(events("").0.unwrap().events, 0);
    let mut wrapped = NATIVE.to_owned();
    for _ in 0..5 {
        wrapped = format!(r#"{{"message":{}}}"#, quoted(&wrapped));
    }
    assert_eq!(events(&wrapped).0, Err(Malformed::Deep));
    let deep = format!(
        r#"{{"kind":"Event","user":{{"extra":{}}}}}"#,
        "[".repeat(100_000)
    );
    assert!(events(&deep).0.is_err());
}
