//! A Unix socket of mode 0600, and who is at its other end.
//!
//! Removes a socket only where nothing answers on it any more. Never follows a path to anything but a socket.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::serve::{Door, run};
use super::work::Application;
use super::{Limits, Shutdown};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// Who asks over a Unix socket, by the kernel's word; in the extensions of every request that came over one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The process, where the system tells.
    pub pid: Option<i32>,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another process listens there.
    #[error("{}: another broker answers on this socket: stop it, or set [admin] socket to another path", .0.display())]
    InUse(PathBuf),
    /// A file of another kind is there.
    #[error("{}: there is a file that is no socket: move it away, or set [admin] socket to another path", .0.display())]
    NoSocket(PathBuf),
    /// What the system said.
    #[error("{}: cannot listen: {why}", .path.display())]
    System {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
}

/// A listening socket. Its file goes when it is dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our file: another's is not removed.
    file: (u64, u64),
}

impl Socket {
    /// Listens at `path`, mode 0600. A socket left there by a dead process is replaced; a folder that is missing is made,
    /// mode 0700.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn bind(path: impl Into<PathBuf>) -> Result<Self, SocketError> {
        let path = path.into();
        let system = |why| SocketError::System { path: path.clone(), why };
        clear(&path)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(system)?;
        }
        let socket = UnixSocket::new_stream().map_err(system)?;
        socket.bind(&path).map_err(system)?;
        // Nobody can connect before `listen`: at no time does the socket answer to more than its owner.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(system)?;
        let listener = socket.listen(BACKLOG).map_err(system)?;
        let meta = fs::symlink_metadata(&path).map_err(system)?;
        Ok(Self { listener, file: (meta.dev(), meta.ino()), path })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn accept(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.listener.accept().await?;
        let cred = stream.peer_cred()?;
        Ok((stream, Peer { uid: cred.uid(), pid: cred.pid() }))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, socket = %self.path.display(), "the socket could not be removed");
        }
    }
}

/// Makes way at `path`, where what is there is a socket nobody answers on.
fn clear(path: &Path) -> Result<(), SocketError> {
    let system = |why| SocketError::System { path: path.into(), why };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system(error)),
        Ok(meta) if !meta.file_type().is_socket() => return Err(SocketError::NoSocket(path.into())),
        Ok(_) => {}
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(system),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(system(error)),
        Ok(_) => Err(SocketError::InUse(path.into())),
    }
}

/// Serves `application` on `socket` until shutdown, as [`super::serve`] does; each request carries its [`Peer`]. The socket's
/// file is gone when the end has begun.
pub async fn serve(socket: Socket, application: impl Application, limits: Limits, shutdown: Shutdown) {
    run(Door::Unix(socket), Box::new(application), limits, shutdown).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_is_its_owners_and_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/admin.sock");
        let socket = Socket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, 0o700);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_left_alone_and_a_dead_one_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.sock");
        let live = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::InUse(_))));
        drop(live);
        assert!(path.exists(), "std leaves the file");
        let first = Socket::bind(&path).unwrap();
        // Another's socket at the same path is not removed.
        fs::remove_file(&path).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        fs::write(&path, "x").unwrap();
        assert!(matches!(Socket::bind(&path), Err(SocketError::NoSocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"x");
        // Where a folder should be there is a file.
        fs::write(dir.path().join("no"), "x").unwrap();
        assert!(matches!(Socket::bind(dir.path().join("no/dir/s")), Err(SocketError::System { .. })));
    }
}
