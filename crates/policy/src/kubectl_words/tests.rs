use super::*;

/// `METHOD path?query`.
fn of(line: &str) -> String {
    match Typed::parse(line) {
        Ok(typed) => match typed.query {
            Some(query) => format!("{} {}?{query}", typed.method, typed.path),
            None => format!("{} {}", typed.method, typed.path),
        },
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn commands_become_the_requests_that_kubectl_sends() {
    let pods = "/api/v1/namespaces/shop/pods";
    let deployments = "/apis/apps/v1/namespaces/shop/deployments";
    for (line, request) in [
        ("kubectl get pods -n shop", format!("GET {pods}?limit=500")),
        ("get po -nshop", format!("GET {pods}?limit=500")),
        ("get pods -A", "GET /api/v1/pods?limit=500".to_owned()),
        (
            "get pods",
            "GET /api/v1/namespaces/default/pods?limit=500".to_owned(),
        ),
        ("get pod/web -n shop", format!("GET {pods}/web")),
        ("get pod web -n shop -o yaml", format!("GET {pods}/web")),
        (
            "get pods -n shop -w -l app=web",
            format!("GET {pods}?labelSelector=app%3Dweb&watch=true"),
        ),
        (
            "get deploy web -n shop -w",
            format!("GET {deployments}?fieldSelector=metadata.name%3Dweb&watch=true"),
        ),
        (
            "describe deployments.apps web -n shop",
            format!("GET {deployments}/web"),
        ),
        (
            "get deployments.v1.apps -n shop",
            format!("GET {deployments}?limit=500"),
        ),
        ("get nodes", "GET /api/v1/nodes?limit=500".to_owned()),
        ("get ns shop", "GET /api/v1/namespaces/shop".to_owned()),
        ("get --raw /metrics?x=1", "GET /metrics?x=1".to_owned()),
        (
            "get pod web --subresource=status -n shop",
            format!("GET {pods}/web/status"),
        ),
        (
            "get widgets.v1.example.com a -n shop",
            "GET /apis/example.com/v1/namespaces/shop/widgets/a".to_owned(),
        ),
        (
            "get widgets.v1.example.com",
            "GET /apis/example.com/v1/widgets?limit=500".to_owned(),
        ),
        (
            "delete deployment web -n shop",
            format!("DELETE {deployments}/web"),
        ),
        (
            "create deployment web --image=x -n shop",
            format!("POST {deployments}"),
        ),
        (
            "create secret generic db -n shop",
            "POST /api/v1/namespaces/shop/secrets".to_owned(),
        ),
        (
            "create token robot -n shop --duration 1h",
            "POST /api/v1/namespaces/shop/serviceaccounts/robot/token".to_owned(),
        ),
        ("run web --image=x -n shop", format!("POST {pods}")),
        (
            "replace deployment web -n shop",
            format!("PUT {deployments}/web"),
        ),
        (
            "patch deployment web -n shop -p '{\"a\": 1}' --dry-run=server",
            format!("PATCH {deployments}/web?dryRun=All"),
        ),
        (
            "diff deployment web -n shop",
            format!("PATCH {deployments}/web?dryRun=All"),
        ),
        (
            "label pod web tier=front -n shop",
            format!("PATCH {pods}/web"),
        ),
        (
            "set image deployment/web app=x:2 -n shop",
            format!("PATCH {deployments}/web"),
        ),
        (
            "scale deployment web --replicas=3 -n shop",
            format!("PATCH {deployments}/web/scale"),
        ),
        (
            "rollout restart deployment/web -n shop",
            format!("PATCH {deployments}/web"),
        ),
        (
            "rollout undo deployment web -n shop",
            format!("PATCH {deployments}/web"),
        ),
        (
            "rollout status deployment/web -n shop",
            format!("GET {deployments}?fieldSelector=metadata.name%3Dweb&watch=true"),
        ),
        (
            "drain node-1 --ignore-daemonsets",
            "PATCH /api/v1/nodes/node-1".to_owned(),
        ),
        (
            "taint nodes node-1 a=b:NoSchedule",
            "PATCH /api/v1/nodes/node-1".to_owned(),
        ),
        (
            "logs -f web -c app -n shop",
            format!("GET {pods}/web/log?container=app&follow=true"),
        ),
        (
            "exec -it web -n shop -c app -- sh -c 'ls -l'",
            format!(
                "GET {pods}/web/exec?command=sh&command=-c&command=ls%20-l&container=app&stdin=true&stdout=true&tty=true"
            ),
        ),
        (
            "attach pod/web -n shop",
            format!("GET {pods}/web/attach?stdout=true"),
        ),
        (
            "port-forward web 8080:80 -n shop",
            format!("GET {pods}/web/portforward"),
        ),
        (
            "cp shop/web:/tmp/a .",
            format!(
                "GET {pods}/web/exec?command=tar&command=cf&command=-&command=%2Ftmp%2Fa&stdout=true"
            ),
        ),
        (
            "cp a web:/tmp -n shop",
            format!(
                "GET {pods}/web/exec?command=tar&command=-xmf&command=-&command=-C&command=%2Ftmp&stdout=true"
            ),
        ),
        (
            "debug web -n shop --image=busybox",
            format!("PATCH {pods}/web/ephemeralcontainers"),
        ),
        (
            "debug node/node-1 -n shop --image=busybox",
            format!("POST {pods}"),
        ),
        (
            "certificate approve ana",
            "PUT /apis/certificates.k8s.io/v1/certificatesigningrequests/ana/approval".to_owned(),
        ),
        (
            "top nodes",
            "GET /apis/metrics.k8s.io/v1beta1/nodes".to_owned(),
        ),
        (
            "auth whoami",
            "POST /apis/authentication.k8s.io/v1/selfsubjectreviews".to_owned(),
        ),
        ("api-resources", "GET /apis".to_owned()),
        (
            "GET /api/v1/pods?watch=",
            "GET /api/v1/pods?watch=".to_owned(),
        ),
        (
            "kubectl get pod 'a b/c'",
            "GET /api/v1/namespaces/default/pods/a%20b%2Fc".to_owned(),
        ),
    ] {
        assert_eq!(of(line), request, "{line}");
    }
}

#[test]
fn commands_are_the_actions_that_they_look_like() {
    use kubestile_core::ActionKind;
    for (line, kind) in [
        ("get pods", ActionKind::List),
        ("get pod a", ActionKind::Get),
        ("get pod a -w", ActionKind::Watch),
        ("logs a", ActionKind::Log),
        ("exec a -- sh", ActionKind::Exec),
        ("cp a:/x y", ActionKind::Copy),
        ("cp y a:/x", ActionKind::Copy),
        ("debug a", ActionKind::Debug),
        ("certificate deny a", ActionKind::Approve),
        ("create token a", ActionKind::Token),
        ("version", ActionKind::Discover),
        (
            "POST /api/v1/namespaces/a/pods/b/eviction",
            ActionKind::Evict,
        ),
        (
            "DELETE /api/v1/namespaces/a/pods",
            ActionKind::DeleteCollection,
        ),
    ] {
        let action = Typed::parse(line)
            .unwrap()
            .action("prod".parse().unwrap())
            .unwrap();
        assert_eq!(action.kind, kind, "{line}");
    }
}

#[test]
fn impersonation_flags_are_kept() {
    let typed = Typed::parse("get pods --as bob --as-group=a --as-group b").unwrap();
    let who = typed.impersonates.unwrap();
    assert_eq!(
        (who.user.as_str(), who.groups),
        ("bob", vec!["a".to_owned(), "b".to_owned()])
    );
}

#[test]
fn what_is_not_one_known_request_is_refused_with_advice() {
    for (line, part) in [
        ("", "write a kubectl command"),
        ("kubectl", "not known here"),
        ("kubectl frobnicate", "write the request as method and path"),
        ("get", "name the object"),
        ("get pods,services", "one object at a time"),
        ("get pods a b", "one object at a time"),
        ("delete pods --all", "one request for each"),
        ("delete deployment -l app=web", "one request for each"),
        (
            "apply -f web.yaml",
            "what stands in a file is not read here",
        ),
        ("get widgets", "built-in table"),
        ("get widgets.example.com", "built-in table"),
        ("logs deployment/web", "only the cluster knows"),
        ("exec web", "after `--`"),
        ("exec web -it", "after `--`"),
        ("get pods --colour", "flag `--colour` is not known"),
        ("get pods -Z", "flag `-Z` is not known"),
        ("get pods -n", "needs a value"),
        ("patch pod a --dry-run=client", "sends nothing"),
        ("config view", "sends no request"),
        ("get pods 'a", "quote is not closed"),
        ("get pods \\", "ends with"),
        ("scale --replicas=3", "name the object"),
        ("cp a b", "names a pod"),
    ] {
        let found = of(line);
        assert!(
            found.starts_with("error: ") && found.contains(part),
            "{line}: {found}"
        );
    }
}

#[test]
fn names_cannot_leave_their_place_in_the_path() {
    let typed = Typed::parse("get pod ../../secrets -n 'a/b'").unwrap();
    assert_eq!(
        typed.path,
        "/api/v1/namespaces/a%2Fb/pods/..%2F..%2Fsecrets"
    );
    assert!(
        typed.action("prod".parse().unwrap()).is_err(),
        "the gate answers 400"
    );
}
