//! What is compared: the gate, and what others put in its place, each before the same origin, each on
//! one core, TLS 1.3 on both sides.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::gate::Home;
use super::load::{Protocol, Target};
use super::machine::{self, Cores};
use super::origin;
use super::process::{Running, START_LIMIT};
use super::tls::{self, Identity, Pki};

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// The origin itself.
    Direct,
    /// Kubestile.
    Gate,
    /// Debian's.
    Nginx,
    /// Debian's.
    Haproxy,
    /// `kubectl proxy`: no TLS towards clients, no HTTP/2 towards them.
    KubectlProxy,
}

impl Kind {
    /// In tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Gate => "gate",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::KubectlProxy => "kubectl proxy",
        }
    }

    /// Whether it can be asked over this protocol.
    pub(super) fn speaks(self, protocol: Protocol) -> bool {
        self != Self::KubectlProxy || protocol == Protocol::H1
    }
}

/// The origin, and what is needed to put a peer before it.
pub(super) struct Stage {
    /// Everything that is written lies here, and goes when this goes.
    dir: tempfile::TempDir,
    /// The program under test.
    pub(super) kubestile: PathBuf,
    pub(super) cores: Cores,
    pki: Pki,
    origin: SocketAddr,
    gate: Option<Home>,
    _origin: Running,
}

/// A peer that answers.
pub(super) struct Peer {
    /// Where.
    pub(super) target: Target,
    process: Option<Running>,
}

impl Peer {
    /// The process that is measured; none if there is nothing between.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Running::pid)
    }
}

impl Stage {
    /// Starts the origin. Everything lies below `target`, on the disk that the gate's log is synced to.
    pub(super) fn set(target: &Path, kubestile: PathBuf, cores: Cores) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("bench-")
            .tempdir_in(target)?;
        let pki = Pki::create(dir.path())?;
        let mut command = machine::on_core(cores.load, &std::env::current_exe()?);
        command.args(["bench", "--origin"]).arg(dir.path());
        let mut running = Running::start("origin", command, &dir.path().join("origin.log"))?;
        let address = running.word_after("")?;
        Ok(Self {
            origin: address.parse().context("the origin's address")?,
            dir,
            kubestile,
            cores,
            pki,
            gate: None,
            _origin: running,
        })
    }

    /// A directory for what is written.
    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a peer and waits until the origin's answer comes through it.
    pub(super) fn start(&mut self, kind: Kind, runtime: &tokio::runtime::Runtime) -> Result<Peer> {
        let mut peer = match kind {
            Kind::Direct => Peer {
                target: self.target(self.origin, &self.pki.ca, None, "")?,
                process: None,
            },
            Kind::Gate => self.gate()?,
            Kind::Nginx => self.nginx()?,
            Kind::Haproxy => self.haproxy()?,
            Kind::KubectlProxy => self.kubectl_proxy()?,
        };
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let error = match runtime.block_on(peer.target.get(origin::ONE, Protocol::H1)) {
                Ok(_) => return Ok(peer),
                Err(error) => error,
            };
            if let Some(process) = &mut peer.process {
                process.check()?;
            }
            if Instant::now() > deadline {
                let said = peer
                    .process
                    .as_ref()
                    .map(Running::last_words)
                    .unwrap_or_default();
                bail!("{} does not answer: {error:#}\n{said}", kind.name());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The configurations of the peers, as they were used, without this machine's paths.
    pub(super) fn configurations(&self) -> Vec<(String, String)> {
        let files = ["gate.yaml", "nginx.conf", "haproxy.cfg", "kubeconfig"];
        let dir = self.dir().display().to_string();
        let text = |file: &str| std::fs::read_to_string(self.dir().join(file)).ok();
        files
            .into_iter()
            .filter_map(|file| Some((file.to_owned(), text(file)?.replace(&dir, "$DIR"))))
            .map(|(file, text)| (file, without_certificate(&text)))
            .collect()
    }

    fn gate(&mut self) -> Result<Peer> {
        let kubeconfig = self.kubeconfig()?;
        let (home, process) = match self.gate.take() {
            Some(home) => {
                let process = home.serve(self)?;
                (home, process)
            }
            None => Home::create(self, &kubeconfig)?,
        };
        let target = self.target(
            process.1,
            &home.authority(),
            Some(home.identity()),
            "/clusters/bench",
        )?;
        self.gate = Some(home);
        Ok(Peer {
            target,
            process: Some(process.0),
        })
    }

    fn nginx(&self) -> Result<Peer> {
        let address = free_address()?;
        let file = self.dir().join("nginx.conf");
        let user = if rustix::process::getuid().is_root() {
            "user root;\n"
        } else {
            ""
        };
        let text = NGINX
            .replace("USER", user)
            .replace("LISTEN", &address.to_string())
            .replace("ORIGIN", &self.origin.to_string());
        std::fs::write(&file, self.fill(&text))?;
        let mut command = machine::on_core(self.cores.proxy, &program("nginx")?);
        command
            .arg("-e")
            .arg("stderr")
            .arg("-p")
            .arg(self.dir())
            .arg("-c")
            .arg(&file);
        let process = Running::start("nginx", command, &self.dir().join("nginx.log"))?;
        self.peer(address, process)
    }

    fn haproxy(&self) -> Result<Peer> {
        let address = free_address()?;
        let file = self.dir().join("haproxy.cfg");
        let text = HAPROXY
            .replace("LISTEN", &address.to_string())
            .replace("ORIGIN", &self.origin.to_string());
        std::fs::write(&file, self.fill(&text))?;
        let mut command = machine::on_core(self.cores.proxy, &program("haproxy")?);
        command.arg("-db").arg("-f").arg(&file);
        let process = Running::start("haproxy", command, &self.dir().join("haproxy.log"))?;
        self.peer(address, process)
    }

    fn kubectl_proxy(&self) -> Result<Peer> {
        let mut command = machine::on_core(self.cores.proxy, &program("kubectl")?);
        command
            .args(["proxy", "--port=0", "--kubeconfig"])
            .arg(self.kubeconfig()?);
        command.env("HOME", self.dir());
        let log = self.dir().join("kubectl-proxy.log");
        let mut process = Running::start("kubectl proxy", command, &log)?;
        let address = process.word_after("Starting to serve on ")?.parse()?;
        Ok(Peer {
            target: Target {
                address,
                tls: None,
                prefix: String::new(),
            },
            process: Some(process),
        })
    }

    fn peer(&self, address: SocketAddr, process: Running) -> Result<Peer> {
        Ok(Peer {
            target: self.target(address, &self.pki.ca, None, "")?,
            process: Some(process),
        })
    }

    fn target(
        &self,
        address: SocketAddr,
        ca: &Path,
        shown: Option<&Identity>,
        prefix: &str,
    ) -> Result<Target> {
        let h1 = tls::client(ca, shown, b"http/1.1")?;
        let h2 = tls::client(ca, shown, b"h2")?;
        Ok(Target {
            address,
            tls: Some((h1, h2)),
            prefix: prefix.to_owned(),
        })
    }

    /// For clients of Kubernetes that stand before the origin: the gate and `kubectl proxy`.
    fn kubeconfig(&self) -> Result<PathBuf> {
        let file = self.dir().join("kubeconfig");
        let text = KUBECONFIG.replace("ORIGIN", &self.origin.to_string());
        std::fs::write(&file, self.fill(&text))?;
        Ok(file)
    }

    fn fill(&self, text: &str) -> String {
        let path = |path: &Path| path.display().to_string();
        text.replace("DIR", &path(self.dir()))
            .replace("CA.PEM", &path(&self.pki.ca))
            .replace("CERTIFICATE.PEM", &path(&self.pki.certificate))
            .replace("KEY.PEM", &path(&self.pki.key))
            .replace("BOTH.PEM", &path(&self.pki.both))
    }
}

/// The path of a program of this machine.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let mut found = places
        .map(|dir| dir.join(name))
        .filter(|file| file.is_file());
    found
        .next()
        .with_context(|| format!("`{name}` is not on this machine"))
}

/// An address that is free now, for programs that cannot say which one the kernel gave them.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn without_certificate(text: &str) -> String {
    let hidden = |line: &str| match line.split_once("certificate-authority-data: ") {
        Some((before, _)) => format!("{before}certificate-authority-data: …\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(hidden).collect()
}

/// One worker, connections kept alive on both sides; nothing written to disk, nothing logged.
const NGINX: &str = "\
USERdaemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid DIR/nginx.pid;
events { worker_connections 15000; }
http {
  access_log off;
  client_body_temp_path DIR/nginx-body;
  proxy_temp_path DIR/nginx-proxy;
  fastcgi_temp_path DIR/nginx-fastcgi;
  uwsgi_temp_path DIR/nginx-uwsgi;
  scgi_temp_path DIR/nginx-scgi;
  upstream origin { server ORIGIN; keepalive 256; keepalive_requests 100000000; }
  server {
    listen LISTEN ssl http2;
    ssl_certificate CERTIFICATE.PEM;
    ssl_certificate_key KEY.PEM;
    ssl_protocols TLSv1.3;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    location / {
      proxy_pass https://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_ssl_protocols TLSv1.3;
      proxy_ssl_verify on;
      proxy_ssl_trusted_certificate CA.PEM;
      proxy_ssl_name localhost;
      proxy_read_timeout 1h;
      proxy_buffering off;
      proxy_buffer_size 16k;
      proxy_buffers 8 16k;
    }
  }
}
";

/// One thread, connections kept alive on both sides and shared by all clients; nothing logged.
const HAPROXY: &str = "\
global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  http-reuse always
frontend clients
  bind LISTEN ssl crt BOTH.PEM alpn h2,http/1.1 ssl-min-ver TLSv1.3
  default_backend origin
backend origin
  server origin ORIGIN ssl verify required ca-file CA.PEM verifyhost localhost sni str(localhost) ssl-min-ver TLSv1.3
";

/// A cluster as a kubeconfig names it.
const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: bench
contexts:
- name: bench
  context: {cluster: bench, user: gate}
clusters:
- name: bench
  cluster: {server: \"https://ORIGIN\", certificate-authority: CA.PEM}
users:
- name: gate
  user: {token: bench}
";
