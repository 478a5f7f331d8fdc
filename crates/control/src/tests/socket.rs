use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::{AdminSocket, serve_admin};

#[tokio::test]
async fn the_socket_is_its_owners_and_serves_until_told_to_stop() {
    let gate = Gate::new().await;
    let path = gate.dir.path().join("admin.sock");
    let socket = AdminSocket::bind(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = async move { drop(stopped.await) };
    let serving = tokio::spawn(serve_admin(socket, gate.admin.clone(), shutdown));

    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request = b"GET /v1/status HTTP/1.1\r\nHost: kubestile\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    drop(AdminSocket::bind(&path).unwrap());
    assert!(path.exists(), "as after a crash");
    AdminSocket::bind(&path).unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(AdminSocket::bind(&file).is_err());
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(AdminSocket::bind(&link).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
}
