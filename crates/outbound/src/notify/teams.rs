//! Teams workflows: an Adaptive Card 1.4 in a message.
//!
//! Texts of people stand only in `TextRun`s, which know no markdown (a `TextBlock` and the values of a
//! `FactSet` do); what a client could take for a date function or a mention is broken up.

use serde_json::{Value, json};

use super::message::Message;

pub(super) fn body(message: &Message) -> Value {
    let mut card = vec![json!({
        "type": "TextBlock",
        "text": message.kind.title(),
        "weight": "Bolder",
        "size": "Medium",
        "wrap": true,
    })];
    for (name, text) in message.facts() {
        card.push(json!({
            "type": "RichTextBlock",
            "inlines": [
                { "type": "TextRun", "text": format!("{name}: "), "weight": "Bolder" },
                { "type": "TextRun", "text": defused(&text) },
            ],
        }));
    }
    let actions: Vec<Value> = message
        .safe_link()
        .map(|link| json!({ "type": "Action.OpenUrl", "title": "Open in Kubestile", "url": link }))
        .into_iter()
        .collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": card,
                "actions": actions,
            },
        }],
    })
}

/// `{{DATE(…)}}`, `${…}`, `@{…}` and `<at>…</at>` mean something to some clients.
fn defused(text: &str) -> String {
    text.replace('{', "(")
        .replace('}', ")")
        .replace('<', "‹")
        .replace('>', "›")
}
