use super::*;

fn jira(state: &str, category: &str) -> Value {
    json!({
        "expand": "renderedFields,names,schema,operations",
        "id": "10002",
        "self": "https://acme.atlassian.net/rest/api/3/issue/10002",
        "key": "OPS-12",
        "fields": {
            "summary": "Restart the shop",
            "status": {
                "name": state,
                "id": "3",
                "statusCategory": { "id": 4, "key": category, "name": "…" },
            },
            "assignee": {
                "accountId": "5b10a2844c20165700ede21g",
                "emailAddress": "ana@example.com",
                "displayName": "eve@example.com",
                "active": true,
            },
            "reporter": { "accountId": "5b10ac8d82e05b22cc7d4ef5", "emailAddress": "ben@example.com" },
            "creator": null,
            "labels": ["cluster:prod", "urgent"],
            "customfield_10040": [{ "value": "shop", "id": "1" }, { "value": "cart", "id": "2" }],
        },
    })
}

#[tokio::test]
async fn jira_cloud() {
    let place = Place::new(Reply::json(&jira("In Progress", "indeterminate"))).await;
    let tickets = place.tickets(
        "jiraCloud",
        json!({
            "user": "gate@example.com",
            "namespaces": { "pointer": "/fields/customfield_10040" },
            "cluster": { "label": "cluster:" },
        }),
    );
    let ticket = ask(&tickets, "ops-12", "ana").await.unwrap();
    assert_eq!(ticket.id.to_string(), "here:OPS-12");
    assert_eq!(ticket.url, format!("{}/browse/OPS-12", place.server.url()));
    assert!(ticket.open && ticket.names_person);
    assert_eq!(
        (ticket.state.as_str(), ticket.title.as_str()),
        ("In Progress", "Restart the shop")
    );
    let namespaces: Vec<String> = ticket
        .namespaces
        .unwrap()
        .into_iter()
        .map(String::from)
        .collect();
    assert_eq!(namespaces, ["shop", "cart"]);
    assert_eq!(ticket.cluster.unwrap().as_str(), "prod");
    assert_eq!(
        place.path(),
        "/rest/api/3/issue/OPS-12?fields=summary,status,assignee,reporter,creator,labels,customfield_10040"
    );
    // `gate@example.com:hunter2`
    assert_eq!(
        place.header("authorization"),
        "Basic Z2F0ZUBleGFtcGxlLmNvbTpodW50ZXIy"
    );

    // Neither a display name nor the reporter is the assignee.
    assert!(!ask(&tickets, "OPS-12", "eve").await.unwrap().names_person);
    assert!(!ask(&tickets, "OPS-12", "ben").await.unwrap().names_person);
}

#[tokio::test]
async fn a_ticket_that_closes_is_closed_at_the_next_look() {
    let place = Place::new(Reply::json(&jira("To Do", "new"))).await;
    let tickets = place.tickets("jiraCloud", json!({}));
    assert!(ask(&tickets, "OPS-12", "ana").await.unwrap().open);
    for (state, category) in [("Done", "done"), ("Odd", "undefined"), ("Odd", "")] {
        place.answers(Reply::json(&jira(state, category)));
        assert!(
            !ask(&tickets, "OPS-12", "ana").await.unwrap().open,
            "{state}"
        );
    }
    // The credential is read at each use.
    std::fs::write(place.credential.path(), "rotated").unwrap();
    ask(&tickets, "OPS-12", "ana").await.unwrap();
    assert_eq!(place.header("authorization"), "Bearer rotated");
}

#[tokio::test]
async fn open_states_that_are_configured_are_the_only_ones() {
    let place = Place::new(Reply::json(&jira("In Progress", "indeterminate"))).await;
    let tickets = place.tickets("jiraCloud", json!({ "openStates": ["Approved"] }));
    assert!(!ask(&tickets, "OPS-12", "ana").await.unwrap().open);
    place.answers(Reply::json(&jira("approved", "done")));
    assert!(ask(&tickets, "OPS-12", "ana").await.unwrap().open);
}

#[tokio::test]
async fn an_issue_that_was_moved_is_not_the_one_asked_for() {
    let place = Place::new(Reply::json(&jira("To Do", "new"))).await;
    let tickets = place.tickets("jiraCloud", json!({}));
    let error = ask(&tickets, "OLD-1", "ana").await.unwrap_err();
    assert!(matches!(error, TicketError::Unexpected { .. }), "{error:?}");
}

#[tokio::test]
async fn jira_data_center_knows_people_by_name_and_not_by_address() {
    let mut issue = jira("To Do", "new");
    issue["fields"]["assignee"] = json!({
        "name": "ana", "key": "JIRAUSER10100", "emailAddress": "eve@example.com",
    });
    let place = Place::new(Reply::json(&issue)).await;
    let by_name = place.tickets("jiraDataCenter", json!({ "login": "{person}" }));
    assert!(ask(&by_name, "OPS-12", "ana").await.unwrap().names_person);
    assert!(place.path().starts_with("/rest/api/2/issue/OPS-12?"));
    assert_eq!(place.header("authorization"), "Bearer hunter2");
    let by_address = place.tickets("jiraDataCenter", json!({}));
    assert!(
        !ask(&by_address, "OPS-12", "eve")
            .await
            .unwrap()
            .names_person
    );
}

fn servicenow(number: &str, state: (&str, &str)) -> Value {
    let field = |text: &str| json!({ "display_value": text, "value": text });
    json!({ "result": [{
        "number": field(number),
        "sys_id": field("9d385017c611228701d22104cc95c371"),
        "state": { "display_value": state.0, "value": state.1 },
        "short_description": field("The shop is slow"),
        "assigned_to": { "display_value": "Ana Ito", "value": "681ccaf9c0a8016400b98a06818d57c7" },
        "assigned_to.user_name": field("ana"),
        "assigned_to.email": field("ana@example.com"),
        "opened_by.user_name": field("ben"),
        "opened_by.email": field("ben@example.com"),
        "caller_id.user_name": field(""),
        "u_namespace": field("shop, cart"),
    }]})
}

#[tokio::test]
async fn servicenow_incidents_and_changes() {
    let place = Place::new(Reply::json(&servicenow("INC0010001", ("In Progress", "2")))).await;
    let over = json!({ "user": "gate", "namespaces": { "pointer": "/u_namespace" } });
    let tickets = place.tickets("serviceNow", over.clone());
    let ticket = ask(&tickets, "inc0010001", "ana").await.unwrap();
    assert!(ticket.open && ticket.names_person);
    assert_eq!(ticket.namespaces.unwrap().len(), 2);
    let path = place.path();
    assert!(
        path.starts_with("/api/now/table/incident?sysparm_query=number%3DINC0010001&"),
        "{path}"
    );
    assert!(path.ends_with(",u_namespace"), "{path}");
    assert!(
        !ask(&tickets, "INC0010001", "ben")
            .await
            .unwrap()
            .names_person
    );

    let mut wide = over;
    wide["require"] = json!("participant");
    let wide = place.tickets("serviceNow", wide);
    assert!(ask(&wide, "INC0010001", "ben").await.unwrap().names_person);

    for state in [("Resolved", "6"), ("Closed", "7"), ("Canceled", "8")] {
        place.answers(Reply::json(&servicenow("INC0010001", state)));
        assert!(!ask(&tickets, "INC0010001", "ana").await.unwrap().open);
    }
    for (state, open) in [
        (("Implement", "-1"), true),
        (("New", "-5"), false),
        (("Closed", "3"), false),
    ] {
        place.answers(Reply::json(&servicenow("CHG0030001", state)));
        assert_eq!(ask(&tickets, "CHG0030001", "ana").await.unwrap().open, open);
        assert!(place.path().starts_with("/api/now/table/change_request?"));
    }
}

#[tokio::test]
async fn servicenow_rows_that_were_not_asked_for() {
    let place = Place::new(Reply::json(&servicenow("INC0000002", ("New", "1")))).await;
    let tickets = place.tickets("serviceNow", json!({}));
    let other = ask(&tickets, "INC0010001", "ana").await.unwrap_err();
    assert!(matches!(other, TicketError::Unexpected { .. }), "{other:?}");
    let mut two = servicenow("INC0010001", ("New", "1"));
    let row = two["result"][0].clone();
    two["result"].as_array_mut().unwrap().push(row);
    place.answers(Reply::json(&two));
    let several = ask(&tickets, "INC0010001", "ana").await.unwrap_err();
    assert!(
        matches!(several, TicketError::Unexpected { .. }),
        "{several:?}"
    );
    place.answers(Reply::json(&json!({ "result": [] })));
    let none = ask(&tickets, "INC0010001", "ana").await.unwrap_err();
    assert!(matches!(none, TicketError::NotFound { .. }), "{none:?}");
}

fn github(state: &str) -> Value {
    json!({
        "url": "https://api.github.com/repos/Acme/Shop/issues/7",
        "repository_url": "https://api.github.com/repos/Acme/Shop",
        "html_url": "https://github.com/Acme/Shop/issues/7",
        "number": 7,
        "title": "Shop is <slow>\u{202e}\r\nreally",
        "state": state,
        "state_reason": null,
        "user": { "login": "ben", "id": 2 },
        "assignee": { "login": "eve" },
        "assignees": [{ "login": "Ana-H", "id": 1, "type": "User" }],
        "labels": [{ "name": "ns/shop" }, "ns/cart", { "name": "bug" }],
    })
}

#[tokio::test]
async fn github_issues() {
    let place = Place::new(Reply::json(&github("open"))).await;
    let over = json!({
        "accept": ["acme/*#*"],
        "project": "Acme/Shop",
        "logins": { "ana": "ana-h" },
        "namespaces": { "label": "ns/" },
    });
    let tickets = place.tickets("github", over);
    let ticket = ask(&tickets, "#7", "ana").await.unwrap();
    assert_eq!(ticket.id.key(), "acme/shop#7");
    assert_eq!(ticket.url, "https://github.com/Acme/Shop/issues/7");
    assert_eq!(ticket.title, "Shop is <slow>   really");
    assert!(ticket.open && ticket.names_person);
    assert_eq!(ticket.namespaces.unwrap().len(), 2);
    assert_eq!(place.path(), "/repos/acme/shop/issues/7");
    assert_eq!(place.header("authorization"), "Bearer hunter2");
    assert_eq!(place.header("accept"), "application/vnd.github+json");
    assert_eq!(place.header("x-github-api-version"), "2022-11-28");
    assert!(!ask(&tickets, "#7", "eve").await.unwrap().names_person);

    place.answers(Reply::json(&github("closed")));
    assert!(!ask(&tickets, "Acme/shop#7", "ana").await.unwrap().open);

    let mut pull = github("open");
    pull["pull_request"] = json!({ "url": "…" });
    let mut other = github("open");
    other["repository_url"] = json!("https://api.github.com/repos/evil/acme/shop");
    let mut number = github("open");
    number["number"] = json!(8);
    let mut stateless = github("open");
    stateless["state"] = json!(null);
    for (what, body) in [
        ("pull", pull),
        ("repository", other),
        ("number", number),
        ("state", stateless),
    ] {
        place.answers(Reply::json(&body));
        // "…/repos/evil/acme/shop" does not end with "/repos/acme/shop".
        let error = ask(&tickets, "#7", "ana").await.unwrap_err();
        assert!(
            matches!(error, TicketError::Unexpected { .. }),
            "{what}: {error:?}"
        );
    }
}

#[tokio::test]
async fn github_says_with_403_that_there_were_too_many_calls() {
    let refused = Reply::status(403, &json!({ "message": "API rate limit exceeded" }));
    let place = Place::new(refused.clone().with("x-ratelimit-remaining", "0")).await;
    let tickets = place.tickets("github", json!({ "accept": ["acme/shop#*"] }));
    let error = ask(&tickets, "acme/shop#7", "ana").await.unwrap_err();
    assert!(
        matches!(
            error,
            TicketError::RateLimited {
                retry_after: None,
                ..
            }
        ),
        "{error:?}"
    );
    place.answers(refused.clone().with("retry-after", "61"));
    let error = ask(&tickets, "acme/shop#7", "ana").await.unwrap_err();
    assert_eq!(error.retry_after().unwrap().as_secs(), 61);
    place.answers(refused.with("x-ratelimit-remaining", "12"));
    let error = ask(&tickets, "acme/shop#7", "ana").await.unwrap_err();
    assert!(matches!(error, TicketError::Forbidden { .. }), "{error:?}");
}

#[tokio::test]
async fn gitlab_issues() {
    let issue = |state: &str| {
        json!({
            "id": 84, "iid": 7, "project_id": 5,
            "title": "Shop is slow",
            "state": state,
            "author": { "username": "ben" },
            "assignee": { "username": "eve" },
            "assignees": [{ "id": 1, "username": "ana", "state": "active" }],
            "labels": ["cluster::prod"],
            "web_url": "https://gitlab.example.com/acme/web/shop/-/issues/7",
            "references": { "short": "#7", "relative": "#7", "full": "acme/web/shop#7" },
        })
    };
    let place = Place::new(Reply::json(&issue("opened"))).await;
    let over = json!({
        "accept": ["acme/**"], "login": "{person}", "cluster": { "label": "cluster::" },
    });
    let tickets = place.tickets("gitlab", over);
    let ticket = ask(&tickets, "acme/web/shop#7", "ana").await.unwrap();
    assert!(ticket.open && ticket.names_person);
    assert_eq!(ticket.cluster.unwrap().as_str(), "prod");
    assert_eq!(place.path(), "/api/v4/projects/acme%2Fweb%2Fshop/issues/7");
    assert_eq!(place.header("private-token"), "hunter2");
    assert!(
        !ask(&tickets, "acme/web/shop#7", "eve")
            .await
            .unwrap()
            .names_person
    );
    place.answers(Reply::json(&issue("closed")));
    assert!(!ask(&tickets, "acme/web/shop#7", "ana").await.unwrap().open);
    let other = ask(&tickets, "acme/web/cart#7", "ana").await.unwrap_err();
    assert!(matches!(other, TicketError::Unexpected { .. }), "{other:?}");
}

#[tokio::test]
async fn pagerduty_incidents() {
    let incident = |state: &str| {
        json!({ "incident": {
            "id": "PT4KHLK", "type": "incident",
            "summary": "[#1234] The server is on fire.",
            "title": "The server is on fire.",
            "html_url": "https://subdomain.pagerduty.com/incidents/PT4KHLK",
            "incident_number": 1234,
            "status": state,
            "service": { "id": "PIJ90N7", "summary": "shop" },
            "assignments": [{ "at": "2015-11-10T00:31:52Z", "assignee": {
                "id": "PXPGF42", "type": "user", "summary": "Ana", "email": "Ana@example.com" } }],
            "acknowledgements": [{ "at": "2015-11-10T00:32:52Z", "acknowledger": {
                "id": "PXPGF43", "type": "user_reference", "summary": "Ben" } }],
        }})
    };
    let place = Place::new(Reply::json(&incident("acknowledged"))).await;
    let over = json!({
        "namespaces": { "pointer": "/service/summary" },
        "logins": { "ben": "PXPGF43" },
        "require": "participant",
    });
    let tickets = place.tickets("pagerDuty", over);
    let ticket = ask(&tickets, "PT4KHLK", "ana").await.unwrap();
    assert!(ticket.open && ticket.names_person);
    assert_eq!(ticket.namespaces.unwrap()[0].as_str(), "shop");
    assert_eq!(place.header("authorization"), "Token token=hunter2");
    assert_eq!(
        place.header("accept"),
        "application/vnd.pagerduty+json;version=2"
    );
    assert!(place.path().starts_with("/incidents/PT4KHLK?"));
    assert!(ask(&tickets, "PT4KHLK", "ben").await.unwrap().names_person);
    assert!(!ask(&tickets, "PT4KHLK", "eve").await.unwrap().names_person);
    place.answers(Reply::json(&incident("resolved")));
    assert!(!ask(&tickets, "PT4KHLK", "ana").await.unwrap().open);
    let other = ask(&tickets, "PT4KHLX", "ana").await.unwrap_err();
    assert!(matches!(other, TicketError::Unexpected { .. }), "{other:?}");
}

#[tokio::test]
async fn anything_that_answers_with_json() {
    let body = json!({
        "data": { "nr": 1234, "state": "active", "subject": "Slow", "owner": "ana",
                  "watchers": ["ben", 5, null], "tags": ["ns:shop"] },
    });
    let place = Place::new(Reply::json(&body)).await;
    let over = json!({
        "login": "{person}",
        "openStates": ["active"],
        "namespaces": { "label": "ns:" },
        "fields": {
            "path": "/tickets/{id}?full=1", "id": "/data/nr", "state": "/data/state",
            "title": "/data/subject", "assignees": ["/data/owner"],
            "participants": ["/data/watchers"], "labels": "/data/tags",
        },
    });
    let tickets = place.tickets("generic", over);
    let ticket = ask(&tickets, "1234", "ana").await.unwrap();
    assert!(ticket.open && ticket.names_person);
    assert_eq!(place.path(), "/tickets/1234?full=1");
    assert_eq!(ticket.namespaces.unwrap()[0].as_str(), "shop");
    assert!(!ask(&tickets, "1234", "ben").await.unwrap().names_person);
    assert!(
        !ask(&tickets, "1234", "Ana").await.unwrap().names_person,
        "exact"
    );
    let other = ask(&tickets, "1235", "ana").await.unwrap_err();
    assert!(matches!(other, TicketError::Unexpected { .. }), "{other:?}");
}
