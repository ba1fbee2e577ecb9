//! Replaces a file that others read: whoever could read the old one can read the new one, and nobody else.
//!
//! Knows owners, groups, modes, access control lists and mounts; not what is in the file.

use std::{
    fmt,
    fs::{File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{Gid, Uid, fchown};
use tempfile::NamedTempFile;

use super::{begun, directory, open, sweep, why};

/// Like [`super::replace`], for a file that may have other readers than its writer: the new one has the owner, the group,
/// the mode and the access control list of the one that was there. A new file is its owner's alone.
pub(crate) fn rewrite(path: &Path, bytes: &[u8]) -> Result<(), RewriteError> {
    new_file(path, bytes)?.persist(path).map_err(|error| not_renamed(error.error))?;
    Ok(File::open(directory(path))?.sync_all()?)
}

/// Proves that these bytes could take the place of a file, and leaves nothing behind, also nothing of a killed process.
pub(crate) fn try_rewrite(path: &Path, bytes: &[u8]) -> Result<(), RewriteError> {
    Ok(new_file(path, bytes)?.close()?)
}

/// A new file for a place, whole and on disk, which the readers of the old one may read.
fn new_file(path: &Path, bytes: &[u8]) -> Result<NamedTempFile, RewriteError> {
    if mount::is_of_its_own(path) {
        return Err(RewriteError::Mounted);
    }
    let access = Access::of(path)?;
    sweep(path);
    let mut file = begun(path).map_err(|error| {
        // A new file never is there: its directory is what is missing.
        if error.kind() == io::ErrorKind::NotFound {
            return RewriteError::NoDirectory { directory: directory(path).to_owned() };
        }
        RewriteError::Io(error)
    })?;
    file.write_all(bytes)?;
    if let Some(access) = access {
        access.give(file.as_file())?;
    }
    file.as_file().sync_all()?;
    Ok(file)
}

/// A kernel that does not tell mounts says so here.
fn not_renamed(error: io::Error) -> RewriteError {
    if error.kind() == io::ErrorKind::ResourceBusy { RewriteError::Mounted } else { RewriteError::Io(error) }
}

/// Who may do what with a file.
#[derive(Debug, PartialEq, Eq)]
struct Access {
    uid: u32,
    gid: u32,
    /// For the owner, the group and all others.
    mode: u32,
    /// As the system has it; none where the mode says everything.
    list: Option<Vec<u8>>,
}

/// The bits of a mode that say who may read, write and run a file.
const ACCESS_BITS: u32 = 0o777;

impl Access {
    /// That of the file in a place; none where there is no file.
    fn of(path: &Path) -> io::Result<Option<Self>> {
        match open(path) {
            Ok(file) => Self::of_file(&file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn of_file(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let mode = metadata.mode() & ACCESS_BITS;
        Ok(Self { uid: metadata.uid(), gid: metadata.gid(), mode, list: list::of(file)? })
    }

    /// Gives it to a new file, which until now its writer alone may read.
    ///
    /// The order matters: the group comes while it may do nothing yet, and a list that the directory hands down is gone
    /// before the mode puts it in force. So nobody may read the file at any time who could not read the old one.
    fn give(&self, file: &File) -> Result<(), RewriteError> {
        let now = Self::of_file(file)?;
        let not_kept = |kept| move |source| RewriteError::NotKept { kept, source };
        if now.gid != self.gid {
            let group = Some(Gid::from_raw(self.gid));
            fchown(file, None, group).map_err(|errno| not_kept(Kept::Group(self.gid))(errno.into()))?;
        }
        if now.list != self.list {
            list::give(file, self.list.as_deref()).map_err(not_kept(Kept::List))?;
        }
        // A list brings its mode along.
        if file.metadata()?.mode() & ACCESS_BITS != self.mode {
            file.set_permissions(Permissions::from_mode(self.mode)).map_err(not_kept(Kept::Mode(self.mode)))?;
        }
        if now.uid != self.uid {
            let owner = Some(Uid::from_raw(self.uid));
            fchown(file, owner, None).map_err(|errno| not_kept(Kept::Owner(self.uid))(errno.into()))?;
        }
        self.is_seen_on(file)
    }

    /// Some file systems say yes and change nothing.
    fn is_seen_on(&self, file: &File) -> Result<(), RewriteError> {
        let seen = Self::of_file(file)?;
        let differs = match () {
            () if seen.uid != self.uid => Some(Kept::Owner(self.uid)),
            () if seen.gid != self.gid => Some(Kept::Group(self.gid)),
            () if seen.list != self.list => Some(Kept::List),
            () if seen.mode != self.mode => Some(Kept::Mode(self.mode)),
            () => None,
        };
        differs.map_or(Ok(()), |kept| Err(RewriteError::NotKept { kept, source: io::ErrorKind::Unsupported.into() }))
    }
}

/// Why a file is not replaced by one that has the same readers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RewriteError {
    /// Nothing can take the place of what is mounted.
    #[error("it is mounted as a single file, and no other file can take its place")]
    Mounted,
    /// There is nothing to put it into.
    #[error("there is no directory `{}`", directory.display())]
    NoDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// Whoever reads it could not do so any more.
    #[error("its {kept} cannot be kept: {}", why(source))]
    NotKept {
        /// What would be lost.
        kept: Kept,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system said no.
    #[error("{}", why(.0))]
    Io(#[from] io::Error),
}

impl RewriteError {
    /// What to do next.
    pub(crate) fn next(&self) -> String {
        match self {
            Self::Mounted => "mount the directory that it is in, instead of the file alone".to_owned(),
            Self::NotKept { kept: Kept::Owner(uid), .. } => format!(
                "run this as the user {uid} or as root, or give the file to the user who runs it (`chown`): a new file that \
                 its readers cannot read would stop them"
            ),
            Self::NotKept { kept: Kept::Group(gid), .. } => format!(
                "run this as a member of the group {gid} or as root, or give the file a group of the user who runs it \
                 (`chgrp`): a new file that its readers cannot read would stop them"
            ),
            Self::NotKept { kept: Kept::Mode(_) | Kept::List, .. } => {
                "look at the file system that it is on and at how that is mounted, or keep the key in another place"
                    .to_owned()
            }
            Self::NoDirectory { .. } => "make the directory".to_owned(),
            Self::Io(_) => "look at the directory's owner, its permissions and the space on the disk".to_owned(),
        }
    }
}

/// What says who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Its owner, by number.
    Owner(u32),
    /// Its group, by number.
    Group(u32),
    /// Its mode.
    Mode(u32),
    /// Its access control list.
    List,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(uid) => write!(f, "owner (the user {uid})"),
            Self::Group(gid) => write!(f, "group ({gid})"),
            Self::Mode(mode) => write!(f, "mode ({mode:04o})"),
            Self::List => f.write_str("access control list"),
        }
    }
}

/// POSIX access control lists: beside the mode, they let single users and groups in.
#[cfg(target_os = "linux")]
mod list {
    use std::{fs::File, io};

    use rustix::{
        fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr},
        io::Errno,
    };

    /// Where the system keeps it.
    const NAME: &str = "system.posix_acl_access";
    /// The longest that Linux keeps, in bytes.
    const BYTES_MAX: usize = 64 * 1024;

    pub(super) fn of(file: &File) -> io::Result<Option<Vec<u8>>> {
        let mut list = vec![0; BYTES_MAX];
        match fgetxattr(file, NAME, list.as_mut_slice()) {
            Ok(length) => {
                list.truncate(length);
                Ok(Some(list))
            }
            // It has none, or its file system knows none.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn give(file: &File, list: Option<&[u8]>) -> io::Result<()> {
        Ok(match list {
            Some(list) => fsetxattr(file, NAME, list, XattrFlags::empty()),
            None => fremovexattr(file, NAME),
        }?)
    }
}

/// Elsewhere lists are not looked at.
#[cfg(not(target_os = "linux"))]
mod list {
    use std::{fs::File, io};

    pub(super) fn of(_: &File) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    pub(super) fn give(_: &File, _: Option<&[u8]>) -> io::Result<()> {
        Ok(())
    }
}

/// Files that are mounts of their own, as containers have them: they can be written, and not replaced.
#[cfg(target_os = "linux")]
mod mount {
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

    /// A kernel before 5.8 does not tell; then the rename finds out.
    pub(super) fn is_of_its_own(path: &Path) -> bool {
        let plainly = AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW;
        let seen = statx(CWD, path, plainly, StatxFlags::empty());
        seen.is_ok_and(|seen| (seen.stx_attributes_mask & seen.stx_attributes).contains(StatxAttributes::MOUNT_ROOT))
    }
}

/// Elsewhere the rename finds out.
#[cfg(not(target_os = "linux"))]
mod mount {
    use std::path::Path;

    pub(super) fn is_of_its_own(_: &Path) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
