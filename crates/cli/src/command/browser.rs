//! Opening a page in the person's browser.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kubestile_core::Secret;

use crate::exit::{Fail, Outcome};
use crate::output;

/// How long the opener is watched for a failure.
const WATCH: Duration = Duration::from_secs(2);

/// Opens a page that can be entered once, or prints its address where there is no browser.
/// `left` is how long it can be.
pub(super) fn open(url: &Secret<String>, left: &str) -> Outcome {
    let url = url.expose();
    let plain = url.bytes().all(|b| b.is_ascii_graphic());
    if !url.starts_with("https://") || !plain {
        return Err(Fail::failure("the gate gave no address of a page"));
    }
    if has_screen() && opens(url) {
        output::talk("opened in your browser");
        return Ok(());
    }
    output::talk(&format!(
        "no browser here; whoever opens this address first acts as you, for {left}:"
    ));
    output::line(url)
}

fn has_screen() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

fn opens(url: &str) -> bool {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let child = Command::new(opener)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else {
        return false;
    };
    let start = Instant::now();
    while start.elapsed() < WATCH {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) => std::thread::sleep(Duration::from_millis(50)),
            Err(_) => return false,
        }
    }
    // Some openers stay as long as the browser does.
    true
}
