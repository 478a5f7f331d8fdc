//! Step 7: what is held waits here until its obligations are met, and becomes a permit. Until
//! approvals exist, a hold ends as a refusal that says that approval is required.

use kubestile_core::decision::{Decision, Permit};
use kubestile_core::kubectl_line;

use crate::forward::Judged;
use crate::refusal::Refusal;

/// The permit of a recorded decision.
///
/// # Errors
/// 403 for a denial, and for a hold.
pub fn hold(judged: &Judged, decision: Decision) -> Result<Permit, Refusal> {
    match decision {
        Decision::Allow(permit) => Ok(permit),
        Decision::Deny(denial) => Err(Refusal::denied(&kubectl_line::of(&judged.action), &denial)),
        Decision::Hold(hold) => Err(Refusal::held(&kubectl_line::of(&judged.action), &hold)),
    }
}
