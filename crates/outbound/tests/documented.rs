//! The configurations in the documentation are ones.

use kubestile_outbound::notify::ChannelConfig;
use kubestile_outbound::oidc::{IssuerConfig, Issuers, PipelineRule, Rules};
use kubestile_outbound::ticket::{TicketConfig, Tickets};
use serde::de::DeserializeOwned;

const TEXT: &str = include_str!("../../../docs/integrations.md");

/// The blocks of a kind, each as what it is, or what is wrong with it.
fn blocks<T: DeserializeOwned>(kind: &str) -> Result<Vec<T>, String> {
    let start = format!("```yaml {kind}\n");
    let blocks = TEXT.split(&start).skip(1);
    blocks
        .map(|rest| {
            let yaml = rest.split("```").next().unwrap_or_default();
            serde_saphyr::from_str(yaml).map_err(|e| format!("{kind}: {e}\n{yaml}"))
        })
        .collect()
}

#[test]
fn documented_configurations_are_accepted() {
    let tickets = Tickets::new(blocks::<TicketConfig>("ticket").unwrap()).unwrap();
    for (text, id) in [
        ("OPS-12", "jira:OPS-12"),
        ("acme/ops#7", "gh:acme/ops#7"),
        ("DESK-7", "desk:DESK-7"),
    ] {
        assert_eq!(tickets.parse(text).unwrap().to_string(), id);
    }
    let channels = blocks::<ChannelConfig>("channel").unwrap();
    assert_eq!(channels.len(), 3);
    kubestile_outbound::notify::Notifier::new(channels).unwrap();
    Issuers::new(blocks::<IssuerConfig>("issuer").unwrap()).unwrap();
    Rules::new(blocks::<PipelineRule>("rule").unwrap(), &["github"]).unwrap();
}
