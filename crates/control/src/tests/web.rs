//! The pages, as a browser sees them and as somebody who is no browser does.

use kubestile_core::approval::{AccessRequest, HeldRequest, Requester, Sort, State, Subject};
use kubestile_core::{AccessId, PolicyId, RequestId, RiskClass};

use super::*;

const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
const SITE: &str = "https://gate.example:8443";

/// What a browser gets.
struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Page {
    /// The token of the forms on it.
    fn token(&self) -> String {
        let (_, rest) = self.text.split_once("name=\"form\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// The cookie that it sets, as the browser sends it back.
    fn cookie(&self) -> String {
        let set = self.headers["set-cookie"].to_str().unwrap();
        set.split_once(';').unwrap().0.to_owned()
    }

    fn location(&self) -> &str {
        self.headers["location"].to_str().unwrap()
    }
}

impl Builder {
    fn with(mut self, name: &'static str, value: &str) -> Self {
        let headers = self.request.headers_mut();
        headers.append(name, value.parse().unwrap());
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }
}

/// A form as a page of the gate sends it.
fn form(path: &str, body: &str) -> Builder {
    let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
    build(request, Body::from(body.to_owned()))
        .with("origin", SITE)
        .with("sec-fetch-site", "same-origin")
}

fn digest() -> String {
    "5f".repeat(32)
}

fn approval(token: &str, scope: &str) -> String {
    format!("form={token}&digest={}&scope={scope}", digest())
}

fn denial(token: &str, reason: &str) -> String {
    format!("form={token}&digest={}&reason={reason}", digest())
}

impl Gate {
    /// What a browser gets. Whatever it is, it carries the headers of a page.
    async fn page(&self, request: Builder) -> Page {
        let response = self.public.clone().oneshot(request.request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let headers = parts.headers;
        let policies: Vec<_> = headers.get_all("content-security-policy").iter().collect();
        assert_eq!(policies.len(), 1);
        let script = format!("script-src {SITE}/static/enter.js; ");
        assert_eq!(policies[0].to_str().unwrap().replace(&script, ""), POLICY);
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        Page {
            status: parts.status,
            headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    async fn ticket(&self, client: &Client, access: Option<AccessId>) -> String {
        let body = match access {
            Some(access) => json!({ "access": access }),
            None => json!({}),
        };
        let answer = self.public(post("/v1/browser", &body).by(client)).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
        let url = answer.body["url"].as_str().unwrap();
        let (page, ticket) = url.split_once('#').unwrap();
        assert_eq!(page, "https://gate.example:8443/enter");
        ticket.to_owned()
    }

    /// The cookie of a browser that was signed in.
    async fn browser(&self, client: &Client) -> String {
        let ticket = self.ticket(client, None).await;
        let entered = self.page(form("/enter", &format!("ticket={ticket}"))).await;
        assert_eq!(entered.status, StatusCode::SEE_OTHER, "{}", entered.text);
        entered.cookie()
    }

    async fn as_seen(&self, cookie: &str, path: &str) -> Page {
        self.page(get(path).with("cookie", cookie)).await
    }

    /// A request of this person's that waits.
    async fn held(&self, name: &str, client: &Client, number: u64) -> AccessId {
        let session = self.store.session(client.session).unwrap();
        let session = session.session();
        let id = AccessId::from_random(number);
        let held = HeldRequest {
            request: RequestId::from_uuid(Uuid::new_v4()),
            digest: digest(),
            kubectl: "kubectl delete deployment web -n shop".to_owned(),
            sort: Sort {
                cluster: "prod".parse().unwrap(),
                namespace: "shop".to_owned(),
                action: "delete".to_owned(),
                group: "apps".to_owned(),
                resource: "deployments".to_owned(),
                impersonates: String::new(),
            },
            name: "web".to_owned(),
            invocation: Some("6f1c".to_owned()),
            client: None,
            uid: None,
            function: None,
            impact: None,
            waits: true,
        };
        let request = AccessRequest {
            id,
            requester: Requester {
                id: session.identity.id,
                name: name.to_owned(),
                session: session.id,
                key_digest: session.key_digest.clone(),
                behind: None,
                source: "192.0.2.7:50123".to_owned(),
            },
            subject: Subject::Request(Box::new(held)),
            risk: RiskClass::R3,
            ticket: None,
            reason: Some("<b>now</b>".to_owned()),
            policies: vec![PolicyId::new("delete-needs-approval")],
            quorum: 1,
            approvers: vec!["approver".to_owned()],
            created: self.now(),
            expires: self.now().plus(secs(3600)),
            approvals: Vec::new(),
            state: State::Waiting,
        };
        self.store.open_request(request).await.unwrap();
        id
    }

    fn state_of(&self, id: AccessId) -> &'static str {
        let request = self.store.request(id).unwrap().current();
        request.state_at(self.now()).name()
    }
}

/// A gate, whoever asks, whoever answers, and what waits.
async fn scene() -> (Gate, Client, Client, AccessId) {
    let gate = Gate::new().await;
    let bo = gate.client("bo", &["operator:shop@prod"]).await;
    let ana = gate.client("ana", &["approver"]).await;
    let id = gate.held("bo", &bo, 77).await;
    (gate, bo, ana, id)
}

#[tokio::test]
async fn an_approver_signs_in_looks_and_approves() {
    let (gate, _bo, ana, id) = scene().await;
    let ticket = gate.ticket(&ana, Some(id)).await;
    let entered = gate.page(form("/enter", &format!("ticket={ticket}"))).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER);
    assert_eq!(entered.location(), format!("/r/{id}"));
    let set = entered.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-kubestile=ksb_"), "{set}");
    assert!(
        set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"),
        "{set}"
    );
    let cookie = entered.cookie();
    let list = gate.as_seen(&cookie, "/approvals").await;
    assert!(list.text.contains(&format!("href=\"/r/{id}\"")));
    assert!(list.text.contains("Signed in as <strong>ana</strong>"));
    let page = gate.as_seen(&cookie, &format!("/r/{id}")).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("&lt;b&gt;now&lt;/b&gt;") && !page.text.contains("<b>"));
    assert!(!page.text.contains("<script") && !page.text.contains("style="));
    let approve = form(
        &format!("/r/{id}/approve"),
        &approval(&page.token(), "request"),
    );
    let approved = gate.page(approve.with("cookie", &cookie)).await;
    assert_eq!(approved.status, StatusCode::SEE_OTHER, "{}", approved.text);
    assert_eq!(approved.location(), format!("/r/{id}"));
    assert_eq!(gate.state_of(id), "approved");
    let after = gate.as_seen(&cookie, &format!("/r/{id}")).await;
    assert!(after.text.contains("approved</span>") && !after.text.contains("/approve\""));
    let log = gate.log();
    assert!(
        log.contains("\"change\":\"browser-started\"") && log.contains("\"change\":\"approved\"")
    );
    let secret = cookie.split_once('=').unwrap().1;
    assert!(!log.contains(&ticket) && !log.contains(secret) && !log.contains(&page.token()));
}

#[tokio::test]
async fn a_denial_needs_a_reason() {
    let (gate, _bo, ana, id) = scene().await;
    let cookie = gate.browser(&ana).await;
    let token = gate.as_seen(&cookie, "/approvals").await.token();
    let path = format!("/r/{id}/deny");
    for empty in ["", "+++", "%0d%0a%1b"] {
        let deny = form(&path, &denial(&token, empty)).with("cookie", &cookie);
        assert_eq!(gate.page(deny).await.status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(gate.state_of(id), "waiting");
    let deny = form(&path, &denial(&token, "not+%3Ctoday%3E")).with("cookie", &cookie);
    assert_eq!(gate.page(deny).await.status, StatusCode::SEE_OTHER);
    assert_eq!(gate.state_of(id), "denied");
    let page = gate.as_seen(&cookie, &format!("/r/{id}")).await;
    assert!(
        page.text.contains("ana: not &lt;today&gt;"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn the_rest_of_a_command_is_approved_for_minutes() {
    let (gate, _bo, ana, id) = scene().await;
    let cookie = gate.browser(&ana).await;
    let token = gate.as_seen(&cookie, "/approvals").await.token();
    let approve = form(&format!("/r/{id}/approve"), &approval(&token, "command"));
    let approved = gate.page(approve.with("cookie", &cookie)).await;
    assert_eq!(approved.status, StatusCode::SEE_OTHER, "{}", approved.text);
    let request = gate.store.request(id).unwrap().current();
    assert_eq!(
        request.choice().unwrap().to_string(),
        "the rest of this command for 5m0s"
    );
}

#[tokio::test]
async fn a_ticket_is_used_once_and_within_its_minute() {
    let (gate, _bo, ana, _id) = scene().await;
    let ticket = gate.ticket(&ana, None).await;
    let body = format!("ticket={ticket}");
    assert_eq!(
        gate.page(form("/enter", &body)).await.status,
        StatusCode::SEE_OTHER
    );
    let again = gate.page(form("/enter", &body)).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    assert!(!again.headers.contains_key("set-cookie") && !again.text.contains(&ticket));
    let late = gate.ticket(&ana, None).await;
    gate.pass(60);
    let late = gate.page(form("/enter", &format!("ticket={late}"))).await;
    assert_eq!(late.status, StatusCode::FORBIDDEN);
    // An older ticket of the same session, and one whose session has ended.
    let older = gate.ticket(&ana, None).await;
    let newer = gate.ticket(&ana, None).await;
    let older = gate.page(form("/enter", &format!("ticket={older}"))).await;
    assert_eq!(older.status, StatusCode::FORBIDDEN);
    gate.public(post("/v1/logout", &json!({})).by(&ana)).await;
    let ended = gate.page(form("/enter", &format!("ticket={newer}"))).await;
    assert_eq!(ended.status, StatusCode::UNAUTHORIZED);
    assert!(!ended.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn tickets_are_not_tried_without_end() {
    let (gate, _bo, ana, _id) = scene().await;
    let guess = format!("ticket=kse_{}", "A".repeat(43));
    for _ in 0..10 {
        assert_eq!(
            gate.page(form("/enter", &guess)).await.status,
            StatusCode::FORBIDDEN
        );
    }
    let stopped = gate.page(form("/enter", &guess)).await;
    assert_eq!(stopped.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(stopped.headers.contains_key("retry-after"));
    for _ in 0..10 {
        gate.ticket(&ana, None).await;
    }
    let asked = gate.public(post("/v1/browser", &json!({})).by(&ana)).await;
    assert_eq!(asked.status, StatusCode::TOO_MANY_REQUESTS);
}

/// Nobody is signed in by a page of somebody else's, as whoever that is.
#[tokio::test]
async fn a_ticket_is_taken_from_our_own_page_only() {
    let (gate, _bo, ana, _id) = scene().await;
    let ticket = gate.ticket(&ana, None).await;
    let body = format!("ticket={ticket}");
    let by_link = gate.page(get(&format!("/enter?ticket={ticket}"))).await;
    assert!(!by_link.headers.contains_key("set-cookie") && !by_link.text.contains(&ticket));
    let forged = form("/enter", &body).without("origin");
    let forged = gate
        .page(forged.with("origin", "https://evil.example"))
        .await;
    assert_eq!(forged.status, StatusCode::FORBIDDEN);
    let entered = gate.page(form("/enter", &body)).await;
    assert_eq!(entered.status, StatusCode::SEE_OTHER, "it was not used up");
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_own_browser() {
    let (gate, _bo, ana, id) = scene().await;
    let cookie = gate.browser(&ana).await;
    let other = gate.browser(&ana).await;
    let theirs = gate.as_seen(&other, "/approvals").await.token();
    let own = gate.as_seen(&cookie, "/approvals").await.token();
    let path = format!("/r/{id}/approve");
    let with = |body: String| form(&path, &body).with("cookie", &cookie);
    for token in ["", "x", &theirs, &format!("{own}A"), &own.to_lowercase()] {
        let page = gate.page(with(approval(token, "request"))).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{token}");
    }
    for body in [
        format!("digest={}&scope=request", digest()),
        format!("form={own}&scope=request"),
        approval(&own, "everything"),
        approval(&own, "request&more=1"),
        approval(&own, "request&form=x"),
        String::new(),
    ] {
        let page = gate.page(with(body.clone())).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(gate.state_of(id), "waiting");
    assert!(gate.log().contains("this form is of another browser"));
}

#[tokio::test]
async fn a_form_of_another_site_does_nothing() {
    let (gate, _bo, ana, id) = scene().await;
    let cookie = gate.browser(&ana).await;
    let token = gate.as_seen(&cookie, "/approvals").await.token();
    let path = format!("/r/{id}/approve");
    let plain = || form(&path, &approval(&token, "request")).with("cookie", &cookie);
    for (origin, site) in [
        (None, Some("same-origin")),
        (Some("null"), Some("same-origin")),
        (Some("https://evil.example"), Some("same-origin")),
        (Some("https://gate.example"), Some("same-origin")),
        (Some("http://gate.example:8443"), Some("same-origin")),
        (Some(SITE), None),
        (Some(SITE), Some("cross-site")),
        (Some(SITE), Some("same-site")),
        (Some(SITE), Some("none")),
    ] {
        let mut request = plain().without("origin").without("sec-fetch-site");
        if let Some(origin) = origin {
            request = request.with("origin", origin);
        }
        if let Some(site) = site {
            request = request.with("sec-fetch-site", site);
        }
        let page = gate.page(request).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{origin:?} {site:?}");
    }
    let leave = form("/leave", &format!("form={token}")).with("cookie", &cookie);
    let leave = leave
        .without("origin")
        .with("origin", "https://evil.example");
    assert_eq!(gate.page(leave).await.status, StatusCode::FORBIDDEN);
    assert_eq!(gate.state_of(id), "waiting");
    assert_eq!(gate.page(plain()).await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn what_was_shown_is_what_is_answered() {
    let (gate, _bo, ana, id) = scene().await;
    let cookie = gate.browser(&ana).await;
    let token = gate.as_seen(&cookie, "/approvals").await.token();
    for digest in ["", "5f", &"5e".repeat(32)] {
        let body = format!("form={token}&digest={digest}&scope=request");
        let approve = form(&format!("/r/{id}/approve"), &body).with("cookie", &cookie);
        assert_eq!(gate.page(approve).await.status, StatusCode::CONFLICT);
        let body = format!("form={token}&digest={digest}&reason=x");
        let deny = form(&format!("/r/{id}/deny"), &body).with("cookie", &cookie);
        assert_eq!(gate.page(deny).await.status, StatusCode::CONFLICT);
    }
    assert_eq!(gate.state_of(id), "waiting");
}

#[tokio::test]
async fn a_cookie_ends_with_the_button_the_session_the_person_and_by_itself() {
    let (gate, _bo, ana, id) = scene().await;
    let path = format!("/r/{id}");
    let left = gate.browser(&ana).await;
    let token = gate.as_seen(&left, &path).await.token();
    let leave = form("/leave", &format!("form={token}")).with("cookie", &left);
    let gone = gate.page(leave).await;
    assert_eq!(gone.status, StatusCode::SEE_OTHER);
    let cleared = gone.headers["set-cookie"].to_str().unwrap();
    assert!(cleared.starts_with("__Host-kubestile=;") && cleared.ends_with("Max-Age=0"));
    assert_eq!(
        gate.as_seen(&left, &path).await.status,
        StatusCode::UNAUTHORIZED
    );
    let approve = form(&format!("/r/{id}/approve"), &approval(&token, "request"));
    let late = gate.page(approve.with("cookie", &left)).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED);
    assert!(late.text.contains("Nothing was changed") && !late.text.contains("http-equiv"));
    // Nobody does anything; the page that loads itself again does not count.
    let idle = gate.browser(&ana).await;
    gate.pass(14 * 60);
    assert_eq!(
        gate.as_seen(&idle, "/approvals?again").await.status,
        StatusCode::OK
    );
    gate.pass(60);
    assert_eq!(
        gate.as_seen(&idle, "/approvals").await.status,
        StatusCode::UNAUTHORIZED
    );
    // The session ends.
    let ended = gate.browser(&ana).await;
    gate.public(post("/v1/logout", &json!({})).by(&ana)).await;
    assert_eq!(
        gate.as_seen(&ended, &path).await.status,
        StatusCode::UNAUTHORIZED
    );
    // The person is removed.
    let sam = gate.client("sam", &["approver"]).await;
    let removed = gate.browser(&sam).await;
    gate.admin(delete("/v1/people/sam")).await;
    assert_eq!(
        gate.as_seen(&removed, &path).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(gate.state_of(id), "waiting");
    assert!(gate.log().contains("\"change\":\"browser-ended\""));
}

/// Signed in or not, a stranger cannot tell a request that is there from one that is not.
#[tokio::test]
async fn ids_cannot_be_guessed() {
    let (gate, bo, _ana, id) = scene().await;
    let missing = AccessId::from_random(78);
    let mut seen = Vec::new();
    for path in [
        format!("/r/{id}"),
        format!("/r/{missing}"),
        "/r/x".to_owned(),
        "/r/%ff".to_owned(),
    ] {
        let page = gate.page(get(&path)).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED);
        seen.push(page.text);
    }
    assert!(seen[0].contains("kubestile approvals --open"));
    assert!(seen.iter().all(|text| *text == seen[0]));
    let eve = gate.client("eve", &[]).await;
    let cookie = gate.browser(&eve).await;
    let token = gate.as_seen(&cookie, "/approvals").await.token();
    let there = gate.as_seen(&cookie, &format!("/r/{id}")).await;
    let not_there = gate.as_seen(&cookie, &format!("/r/{missing}")).await;
    assert_eq!(there.status, StatusCode::NOT_FOUND);
    assert_eq!(there.text, not_there.text);
    let answer = |id: AccessId, what: &str, body: &str| {
        form(&format!("/r/{id}/{what}"), body).with("cookie", &cookie)
    };
    for (what, body) in [
        ("approve", approval(&token, "request")),
        ("deny", denial(&token, "x")),
    ] {
        let there = gate.page(answer(id, what, &body)).await;
        let not_there = gate.page(answer(missing, what, &body)).await;
        assert_eq!(there.status, StatusCode::NOT_FOUND);
        assert_eq!(there.text, not_there.text);
    }
    // Whoever asked sees it, without buttons, and cannot answer.
    let own = gate.browser(&bo).await;
    let page = gate.as_seen(&own, &format!("/r/{id}")).await;
    assert!(page.text.contains("You asked for this yourself") && !page.text.contains("/approve\""));
    let body = approval(&page.token(), "request");
    let approve = form(&format!("/r/{id}/approve"), &body).with("cookie", &own);
    assert_eq!(gate.page(approve).await.status, StatusCode::FORBIDDEN);
    assert_eq!(gate.state_of(id), "waiting");
}

#[tokio::test]
async fn only_the_cookie_signs_a_page_in_and_it_signs_in_nothing_else() {
    let (gate, _bo, ana, id) = scene().await;
    let cookie = gate.browser(&ana).await;
    let path = format!("/r/{id}");
    let by_certificate = gate.page(get(&path).by(&ana)).await;
    assert_eq!(by_certificate.status, StatusCode::UNAUTHORIZED);
    let value = cookie.split_once('=').unwrap().1;
    for wrong in [
        format!("kubestile={value}"),
        format!("__host-kubestile={value}"),
        format!("{cookie}; {cookie}"),
        format!("__Host-kubestile=x; {cookie}"),
        format!("__Host-kubestile=\"{value}\""),
        "__Host-kubestile=".to_owned(),
    ] {
        let page = gate.as_seen(&wrong, &path).await;
        assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    let beside = gate.as_seen(&format!("a=b; {cookie}; c=d"), &path).await;
    assert_eq!(beside.status, StatusCode::OK);
    for request in [
        get("/v1/whoami"),
        get("/v1/access"),
        post("/v1/browser", &json!({})),
    ] {
        let answer = gate.public(request.with("cookie", &cookie)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let bearer = gate.public(get("/v1/whoami").bearer(value)).await;
    assert_eq!(bearer.status, StatusCode::UNAUTHORIZED);
}

/// What proves a session for a while gives no browser for longer.
#[tokio::test]
async fn a_browser_lives_no_longer_than_the_token_that_opened_it() {
    let (gate, _bo, ana, id) = scene().await;
    let token = gate.public(post("/v1/token", &json!({})).by(&ana)).await;
    let token = token.body["token"].as_str().unwrap().to_owned();
    gate.pass(3590);
    let answer = gate
        .public(post("/v1/browser", &json!({})).bearer(&token))
        .await;
    let url = answer.body["url"].as_str().unwrap();
    let ticket = url.split_once('#').unwrap().1;
    let cookie = gate
        .page(form("/enter", &format!("ticket={ticket}")))
        .await
        .cookie();
    let path = format!("/r/{id}");
    assert_eq!(gate.as_seen(&cookie, &path).await.status, StatusCode::OK);
    gate.pass(10);
    assert_eq!(
        gate.as_seen(&cookie, &path).await.status,
        StatusCode::UNAUTHORIZED
    );
}

/// A strict cookie stays behind when somebody follows a link in a chat: the page comes back by itself.
#[tokio::test]
async fn a_link_from_elsewhere_leads_to_the_page() {
    let (gate, _bo, _ana, id) = scene().await;
    let link = get(&format!("/r/{id}")).with("sec-fetch-site", "cross-site");
    let first = gate.page(link).await;
    assert!(first.text.contains("content=\"0\"") && !first.text.contains("not signed in"));
    let own = get(&format!("/r/{id}")).with("sec-fetch-site", "same-origin");
    let second = gate.page(own).await;
    assert!(
        second.text.contains("not signed in"),
        "and not round and round"
    );
}

#[tokio::test]
async fn a_sign_in_that_cannot_be_recorded_is_none() {
    let (gate, _bo, ana, _id) = scene().await;
    let ticket = gate.ticket(&ana, None).await;
    let cookie = gate.browser(&ana).await;
    let token = gate.as_seen(&cookie, "/approvals").await.token();
    gate.break_log().await;
    let entered = gate.page(form("/enter", &format!("ticket={ticket}"))).await;
    assert!(!entered.headers.contains_key("set-cookie"));
    let left = form("/leave", &format!("form={token}")).with("cookie", &cookie);
    let left = gate.page(left).await;
    assert_eq!(left.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        gate.as_seen(&cookie, "/approvals").await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_files_are_what_they_say() {
    let gate = Gate::new().await;
    let css = gate.page(get("/static/console.css")).await;
    assert_eq!(css.headers["content-type"], "text/css; charset=utf-8");
    assert!(!css.text.contains("url(") && !css.text.contains("@import"));
    let js = gate.page(get("/static/enter.js")).await;
    assert_eq!(js.headers["content-type"], "text/javascript; charset=utf-8");
    let enter = gate.page(get("/enter")).await;
    let policy = enter.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src https://gate.example:8443/static/enter.js;"));
    assert_eq!(enter.text.matches("<script").count(), 1);
    assert!(
        enter
            .text
            .contains("<script src=\"/static/enter.js\" defer></script>")
    );
}

/// Half of the ten that were answered waited no longer than 50 s, and nine of ten no longer than 90 s; who is not
/// answered does not count.
#[tokio::test]
async fn how_long_people_waited_is_counted_from_the_question_to_the_answer() {
    let gate = Gate::new().await;
    let ana = gate.client("ana", &["operator:shop@prod"]).await;
    let bo = gate.client("bo", &["approver"]).await;
    for number in [3, 10, 1, 8, 5, 2, 9, 4, 7, 6] {
        let id = gate.held("ana", &ana, number).await;
        gate.pass(10 * i64::try_from(number).unwrap());
        let (verb, body) = match number {
            4 => ("deny", json!({"reason": "no"})),
            _ => ("approve", json!({"digest": digest()})),
        };
        let answer = post(&format!("/v1/access/{id}/{verb}"), &body).by(&bo);
        let answer = gate.public(answer).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    }
    let withdrawn = gate.held("ana", &ana, 20).await;
    gate.pass(7);
    let path = format!("/v1/access/{withdrawn}/withdraw");
    let answer = gate.public(post(&path, &json!({})).by(&ana)).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    gate.held("ana", &ana, 21).await;
    let stats = gate.public(get("/v1/access/stats").by(&bo)).await.body;
    let wanted = json!({"asked": 12, "approved": 9, "denied": 1, "expired": 0, "withdrawn": 1, "waiting": 1,
        "waitP50Seconds": 50, "waitP90Seconds": 90});
    assert_eq!(stats, wanted);
}
