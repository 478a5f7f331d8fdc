//! What all pages have around them, and the pages that say one thing.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::html::Html;
use super::visitor::Visitor;
use crate::error::ApiError;

/// A whole page.
pub(super) struct Page {
    title: Html,
    visitor: Option<(String, Html)>,
    refresh: Html,
    body: Html,
}

impl Page {
    /// A page with this title.
    pub(super) fn new(title: &str, body: Html) -> Self {
        Self {
            title: Html::new().text(title),
            visitor: None,
            refresh: Html::new(),
            body,
        }
    }

    /// For this person.
    pub(super) fn to(mut self, visitor: &Visitor) -> Self {
        self.visitor = Some((visitor.name().to_owned(), token_field(visitor)));
        self
    }

    /// Loaded again by the browser after so many seconds, as something that nobody did.
    pub(super) fn again_after(mut self, secs: i64) -> Self {
        self.refresh = Html::new()
            .lit("<meta http-equiv=\"refresh\" content=\"")
            .text(&secs.max(1).to_string())
            .lit("; url=?again\">");
        self
    }

    /// Loaded again as it is.
    fn reloaded(mut self, tag: &'static str) -> Self {
        self.refresh = Html::new().lit(tag);
        self
    }

    /// As the answer.
    pub(super) fn into_response(self, status: StatusCode) -> Response {
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        let html = self.html().into_string();
        let mut response = (status, [(CONTENT_TYPE, kind)], html).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"kubestile\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }

    fn html(self) -> Html {
        Html::new()
            .lit(
                "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
                 <meta name=\"color-scheme\" content=\"light dark\">\n\
                 <meta name=\"robots\" content=\"noindex\">\n",
            )
            .with(self.refresh)
            .lit("<title>")
            .with(self.title)
            .lit(
                " · Kubestile</title>\n<link rel=\"stylesheet\" href=\"/static/console.css\">\n</head>\n<body>\n\
                 <a class=\"skip\" href=\"#main\">Skip to the content</a>\n\
                 <header><a class=\"brand\" href=\"/approvals\">Kubestile</a>",
            )
            .with(self.visitor.map_or_else(Html::new, visitor_bar))
            .lit("</header>\n<main id=\"main\">\n")
            .with(self.body)
            .lit("</main>\n</body>\n</html>\n")
    }
}

fn visitor_bar((name, token): (String, Html)) -> Html {
    Html::new()
        .lit("<form class=\"who\" method=\"post\" action=\"/leave\">")
        .with(token)
        .lit("<span>Signed in as <strong>")
        .text(&name)
        .lit("</strong></span> <button class=\"quiet\">Sign out</button></form>")
}

/// The hidden field that every form of a signed-in browser carries.
pub(super) fn token_field(visitor: &Visitor) -> Html {
    Html::new()
        .lit("<input type=\"hidden\" name=\"form\" value=\"")
        .text(&visitor.form_token)
        .lit("\">")
}

/// Why something was not done.
pub(super) fn failure(visitor: Option<&Visitor>, error: &ApiError) -> Response {
    let hint = error.advice().map_or_else(Html::new, |hint| {
        Html::new().lit("<p>").text(hint).lit("</p>\n")
    });
    let body = Html::new()
        .lit("<section class=\"card\">\n<h1>That did not work</h1>\n<p role=\"alert\" class=\"alert\">")
        .text(&error.to_string())
        .lit("</p>\n")
        .with(hint)
        .lit("<p><a class=\"button\" href=\"/approvals\">Look at what waits</a></p>\n</section>\n");
    let page = Page::new("That did not work", body);
    let page = match visitor {
        Some(visitor) => page.to(visitor),
        None => page,
    };
    let mut response = page.into_response(error.status());
    if let Some(wait) = error.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, wait);
    }
    response
}

/// For whoever is not signed in, whatever they asked for.
pub(super) fn signed_out() -> Page {
    let body = Html::new().lit(
        "<section class=\"card\">\n<h1>You are not signed in</h1>\n\
         <p>A browser is signed in from your own terminal, with the login that you have there:</p>\n\
         <pre class=\"command\">kubestile approvals --open</pre>\n\
         <p>This page goes on by itself once you have done that in this browser. A browser in which nobody \
         does anything for fifteen minutes is signed out.</p>\n\
         <p><a class=\"button\" href=\"\">Look again</a></p>\n</section>\n",
    );
    Page::new("Not signed in", body).reloaded("<meta http-equiv=\"refresh\" content=\"10\">\n")
}

/// For whoever sends a form after having been signed out.
pub(super) fn signed_out_meanwhile() -> Page {
    let body = Html::new().lit(
        "<section class=\"card\">\n<h1>You are not signed in</h1>\n\
         <p role=\"alert\" class=\"alert\">Nothing was changed.</p>\n\
         <p>Sign this browser in from your own terminal, and answer again:</p>\n\
         <pre class=\"command\">kubestile approvals --open</pre>\n\
         <p><a class=\"button\" href=\"/approvals\">Look at what waits</a></p>\n</section>\n",
    );
    Page::new("Not signed in", body)
}

/// Between a link of somebody else's and the page itself.
pub(super) fn one_moment() -> Page {
    let body = Html::new().lit(
        "<section class=\"card\">\n<h1>One moment</h1>\n\
         <p><a class=\"button\" href=\"\">Go on</a></p>\n</section>\n",
    );
    Page::new("One moment", body).reloaded("<meta http-equiv=\"refresh\" content=\"0\">\n")
}

/// Where a ticket is shown.
pub(super) fn enter() -> Page {
    let body = Html::new().lit(
        "<section class=\"card\">\n<h1>Sign this browser in</h1>\n\
         <p>Did you just run <code>kubestile approvals --open</code>? Then go on. If somebody sent you this \
         link, close the page: you would act in their name.</p>\n\
         <form method=\"post\" action=\"/enter\" autocomplete=\"off\">\n\
         <p id=\"by-hand\"><label for=\"ticket\">Ticket: what stands behind <code>#</code> in the address\
         </label>\n<input id=\"ticket\" name=\"ticket\" type=\"password\" required maxlength=\"100\" \
         autocomplete=\"off\" spellcheck=\"false\"></p>\n\
         <p><button class=\"primary\">Sign in</button></p>\n</form>\n</section>\n\
         <script src=\"/static/enter.js\" defer></script>\n",
    );
    Page::new("Sign in", body)
}
