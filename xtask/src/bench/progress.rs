//! What the bench is at: a bar on a terminal, a line a row elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::workspace::say;

/// Shown on standard error.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        if !std::io::stderr().is_terminal() || std::env::var_os("CI").is_some() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {prefix}: {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(Some(bar))
    }

    /// A row begins.
    pub(super) fn row(&self, title: &str) {
        match &self.0 {
            Some(bar) => bar.set_prefix(title.to_owned()),
            None => say(title),
        }
    }

    /// A step of it begins.
    pub(super) fn step(&self, step: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(step.to_owned());
        }
    }

    /// A line that stays.
    pub(super) fn line(&self, line: &str) {
        match &self.0 {
            Some(bar) => bar.suspend(|| say(line)),
            None => say(line),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
