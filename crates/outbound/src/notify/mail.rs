//! E-mail.

use super::config::MailConfig;

pub(super) fn check(_mail: &MailConfig) -> Result<(), String> {
    Ok(())
}
