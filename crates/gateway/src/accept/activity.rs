//! Whether requests are open on a connection: one without any for a while is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The requests of one connection: how many have begun, and how many of them are over.
#[derive(Debug, Default)]
pub(super) struct Activity {
    begun: AtomicU64,
    over: AtomicU64,
}

/// One open request, from its head to the last byte of its answer.
#[derive(Debug)]
pub struct OpenRequest(Arc<Activity>);

/// In how many steps it is seen that nothing was open: the time is met to one part of this.
const STEPS: u32 = 4;

impl Activity {
    /// A request has begun; it is over when the value is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> OpenRequest {
        self.begun.fetch_add(1, Ordering::Relaxed);
        OpenRequest(self.clone())
    }

    /// Ready once no request was open for all of `time`, and soon after.
    pub(super) async fn idle(&self, time: Duration) {
        let mut quiet = Quiet::from(self);
        while quiet.steps < STEPS {
            tokio::time::sleep(time / STEPS).await;
            quiet = quiet.step(self);
        }
    }
}

/// For how many steps nothing has been open.
struct Quiet {
    begun: u64,
    open: bool,
    steps: u32,
}

impl Quiet {
    fn from(activity: &Activity) -> Self {
        let begun = activity.begun.load(Ordering::Relaxed);
        Self {
            begun,
            open: begun != activity.over.load(Ordering::Relaxed),
            steps: 0,
        }
    }

    fn step(self, activity: &Activity) -> Self {
        let now = Self::from(activity);
        let none = !self.open && !now.open && now.begun == self.begun;
        Self {
            steps: if none { self.steps + 1 } else { 0 },
            ..now
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.over.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_is_a_step_in_which_nothing_was_open_at_any_time() {
        let activity = Arc::new(Activity::default());
        let watch = activity.begin();
        let quiet = Quiet::from(&activity).step(&activity);
        assert_eq!(quiet.steps, 0, "a watch is open");
        drop(watch);
        let quiet = quiet.step(&activity);
        assert_eq!(quiet.steps, 0, "it was, when the step began");
        let quiet = quiet.step(&activity).step(&activity);
        assert_eq!(quiet.steps, 2);
        drop(activity.begin());
        assert_eq!(quiet.step(&activity).steps, 0, "one came and went");
    }
}
