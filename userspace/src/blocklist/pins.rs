//! The pinned folder: `<bpf_dir>/v<layout>/` for the maps, `<bpf_dir>/links/` for the links.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ravelin_common::{LAYOUT_VERSION, v1};
use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};
use rustix::process::geteuid;

use super::{BlocklistError, sys};

/// `BPF_FS_MAGIC` (magic.h).
const BPFFS: u32 = 0xcafe_4a11;
/// Where a BPF file system belongs.
const USUAL_MOUNT: &str = "/sys/fs/bpf";

/// The pinned folder, known to be on bpffs and ours.
pub(super) struct Pins {
    dir: PathBuf,
}

impl Pins {
    /// Makes the folders where they are missing, and mounts bpffs in its usual place where that is.
    pub(super) fn prepare(dir: &Path) -> Result<Self, BlocklistError> {
        if !on_bpffs(dir) {
            mount_bpffs(dir)?;
        }
        let pins = Self { dir: dir.to_owned() };
        pins.refuse_newer()?;
        for path in [dir, &pins.maps_dir(), &pins.links_dir()] {
            make_dir(path)?;
            refuse_untrusted(path)?;
        }
        Ok(pins)
    }

    /// What has been prepared before; nothing is made.
    pub(super) fn existing(dir: &Path) -> Result<Self, BlocklistError> {
        let pins = Self { dir: dir.to_owned() };
        pins.refuse_newer()?;
        let older = pins.layout_dir(v1::LAYOUT_VERSION);
        if on_bpffs(dir) && older.is_dir() {
            return Err(BlocklistError::OlderLayout { path: older });
        }
        if !on_bpffs(dir) || !pins.maps_dir().is_dir() {
            return Err(BlocklistError::NothingPinned { path: pins.maps_dir() });
        }
        for path in [dir, &pins.maps_dir(), &pins.links_dir()] {
            refuse_untrusted(path)?;
        }
        Ok(pins)
    }

    /// The folder as it is, unchecked.
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Where our maps are pinned.
    pub(super) fn maps_dir(&self) -> PathBuf {
        self.layout_dir(LAYOUT_VERSION)
    }

    /// Where the maps of a layout are pinned.
    pub(super) fn layout_dir(&self, version: u32) -> PathBuf {
        self.dir.join(format!("v{version}"))
    }

    fn links_dir(&self) -> PathBuf {
        self.dir.join("links")
    }

    /// Where a map is pinned.
    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.maps_dir().join(name)
    }

    /// Where an interface's link is pinned. bpffs takes no dots (`eth0.100`), so they are written as
    /// in URLs.
    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.links_dir().join(interface.replace('%', "%25").replace('.', "%2E"))
    }

    /// The interfaces that have a pinned link.
    pub(super) fn linked_interfaces(&self) -> Result<Vec<String>, BlocklistError> {
        let names = names(&self.links_dir())?;
        Ok(names.into_iter().map(|name| name.replace("%2E", ".").replace("%25", "%")).collect())
    }

    /// Takes the program off an interface and removes the link's pin; whether there was one.
    pub(super) fn detach(&self, interface: &str) -> Result<bool, BlocklistError> {
        let path = self.link(interface);
        match detach(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(BlocklistError::Pin { action: "remove", path, source }),
        }
    }

    /// Takes the program off all interfaces; which.
    pub(super) fn detach_all(&self) -> Result<Vec<String>, BlocklistError> {
        let mut detached = Vec::new();
        for interface in self.linked_interfaces()? {
            if self.detach(&interface)? {
                detached.push(interface);
            }
        }
        Ok(detached)
    }

    fn refuse_newer(&self) -> Result<(), BlocklistError> {
        let newer = names(&self.dir)?
            .into_iter()
            .filter_map(|name| name.strip_prefix('v')?.parse::<u64>().ok())
            .filter(|version| *version > u64::from(LAYOUT_VERSION))
            .max();
        match newer {
            Some(found) => Err(BlocklistError::NewerLayout {
                path: self.dir.join(format!("v{found}")),
                bpf_dir: self.dir.clone(),
                found,
                ours: LAYOUT_VERSION,
            }),
            None => Ok(()),
        }
    }
}

/// Detaches a pinned link at once, then removes the pin.
pub(super) fn detach(pin: &Path) -> io::Result<()> {
    let link = sys::open_pinned(pin)?;
    // What isn't a link, or has lost its interface, needs no detaching.
    if let Err(error) = sys::detach_link(link.as_fd())
        && !matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::ENOLINK))
    {
        return Err(error);
    }
    fs::remove_file(pin)
}

/// Names in a folder; none where there is no folder.
fn names(dir: &Path) -> Result<Vec<String>, BlocklistError> {
    let failed = |source| BlocklistError::Pin { action: "list", path: dir.to_owned(), source };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether `dir`, or where it would be made, is on bpffs.
pub(super) fn on_bpffs(dir: &Path) -> bool {
    dir.ancestors()
        .find(|ancestor| ancestor.exists())
        .and_then(|existing| statfs(existing).ok())
        // Its type is as wide as a word and often signed; the magic is the low 32 bits.
        .is_some_and(|stat| stat.f_type.to_le_bytes().starts_with(&BPFFS.to_le_bytes()))
}

/// Mounts bpffs where `dir` needs it, if that is its usual place.
fn mount_bpffs(dir: &Path) -> Result<(), BlocklistError> {
    let no_bpffs = |mount_point: &Path, source| BlocklistError::NoBpffs {
        bpf_dir: dir.to_owned(),
        mount_point: mount_point.to_owned(),
        source,
    };
    let usual = Path::new(USUAL_MOUNT);
    if !dir.starts_with(usual) {
        return Err(no_bpffs(dir.parent().unwrap_or(dir), None));
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("bpf", usual, "bpf", flags, c"mode=0700")
        .map_err(|error| no_bpffs(usual, Some(error.into())))
}

fn make_dir(path: &Path) -> Result<(), BlocklistError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| {
        BlocklistError::Pin { action: "make folder", path: path.to_owned(), source }
    })
}

/// bpffs's root is often writable for all (with the sticky bit): somebody could have been here first.
fn refuse_untrusted(path: &Path) -> Result<(), BlocklistError> {
    let metadata = fs::symlink_metadata(path).map_err(|source| BlocklistError::Pin {
        action: "look at",
        path: path.to_owned(),
        source,
    })?;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    let ours = owner == 0 || owner == geteuid().as_raw();
    if metadata.is_dir() && ours && mode & 0o022 == 0 {
        return Ok(());
    }
    Err(BlocklistError::Untrusted { path: path.to_owned(), owner, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dotted_interface_has_a_pin_without_dots() {
        let pins = Pins { dir: PathBuf::from("/x") };
        assert_eq!(pins.link("eth0.100"), Path::new("/x/links/eth0%2E100"));
        assert_eq!(pins.link("a%2Eb"), Path::new("/x/links/a%252Eb"));
    }

    #[test]
    fn newer_layouts_are_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let pins = Pins { dir: dir.path().to_owned() };
        fs::create_dir(dir.path().join("v1")).unwrap();
        fs::create_dir(dir.path().join("vx")).unwrap();
        pins.refuse_newer().unwrap();
        fs::create_dir(dir.path().join("v12")).unwrap();
        let error = pins.refuse_newer().unwrap_err().to_string();
        assert!(error.contains("v12") && error.contains("layout 12"), "{error}");
    }

    #[test]
    fn what_others_can_write_to_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        refuse_untrusted(dir.path()).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(refuse_untrusted(dir.path()).unwrap_err().to_string().contains("1777"));
    }
}
