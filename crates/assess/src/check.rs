//! The catalogue's controls, one file per stage. Each check reads top to bottom: what it looks at, when
//! it fails, what would mend it.

mod access;
mod admission;
mod audit_policy;
mod authentication;
mod cloud;
mod drills;
mod gate;
mod kubeconfig;
mod stage0;
mod stage1;
mod stage2;
mod stage3;
mod stage4;
mod traffic;

use crate::catalog::Control;

/// All controls, by stage.
pub(crate) const ALL: [&[Control]; 5] = [
    stage0::CONTROLS,
    stage1::CONTROLS,
    stage2::CONTROLS,
    stage3::CONTROLS,
    stage4::CONTROLS,
];

/// What controls say that only the API server's audit log can decide.
const NEEDS_AUDIT: &str =
    "the API server's audit log would show it, and none was given to this assessment";
/// What controls say that only a gate's own records can decide.
const NEEDS_GATE: &str = "only the records of a gate before this cluster show it";
