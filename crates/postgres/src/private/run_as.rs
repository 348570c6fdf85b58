//! PostgreSQL refuses to run as root. In a container everything is root: there it runs as `postgres`, or as `nobody`.

use super::{Error, at};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the names of folders begin with that stand for those that the server's user cannot reach.
const STAND_IN: &str = "millrace-postgres-";
/// The link in such a folder to the one that it stands for.
const STANDS_FOR: &str = "stands-for";

/// The user that runs the server.
#[derive(Clone, Copy, Debug)]
pub struct RunAs {
    uid: u32,
    gid: u32,
}

impl RunAs {
    /// The user that a server in that folder must run as; none where it may run as the one who asks.
    pub fn needed_in(dir: &Path) -> Result<Option<Self>, Error> {
        // Whoever makes a file owns it: there is no safe call that tells who one is.
        let probe = dir.join(format!("probe-{:016x}", rand::random::<u64>()));
        File::create(&probe).map_err(at(&probe))?;
        let uid = fs::metadata(&probe).map(|metadata| metadata.uid());
        fs::remove_file(&probe).map_err(at(&probe))?;
        if uid.map_err(at(&probe))? != 0 {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| find(&users, name))
            .ok_or(Error::NoUser)
            .map(Some)
    }

    /// A folder that belongs to this user and that it can reach: the one given, or, where that lies below a folder that
    /// is closed to others (`/root` is), one in the system's folder for temporary files that stands for it.
    pub fn reachable(self, dir: PathBuf) -> Result<PathBuf, Error> {
        let open = dir
            .ancestors()
            .skip(1)
            .all(|parent| fs::metadata(parent).is_ok_and(|it| it.mode() & 0o001 != 0));
        let dir = if open {
            dir
        } else {
            let digest = hex::encode(&Sha256::digest(dir.as_os_str().as_encoded_bytes())[..8]);
            let temporary = std::env::temp_dir();
            remove_orphans(&temporary);
            let stand_in = temporary.join(format!("{STAND_IN}{digest}"));
            fs::create_dir_all(&stand_in).map_err(at(&stand_in))?;
            // The folder for temporary files is everybody's: somebody else's folder of that name is not used.
            let owner = fs::symlink_metadata(&stand_in).map_err(at(&stand_in))?;
            if !owner.is_dir() || ![0, self.uid].contains(&owner.uid()) {
                return Err(at(&stand_in)(io::Error::other(
                    "it belongs to somebody else; remove it",
                )));
            }
            note_stood_for(&stand_in, &dir)?;
            stand_in
        };
        chown(&dir, Some(self.uid), Some(self.gid)).map_err(at(&dir))?;
        fs::set_permissions(&dir, Permissions::from_mode(0o700)).map_err(at(&dir))?;
        Ok(dir)
    }

    /// Makes a command run as this user. The standard library drops root's supplementary groups as it does.
    pub fn apply(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// Notes in a folder which one it stands for. Several processes may do so at once: they all write the same.
fn note_stood_for(stand_in: &Path, dir: &Path) -> Result<(), Error> {
    let link = stand_in.join(STANDS_FOR);
    match symlink(dir, &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(&link)(error)),
        _ => Ok(()),
    }
}

/// Removes the folders that stood for others which are gone: nobody finds them any more. What cannot be removed stays, as
/// does what a server still runs in.
fn remove_orphans(temporary: &Path) {
    for entry in fs::read_dir(temporary).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_stand_in = name.to_string_lossy().starts_with(STAND_IN);
        let stand_in = entry.path();
        let stands_for = fs::read_link(stand_in.join(STANDS_FOR));
        let is_orphan = stands_for.is_ok_and(|dir| matches!(dir.try_exists(), Ok(false)));
        let runs = stand_in.join("data/postmaster.pid").exists();
        if is_stand_in && is_orphan && !runs {
            fs::remove_dir_all(&stand_in).ok();
        }
    }
}

fn find(users: &str, name: &str) -> Option<RunAs> {
    let line = users
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(RunAs {
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

/// Writes a file that nobody but its owner can read, and gives it to that user.
pub fn write_private(path: &Path, text: &str, owner: Option<&RunAs>) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    if let Some(owner) = owner {
        chown(path, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_folder_that_is_gone_goes_too() {
        let temporary = tempfile::tempdir().unwrap();
        let stand_in = |name: &str, dir: &Path| {
            let stand_in = temporary.path().join(format!("{STAND_IN}{name}"));
            fs::create_dir_all(stand_in.join("data")).unwrap();
            // The second one finds that the first one was quicker.
            note_stood_for(&stand_in, dir).unwrap();
            note_stood_for(&stand_in, dir).unwrap();
            stand_in
        };
        let gone = temporary.path().join("gone");
        let (orphan, runs) = (stand_in("orphan", &gone), stand_in("runs", &gone));
        File::create(runs.join("data/postmaster.pid")).unwrap();
        let known = stand_in("known", temporary.path());
        let other = temporary.path().join("other");
        fs::create_dir(&other).unwrap();
        symlink(&gone, other.join(STANDS_FOR)).unwrap();
        remove_orphans(temporary.path());
        assert!(!orphan.exists());
        assert!(runs.exists() && known.exists() && other.exists());
    }

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\npostgresql:x:7:7::/:\npostgres:x:104:111:PG,,,:/var:/bin/bash\n";
        let user = find(users, "postgres").unwrap();
        assert_eq!((user.uid, user.gid), (104, 111));
        assert!(find(users, "nobody").is_none());
    }
}
