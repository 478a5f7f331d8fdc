//! Slack incoming webhooks.
//!
//! Texts of people stand only in `plain_text` objects, which know no mention, link or markup, and
//! `&`, `<` and `>` are escaped all the same, as in the short text that a phone shows.

use serde_json::{Value, json};

use super::message::Message;

pub(super) fn body(message: &Message) -> Value {
    let title = message.kind.title();
    let facts = message.facts();
    let fields: Vec<Value> = facts
        .iter()
        .map(|(name, text)| plain(&format!("{name}: {}", escape(text))))
        .collect();
    let mut blocks = vec![json!({ "type": "header", "text": plain(title) })];
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    if let Some(link) = message.safe_link() {
        let text = format!("<{}|Open in Kubestile>", escape(link));
        blocks.push(json!({
            "type": "section",
            "text": { "type": "mrkdwn", "text": text, "verbatim": true },
        }));
    }
    let short: Vec<String> = facts.iter().take(3).map(|(_, text)| escape(text)).collect();
    json!({
        "text": format!("{title}: {}", short.join(", ")),
        "mrkdwn": false,
        "parse": "none",
        "link_names": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": blocks,
    })
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text, "emoji": false })
}

/// Slack's three escapes, of so much of a text that a field (2000 characters) holds it in any case: <https://docs.slack.dev/messaging/formatting-message-text>.
fn escape(text: &str) -> String {
    let text: String = text.chars().take(380).collect();
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
