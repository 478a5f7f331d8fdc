//! Every answer that the gate gives in the upstream's place, made here and nowhere else: a
//! `metav1.Status` that kubectl prints as `Error from server (Reason): message`, saying who decided,
//! why, and what to do next.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use kubestile_core::AccessId;
use kubestile_core::approval::{AccessRequest, State};
use kubestile_core::decision::{Denial, Hold, Obligation, PolicyRef};
use kubestile_core::ids::RequestId;
use kubestile_core::request_info::ParseError;
use serde::Serialize;

use crate::body::Body;
use crate::stream::over::Over;

/// A refusal: status, reason and a message for the person at the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    reason: &'static str,
    message: String,
    request: Option<RequestId>,
    policies: Vec<PolicyRef>,
    retry_after_secs: Option<u32>,
    close: bool,
}

impl Refusal {
    fn new(status: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            message: clean(&message.into()),
            request: None,
            policies: Vec::new(),
            retry_after_secs: None,
            close: false,
        }
    }

    /// 400: a request that two programs could read differently, or cannot be read at all.
    pub fn unreadable(error: &ParseError) -> Self {
        Self::bad_request(&error.to_string())
    }

    /// 400 with a reason in words; the connection is closed, since what follows on it is suspect.
    pub fn bad_request(why: &str) -> Self {
        let message = format!("kubestile does not pass on this request: {why}");
        Self {
            close: true,
            ..Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
        }
    }

    /// 401. kubectl prints it as `error: You must be logged in to the server (message)`.
    pub fn unauthenticated(why: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Unauthorized",
            format!("kubestile: {why}"),
        )
    }

    /// 403: policies forbid it, or none permits it.
    pub fn denied(what: &str, denial: &Denial) -> Self {
        let why = if denial.policies.is_empty() {
            "no policy permits it".to_owned()
        } else {
            sentence(&denial.policies)
        };
        let mut message = format!("kubestile denied \"{what}\": {why}");
        if let Some(remedy) = &denial.remedy {
            message.push_str(&format!(". Next: {remedy}"));
        }
        Self {
            policies: denial.policies.clone(),
            ..Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
        }
    }

    /// 403: what it stood on ended before it began.
    pub fn access_ended(why: &str) -> Self {
        let message = format!(
            "kubestile: {why}. Next: `kubestile access` shows what you have and what you may ask for"
        );
        Self::new(StatusCode::FORBIDDEN, "AccessEnded", message)
    }

    /// 403: it could go on once its obligations are met.
    pub fn held(what: &str, hold: &Hold) -> Self {
        let needs: Vec<&str> = hold.obligations.iter().map(|o| needed(*o)).collect();
        let reason = match hold.obligations.first() {
            Some(Obligation::Approval) | None => "ApprovalRequired",
            Some(Obligation::Mfa) => "StrongerLoginRequired",
            Some(Obligation::Ticket) => "TicketRequired",
            Some(Obligation::Reason) => "ReasonRequired",
            Some(Obligation::Grant) => "GrantRequired",
        };
        let message = format!(
            "{} required: kubestile holds \"{what}\": {}. Next: {}",
            needs.join(" and "),
            sentence(&hold.policies),
            next(&hold.obligations),
        );
        Self {
            policies: hold.policies.clone(),
            ..Self::new(StatusCode::FORBIDDEN, reason, message)
        }
    }

    /// 403, or 429 with `Retry-After`: it is held, and its client does not wait.
    pub fn waits(what: &str, request: &AccessRequest, link: &str, retry_secs: Option<u32>) -> Self {
        let ids: Vec<&str> = request.policies.iter().map(|p| p.as_str()).collect();
        let message = format!(
            "approval required: kubestile holds \"{what}\" (policy {}) as request {}, which {} may \
             approve: {link}. Next: once it is approved, run the same command again",
            ids.join(", "),
            request.id,
            who(&request.approvers),
        );
        match retry_secs {
            Some(secs) => Self {
                retry_after_secs: Some(secs),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
            },
            None => Self::new(StatusCode::FORBIDDEN, "ApprovalRequired", message),
        }
    }

    /// 403: somebody denied it, nobody answered in time, or it was taken back.
    pub fn not_approved(what: &str, request: &AccessRequest, state: &State) -> Self {
        let id = request.id;
        let message = match state {
            State::Denied { by, reason, .. } => {
                format!("{by} denied \"{what}\" (approval {id}): {reason}")
            }
            State::Withdrawn { why, .. } => {
                format!("\"{what}\" (approval {id}) was taken back: {why}. Next: run it again")
            }
            _ => format!(
                "nobody approved \"{what}\" in time (approval {id}). Next: ask {} and run it again",
                who(&request.approvers)
            ),
        };
        Self::new(
            StatusCode::FORBIDDEN,
            "ApprovalDenied",
            format!("kubestile: {message}"),
        )
    }

    /// 409: what was approved is not there any more.
    pub fn object_replaced(what: &str, access: AccessId) -> Self {
        let message = format!(
            "kubestile: the object of \"{what}\" is not the one that was approved (approval {access}): it \
             was deleted or replaced meanwhile, and nothing was done. Next: look at it and run it again"
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    /// 429: too many requests wait for an approval.
    pub fn too_many_held(whose: &str) -> Self {
        let message = format!(
            "kubestile: too many requests {whose} wait for an approval. Next: wait until some have been \
             answered, or give them up with Ctrl-C"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    /// 503: it needs an approval and cannot wait for one.
    pub fn cannot_hold(why: &str) -> Self {
        let message = format!(
            "kubestile: the request needs an approval and cannot wait for it: {why}. Nothing was done"
        );
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            message,
        )
    }

    /// 404: a path that is not of a cluster, or a cluster that is not known.
    pub fn unknown_cluster(name: &str) -> Self {
        let message = format!(
            "kubestile knows no cluster \"{name}\". Next: `kubestile whoami` lists yours; \
             `kubestile login` writes their contexts"
        );
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 413: a body over the limit.
    pub fn too_large(limit: u64) -> Self {
        let message = format!("the body is larger than {limit} bytes, the limit of this gate");
        let refusal = Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLarge",
            message,
        );
        Self {
            close: true,
            ..refusal
        }
    }

    /// 429: over a limit of this gate. `upgrade` requests get no `Retry-After`: nobody repeats them.
    pub fn too_many(whose: &str, upgrade: bool) -> Self {
        let message =
            format!("kubestile: too many requests at once {whose}; try again in a moment");
        Self {
            retry_after_secs: (!upgrade).then_some(1),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
        }
    }

    /// 502: the API server could not be reached, or answered what must not be passed on.
    pub fn bad_upstream(cluster: &str, why: &str) -> Self {
        let message = format!("kubestile got no usable answer from cluster \"{cluster}\": {why}");
        Self::new(StatusCode::BAD_GATEWAY, "BadGateway", message)
    }

    /// 503: the gate itself cannot do its work safely (no log, no context, cluster not trusted).
    pub fn unavailable(why: &str) -> Self {
        let message = format!("kubestile: {why}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            message,
        )
    }

    /// The same with the id of the request, by which it is found in the log.
    #[must_use]
    pub fn of_request(mut self, request: RequestId) -> Self {
        self.request = Some(request);
        self
    }

    /// The same, after which the connection is closed.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The message without the request id.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The answer to send.
    pub fn into_response(self) -> Response<Body> {
        let body = Bytes::from(self.to_json());
        let mut response = Response::new(Body::full(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, private"),
        );
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if let Some(id) = self.request
            && let Ok(value) = HeaderValue::from_str(&id.to_string())
        {
            headers.insert("audit-id", value);
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn to_json(&self) -> Vec<u8> {
        let message = match self.request {
            Some(id) => format!("{} (request {id})", self.message),
            None => self.message.clone(),
        };
        let causes = self
            .policies
            .iter()
            .map(|p| Cause {
                reason: clean(p.id.as_str()),
                message: clean(&p.reason),
                field: "policy",
            })
            .collect();
        status_json(
            self.status.as_u16(),
            self.reason,
            &message,
            causes,
            self.retry_after_secs,
        )
    }
}

/// The `Status` that ends an open stream, for exec's error channel and for a watch's ERROR event.
pub fn end_of_stream(over: &Over, request: RequestId) -> Vec<u8> {
    let message = end_message(over, request);
    status_json(END_CODE.as_u16(), over.reason(), &message, Vec::new(), None)
}

/// The code of a `Status` that ends a stream.
pub(crate) const END_CODE: StatusCode = StatusCode::FORBIDDEN;

/// The message of a `Status` that ends a stream.
pub(crate) fn end_message(over: &Over, request: RequestId) -> String {
    clean(&format!(
        "kubestile ended this stream: {over} (request {request})"
    ))
}

/// `needs approval (policy a); must not happen (policy b)`.
fn sentence(policies: &[PolicyRef]) -> String {
    let parts: Vec<String> = policies
        .iter()
        .map(|p| format!("{} (policy {})", p.reason, p.id))
        .collect();
    parts.join("; ")
}

/// What to do about obligations that waiting does not meet.
fn next(obligations: &[Obligation]) -> &'static str {
    if obligations.contains(&Obligation::Mfa) {
        "log in again with a second factor"
    } else if obligations.contains(&Obligation::Approval) && obligations.len() == 1 {
        "show the request below to whoever runs this gate"
    } else {
        "`kubestile request --role ROLE -n NAMESPACE --ticket TICKET --reason WHY` asks for a grant that \
         meets this; then run the command again"
    }
}

/// `sre or approver`, for people.
fn who(approvers: &[String]) -> String {
    if approvers.is_empty() {
        return "nobody, as the policies stand,".to_owned();
    }
    approvers.join(" or ")
}

const fn needed(obligation: Obligation) -> &'static str {
    match obligation {
        Obligation::Approval => "approval",
        Obligation::Mfa => "login with two factors",
        Obligation::Ticket => "ticket",
        Obligation::Reason => "reason",
        Obligation::Grant => "grant",
    }
}

/// The API server replaces `<`, `>` and `&` in messages, and terminals obey control characters.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' | '>' | '&' => '_',
            c if c.is_control() => ' ',
            c => c,
        })
        .take(4096)
        .collect()
}

#[derive(Serialize)]
struct Status<'a> {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: &'a str,
    reason: &'a str,
    details: Details,
    code: u16,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Details {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
    #[serde(rename = "retryAfterSeconds", skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
}

#[derive(Serialize)]
struct Cause {
    reason: String,
    message: String,
    field: &'static str,
}

fn status_json(
    code: u16,
    reason: &str,
    message: &str,
    causes: Vec<Cause>,
    retry_after_seconds: Option<u32>,
) -> Vec<u8> {
    let status = Status {
        kind: "Status",
        api_version: "v1",
        metadata: Empty {},
        status: "Failure",
        message,
        reason,
        details: Details {
            causes,
            retry_after_seconds,
        },
        code,
    };
    serde_json::to_vec(&status).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use kubestile_core::ids::PolicyId;

    async fn json(refusal: Refusal) -> serde_json::Value {
        let body = refusal
            .into_response()
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes();
        serde_json::from_slice(&body).unwrap()
    }

    #[tokio::test]
    async fn a_denial_names_the_policy_the_reason_and_the_remedy() {
        let denial = Denial {
            policies: vec![PolicyRef {
                id: PolicyId::new("nodes-proxy"),
                reason: "nobody reaches kubelets <through> the API server".into(),
            }],
            remedy: Some("use kubectl debug".into()),
        };
        let id = RequestId::from_uuid(uuid::Uuid::from_u128(7));
        let status = json(Refusal::denied("kubectl get x", &denial).of_request(id)).await;
        assert_eq!(status["reason"], "Forbidden");
        assert_eq!(status["code"], 403);
        assert_eq!(
            status["message"],
            "kubestile denied \"kubectl get x\": nobody reaches kubelets _through_ the API server \
             (policy nodes-proxy). Next: use kubectl debug \
             (request 00000000-0000-0000-0000-000000000007)"
        );
        assert_eq!(status["details"]["causes"][0]["reason"], "nodes-proxy");
    }

    #[tokio::test]
    async fn a_hold_says_approval_required() {
        let hold = Hold {
            policies: vec![PolicyRef {
                id: PolicyId::new("d"),
                reason: "r".into(),
            }],
            obligations: vec![Obligation::Approval],
            approvals: 1,
            function: None,
        };
        let status = json(Refusal::held("kubectl delete x", &hold)).await;
        assert_eq!(status["reason"], "ApprovalRequired");
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .starts_with("approval required")
        );
    }

    #[test]
    fn control_characters_never_reach_a_terminal() {
        assert_eq!(
            Refusal::unauthenticated("a\u{1b}[2Jb").message(),
            "kubestile: a [2Jb"
        );
    }
}
