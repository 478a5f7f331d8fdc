//! Who sits at the browser: from the cookie and nothing else, verified against the session as it stands now.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use kubestile_authn::browser;

use super::guard;
use super::layout;
use crate::caller::{Address, Caller};
use crate::state::App;

/// The cookie. With this prefix a browser takes it over TLS only, for this host and all of its paths, and
/// from nobody below the gate; the gateway keeps it from applications behind it.
const NAME: &str = "__Host-kubestile";
/// In the query of a page that a browser loads again by itself: nobody did anything.
pub(super) const AGAIN: &str = "again";

/// A person at a browser that is signed in.
pub(super) struct Visitor {
    /// As whom they do what they do.
    pub(super) caller: Caller,
    /// What their forms carry.
    pub(super) form_token: String,
    /// Of their cookie.
    pub(super) digest: [u8; 32],
}

impl Visitor {
    /// Their name.
    pub(super) fn name(&self) -> &str {
        &self.caller.who.identity().name
    }

    fn of(parts: &Parts, app: &App, Address(from): Address) -> Option<Self> {
        let cookie = cookie(&parts.headers)?;
        let digest = browser::cookie_digest(cookie)?;
        let active = parts.uri.query() != Some(AGAIN);
        let found = app.browsers().find(&digest, active, app.now())?;
        let signed_in = (found.session, found.ends);
        match Caller::at_browser(app, &parts.headers, from, signed_in) {
            Ok(caller) => Some(Self {
                caller,
                form_token: browser::form_token(cookie),
                digest,
            }),
            Err(error) => {
                tracing::debug!(session = %found.session, %error, "a browser is signed out");
                app.browsers().sign_out(&digest);
                None
            }
        }
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let address = Address::from_request_parts(parts, app).await;
        let address = address.map_err(IntoResponse::into_response)?;
        Self::of(parts, app, address).ok_or_else(|| signed_out(parts))
    }
}

/// The same page whatever was asked for: it says nothing of what is there.
fn signed_out(parts: &Parts) -> Response {
    // What was sent with a form is not there to be loaded again.
    if parts.method != Method::GET {
        return layout::signed_out_meanwhile().into_response(StatusCode::UNAUTHORIZED);
    }
    let headers = &parts.headers;
    // A strict cookie does not come along from a link in a chat. Loaded again, the page comes from us.
    if guard::from_elsewhere(headers) && cookie(headers).is_none() {
        return layout::one_moment().into_response(StatusCode::UNAUTHORIZED);
    }
    layout::signed_out().into_response(StatusCode::UNAUTHORIZED)
}

/// The one cookie of our name; two of them are none.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut ours = pairs.filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then_some(value)
    });
    let value = ours.next()?;
    ours.next().is_none().then_some(value)
}

/// The header that gives a browser its cookie; no lifetime, so that it goes with the browser.
pub(super) fn set_cookie(value: &str) -> String {
    format!("{NAME}={value}; Path=/; Secure; HttpOnly; SameSite=Strict")
}

/// The header that takes it away.
pub(super) fn clear_cookie() -> String {
    format!("{NAME}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0")
}
