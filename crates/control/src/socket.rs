//! The administrator's Unix socket: for the user that the gate runs as, and root.

use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::net::{UnixListener, UnixStream};

/// A bound socket.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl AdminSocket {
    /// Binds `path` with mode 0600. A socket that an earlier run left there is replaced: the caller
    /// holds the store's directory lock, so nobody else can be using it.
    ///
    /// # Errors
    /// If something other than a socket is there, or the file system refuses.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    format!("`{}` is there and is not a socket", path.display()),
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        // Until the mode is set only the peer check below stands; it stands afterwards, too.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::symlink_metadata(path)?.uid();
        Ok(Self {
            listener,
            path: path.to_owned(),
            owner,
        })
    }

    fn admits(&self, stream: &UnixStream) -> bool {
        match stream.peer_cred() {
            Ok(peer) if peer.uid() == self.owner || peer.uid() == 0 => true,
            Ok(peer) => {
                tracing::warn!(uid = peer.uid(), "a stranger knocked at the admin socket");
                false
            }
            Err(error) => {
                tracing::warn!(%error, "the peer of the admin socket is unknown");
                false
            }
        }
    }
}

impl Listener for AdminSocket {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if self.admits(&stream) => return (stream, ()),
                Ok(_) => {}
                Err(error) => {
                    // Out of file descriptors, mostly: breathe, or this loop takes a core.
                    tracing::warn!(%error, "the admin socket could not accept");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Serves the administrator until `shutdown`, then removes the socket.
///
/// # Errors
/// If serving fails; a single connection that fails does not end it.
pub async fn serve_admin(
    socket: AdminSocket,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let path = socket.path.clone();
    let served = axum::serve(socket, router)
        .with_graceful_shutdown(shutdown)
        .await;
    // Gone already is as good.
    let _ = std::fs::remove_file(path);
    served
}
