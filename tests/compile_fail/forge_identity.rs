//@ error: E0451
//! A verified identity has no public fields: only authentication makes one.
use std::sync::Arc;

use kubestile_core::identity::{Credential, VerifiedIdentity};
use kubestile_core::{Assurance, Identity, SessionId, Timestamp};

pub fn forge(identity: Arc<Identity>, session: SessionId, at: Timestamp) -> VerifiedIdentity {
    VerifiedIdentity {
        identity,
        session,
        session_created: at,
        session_expires: at,
        assurance: Assurance::Multi,
        credential: Credential::Certificate,
    }
}
