//! The companion of a kubectl that waits. kubectl says nothing while the gate holds a request, so the
//! credential plugin, which has kubectl's stderr, leaves this small process on a terminal: it asks the
//! gate what waits in this session, says it, and ends with kubectl, whatever happens.

pub(crate) mod notices;
mod parent;
mod sockets;

use std::ffi::OsStr;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use http::Method;
use kubestile_control::api::{AccessEntry, AccessList};
use kubestile_core::{Timestamp, Ttl};
use rustix::process::{Pid, getpid, getppid, setsid};
use rustix::termios::{LocalModes, tcgetattr};

use self::notices::{GiveUp, Notices};
use self::parent::Parent;
use self::sockets::Whose;
use crate::args::client;
use crate::clock::now;
use crate::exit::{Fail, Kind, Outcome};
use crate::login::Login;
use crate::{credential, output};

/// Most runs of kubectl are over by then, and nothing has been asked for them.
const BEFORE_ASKING: Duration = Duration::from_millis(600);
/// Calls start at least this far apart, whatever the gate answers.
const APART: Duration = Duration::from_millis(500);
/// How long the gate may keep a call, in seconds.
const WAIT_SECS: u32 = 25;
/// After a call that failed, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// A gate says the time of its answers in whole seconds, and it takes a moment to arrive.
const SLACK: Ttl = Ttl::from_secs(3);

/// A companion that is wanted.
pub(crate) struct Companion {
    kubectl: Pid,
    since: Timestamp,
}

impl Companion {
    /// If there is a terminal to talk to, and a kubectl that reads us.
    pub(crate) fn wanted() -> Option<Self> {
        let asked = std::env::var_os("KUBERNETES_EXEC_INFO").is_some();
        let setting = std::env::var_os("KUBESTILE_COMPANION");
        if !(asked && is_on(setting.as_deref()) && std::io::stderr().is_terminal()) {
            return None;
        }
        Some(Self {
            kubectl: getppid()?,
            since: now(),
        })
    }

    /// Starts it and does not wait for it. Without it only its lines are missing, so nothing is said
    /// when it cannot be started.
    pub(crate) fn leave(self, dir: &Path) {
        // Whoever adopts us when kubectl is gone already is in another process group.
        let adopted = getppid() != Some(self.kubectl)
            || parent::group(self.kubectl) != parent::group(getpid());
        if !adopted {
            let _not_started = self.start(dir);
        }
    }

    fn start(&self, dir: &Path) -> Outcome {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("companion")
            .arg("--login")
            .arg(std::path::absolute(dir)?)
            .arg(format!("--parent={}", self.kubectl.as_raw_nonzero()))
            .arg(format!("--since={}", self.since.as_micros()))
            // kubectl reads our stdout to its end.
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(started) = parent::started(self.kubectl) {
            command.arg(format!("--started={started}"));
        }
        let mut child = command.spawn()?;
        // We end now; whoever adopts it waits for it.
        let _running = child.try_wait();
        Ok(())
    }
}

fn is_on(setting: Option<&OsStr>) -> bool {
    setting.is_none_or(|s| s != "off")
}

/// Runs until kubectl ends, or there is nothing more to say.
pub(crate) fn run(args: &client::Companion) {
    // Ctrl-C is for kubectl. This fails for one who typed the command, and has no kubectl.
    if setsid().is_err() || !std::io::stderr().is_terminal() {
        return;
    }
    let _kept = std::env::set_current_dir("/");
    let Ok(login) = Login::open(&args.login) else {
        return;
    };
    let parent = Pid::from_raw(args.parent).and_then(|pid| Parent::find(pid, args.started));
    let Some(parent) = parent else {
        return;
    };
    if parent.has_companion() {
        return;
    }
    let kubectl = parent.pid();
    let until = login.record().expires;
    // A thread of its own: writing to a stopped terminal and looking up a name can block.
    let watching = std::thread::Builder::new().spawn(move || {
        parent.wait(until);
        std::process::exit(0);
    });
    if watching.is_err() {
        return;
    }
    std::thread::sleep(BEFORE_ASKING);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    if let Ok(runtime) = runtime {
        let teller = Teller {
            login,
            kubectl,
            notices: Notices::default(),
            since: Timestamp::from_micros(args.since),
        };
        // kubectl says itself what becomes of its request when we cannot.
        let _silent = runtime.block_on(teller.tell());
        runtime.shutdown_background();
    }
}

/// Asks and tells.
struct Teller {
    login: Login,
    kubectl: Pid,
    notices: Notices,
    since: Timestamp,
}

impl Teller {
    async fn tell(mut self) -> Outcome {
        let mut after = None;
        let mut pause = PAUSE.0;
        loop {
            let start = Instant::now();
            match self.ask(after).await {
                Ok((list, date)) => {
                    self.say(&list, date)?;
                    after = Some(list.seen);
                    pause = PAUSE.0;
                    tokio::time::sleep(APART.saturating_sub(start.elapsed())).await;
                }
                Err(fail) if fail.of_kind() == Kind::Unavailable => {
                    after = None;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
                Err(fail) => return Err(fail),
            }
        }
    }

    async fn ask(&self, after: Option<u64>) -> Outcome<(AccessList, Option<Timestamp>)> {
        let certificate = match self.login.certificate()?.filter(|c| c.is_fresh(now())) {
            Some(fresh) => fresh,
            None => credential::current(&self.login).await?,
        };
        let path = match after {
            Some(seen) => format!("/v1/access?mine&after={seen}&wait={WAIT_SECS}"),
            None => "/v1/access?mine".to_owned(),
        };
        let door = self.login.door(Some(&certificate))?;
        let answer = door.exchange(Method::GET, &path, None).await?;
        match answer.status.as_u16() {
            200..=299 => Ok((answer.json()?, answer.date)),
            429 | 500..=599 => Err(Fail::new(Kind::Unavailable, "later")),
            _ => Err(answer.fail()),
        }
    }

    fn say(&mut self, list: &AccessList, date: Option<Timestamp>) -> Outcome {
        let since = by_the_gate(self.since, now(), date);
        for entry in list.requests.iter().rev() {
            if entry.created < since || !self.notices.is_news(entry) {
                continue;
            }
            let Some(give_up) = how_to_give_up(self.kubectl) else {
                continue;
            };
            let shown = self.is_ours(entry);
            for line in self.notices.observe(entry, shown, give_up) {
                output::notice(&line)?;
            }
        }
        Ok(())
    }

    /// Two terminals share a session: a request that another process of this machine sent is said in
    /// that terminal.
    fn is_ours(&self, entry: &AccessEntry) -> bool {
        let source: Option<std::net::SocketAddr> = entry.source.parse().ok();
        let gate = self.login.url();
        let (Some(source), Ok(gate)) = (source, gate) else {
            return true;
        };
        sockets::whose(self.kubectl, source.port(), gate.port()) != Whose::Anothers
    }
}

/// A moment of our clock by the gate's.
fn by_the_gate(at: Timestamp, now: Timestamp, date: Option<Timestamp>) -> Timestamp {
    let ahead = date.map_or(0, |date| date.as_micros().saturating_sub(now.as_micros()));
    let at = at.as_micros().saturating_add(ahead);
    Timestamp::from_micros(at.saturating_sub(SLACK.as_micros()))
}

/// What ends the wait, by the terminal's mode; `None` for a full-screen program, whose picture a line
/// would spoil. `kubectl exec -it` makes the terminal raw before it asks, and then Ctrl-C is a byte.
fn how_to_give_up(kubectl: Pid) -> Option<GiveUp> {
    let modes = tcgetattr(std::io::stderr()).map(|t| t.local_modes);
    let raw = modes.is_ok_and(|m| !m.contains(LocalModes::ISIG | LocalModes::ICANON));
    match (raw, parent::is_kubectl(kubectl)) {
        (false, _) => Some(GiveUp::CtrlC),
        (true, true) => Some(GiveUp::Command),
        (true, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_switched_off_by_one_word() {
        assert!(is_on(None) && is_on(Some(OsStr::new("on"))));
        assert!(!is_on(Some(OsStr::new("off"))));
    }

    #[test]
    fn clocks_may_differ() {
        let at = Timestamp::from_secs;
        // The gate is 100 s ahead.
        assert_eq!(by_the_gate(at(50), at(60), Some(at(160))), at(147));
        assert_eq!(by_the_gate(at(50), at(60), Some(at(60))), at(47));
        assert_eq!(by_the_gate(at(50), at(60), None), at(47));
    }
}
