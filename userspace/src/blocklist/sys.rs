//! What bpf(2) and mmap(2) can do and aya can't: whole batches of a hash map, what a link is on, a map's
//! memory. The only unsafe code of the daemon.
#![expect(unsafe_code, reason = "aya 0.14 has none of this (aya-rs/aya#1124 for batches)")]

use std::ffi::CString;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;

use aya::Pod;
use aya::maps::{IterableMap, MapData};
use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_link_info, bpf_link_type};
use ravelin_common::prefilter;

/// What the kernel tells about a pinned XDP link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct XdpLinkInfo {
    /// The interface it is on; 0 once that is gone.
    pub(super) ifindex: u32,
    /// The program in it.
    pub(super) program_id: u32,
}

/// Opens a pinned object.
pub(super) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    // SAFETY: writing to a union's field of plain integers.
    let object = unsafe { &mut attr.__bindgen_anon_4 };
    object.pathname = path.as_ptr().addr() as u64;
    let fd = bpf(bpf_cmd::BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel has just given us this descriptor (close-on-exec), and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What a link is; `None` where it isn't an XDP link.
pub(super) fn xdp_link_info(link: BorrowedFd<'_>) -> io::Result<Option<XdpLinkInfo>> {
    let info = link_info(link)?;
    if info.type_ != bpf_link_type::BPF_LINK_TYPE_XDP as u32 {
        return Ok(None);
    }
    // SAFETY: the kernel fills this field of the union for this type of link.
    let ifindex = unsafe { info.__bindgen_anon_1.xdp.ifindex };
    Ok(Some(XdpLinkInfo { ifindex, program_id: info.prog_id }))
}

/// What a link of an extension (or of tracing) is: its program, and the program that it extends; `None` for
/// other links.
pub(super) fn extension_target(link: BorrowedFd<'_>) -> io::Result<Option<(u32, u32)>> {
    let info = link_info(link)?;
    if info.type_ != bpf_link_type::BPF_LINK_TYPE_TRACING as u32 {
        return Ok(None);
    }
    // SAFETY: the kernel fills this field of the union for this type of link.
    let target = unsafe { info.__bindgen_anon_1.tracing.target_obj_id };
    Ok(Some((info.prog_id, target)))
}

/// The first link whose id is above `id`.
pub(super) fn next_link(id: u32) -> io::Result<Option<u32>> {
    let mut attr = zeroed();
    // SAFETY: writing to unions' fields of plain integers.
    let request = unsafe { &mut attr.__bindgen_anon_6 };
    request.__bindgen_anon_1.start_id = id;
    match bpf(bpf_cmd::BPF_LINK_GET_NEXT_ID, &mut attr) {
        // SAFETY: as written above; the kernel has filled it in.
        Ok(_) => Ok(Some(unsafe { attr.__bindgen_anon_6.next_id })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the kernel's clock is kept right by somebody (adjtimex(2)).
pub(super) fn clock_is_synchronised() -> io::Result<bool> {
    // SAFETY: all zeros is a value of this struct of integers, and asks without setting anything.
    let mut clock: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to the struct that we own, and nowhere else.
    match unsafe { libc::adjtimex(&raw mut clock) } {
        -1 => Err(io::Error::last_os_error()),
        state => Ok(state != libc::TIME_ERROR && clock.status & libc::STA_UNSYNC == 0),
    }
}

/// Opens a link by its id; `None` where it is gone.
pub(super) fn open_link(id: u32) -> io::Result<Option<OwnedFd>> {
    let mut attr = zeroed();
    // SAFETY: writing to unions' fields of plain integers.
    let request = unsafe { &mut attr.__bindgen_anon_6 };
    request.__bindgen_anon_1.link_id = id;
    match bpf(bpf_cmd::BPF_LINK_GET_FD_BY_ID, &mut attr) {
        // SAFETY: the kernel has just given us this descriptor (close-on-exec), and nobody else has it.
        Ok(fd) => Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn link_info(link: BorrowedFd<'_>) -> io::Result<bpf_link_info> {
    // SAFETY: plain integers and unions of such; all zeros is a valid value.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attr = zeroed();
    // SAFETY: writing to a union's field of plain integers.
    let request = unsafe { &mut attr.info };
    request.bpf_fd = raw(link);
    request.info_len = u32::try_from(size_of::<bpf_link_info>()).unwrap_or(0);
    request.info = (&raw mut info).addr() as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// Takes a link off its interface at once; its pin remains, empty. (Removing the last pin detaches too,
/// but some time later.)
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = zeroed();
    attr.link_detach.link_fd = raw(link);
    bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr).map(drop)
}

/// Waits until every CPU has left what it was doing in the kernel: a program that was replaced before
/// has seen its last packet.
pub(super) fn wait_for_grace_period() {
    /// `MEMBARRIER_CMD_GLOBAL` (membarrier.h): `synchronize_rcu` with another name.
    const GLOBAL: libc::c_long = 1;
    // SAFETY: takes no pointers.
    if unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) } != 0 {
        // With nohz_full CPUs it is refused. No driver keeps a program in hand for so long.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Reads a hash map, a batch at a time.
///
/// What is there all along is read once; nothing is said of what comes or goes meanwhile.
pub(super) struct Scan<'m, K, V> {
    map: &'m MapData,
    keys: Vec<K>,
    values: Vec<V>,
    /// The kernel's bookmark: a bucket's number.
    position: Option<u32>,
    done: bool,
}

impl<'m, K: Pod, V: Pod> Scan<'m, K, V> {
    /// Begins.
    pub(super) fn of(map: &'m impl IterableMap<K, V>) -> Self {
        Self { map: map.map(), keys: Vec::new(), values: Vec::new(), position: None, done: false }
    }

    /// The next batch; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<impl Iterator<Item = (K, V)>>> {
        // The kernel gives whole buckets: 1,000 entries are hundreds of them.
        let mut room: u16 = 1_000;
        while !self.done {
            self.keys.clear();
            self.values.clear();
            self.keys.reserve(room.into());
            self.values.reserve(room.into());
            let mut next = 0_u32;
            let mut attr = zeroed();
            // SAFETY: writing to a union's field of plain integers.
            let batch = unsafe { &mut attr.batch };
            batch.in_batch =
                self.position.as_ref().map_or(0, |position| ptr::from_ref(position).addr() as u64);
            batch.out_batch = (&raw mut next).addr() as u64;
            batch.keys = self.keys.as_mut_ptr().addr() as u64;
            batch.values = self.values.as_mut_ptr().addr() as u64;
            batch.count = room.into();
            batch.map_fd = raw(self.map.fd().as_fd());
            let result = bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr);
            match result {
                Ok(_) => self.position = Some(next),
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => self.done = true,
                // A bucket alone is fuller than that.
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < u16::MAX => {
                    room = room.saturating_mul(4);
                    continue;
                }
                Err(error) => return Err(error),
            }
            // SAFETY: as written above; the kernel says how many it filled in.
            let count = (unsafe { attr.batch.count } as usize).min(room.into());
            // SAFETY: the kernel has filled in `count` keys of this size, for which there was room, and
            // `Pod` takes any bytes.
            unsafe { self.keys.set_len(count) };
            // SAFETY: likewise for values.
            unsafe { self.values.set_len(count) };
            if count > 0 {
                return Ok(Some(self.keys.iter().copied().zip(self.values.iter().copied())));
            }
        }
        Ok(None)
    }
}

/// Writes entries to a hash map in one call; on an error says how many came in before.
pub(super) fn update_batch<K: Pod, V: Pod>(
    map: &impl IterableMap<K, V>,
    keys: &[K],
    values: &[V],
) -> Result<(), (usize, io::Error)> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut attr = zeroed();
    // SAFETY: writing to a union's field of plain integers.
    let batch = unsafe { &mut attr.batch };
    batch.keys = keys.as_ptr().addr() as u64;
    batch.values = values.as_ptr().addr() as u64;
    batch.count = u32::try_from(keys.len().min(values.len())).unwrap_or(u32::MAX);
    batch.map_fd = raw(map.map().fd().as_fd());
    bpf(bpf_cmd::BPF_MAP_UPDATE_BATCH, &mut attr).map(drop).map_err(|error| {
        // SAFETY: as written above; the kernel says how many it took.
        let done = unsafe { attr.batch.count } as usize;
        // Refused before the first, the count is what we wrote.
        (if done >= keys.len() { 0 } else { done }, error)
    })
}

/// The words of the prefilter, in the kernel's memory.
pub(super) struct PrefilterWords {
    start: NonNull<AtomicU64>,
    _owned: PhantomData<[AtomicU64]>,
}

const PREFILTER_BYTES: usize = prefilter::WORDS as usize * size_of::<AtomicU64>();

impl PrefilterWords {
    /// Maps them. `map` is an array of [`prefilter::WORDS`] `u64`, made `BPF_F_MMAPABLE`.
    pub(super) fn map(map: &MapData) -> io::Result<Self> {
        // SAFETY: a new mapping at a place the kernel chooses touches no memory of ours.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                PREFILTER_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, _owned: PhantomData })
    }

    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped for as long as `self` lives, page-aligned, `WORDS` words long; the kernel refuses
        // to map more than the map has. The program only reads it, and other writers use atomics as well.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), prefilter::WORDS as usize) }
    }
}

impl Drop for PrefilterWords {
    fn drop(&mut self) {
        // SAFETY: what `map` mapped, unmapped once; no borrow of it outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), PREFILTER_BYTES) };
    }
}

// SAFETY: it owns its mapping, and all access is atomic.
unsafe impl Send for PrefilterWords {}

fn zeroed() -> bpf_attr {
    // SAFETY: a union of plain integers; the kernel asks for zeros in what isn't used.
    unsafe { std::mem::zeroed() }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// bpf(2); its result is a descriptor for commands that open something.
fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<i32> {
    loop {
        // SAFETY: `attr` is as large as we say, and each caller's pointers in it are to memory that lives
        // until this returns, is as large as the kernel is told, and is written only where exclusive.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command as libc::c_long,
                ptr::from_mut(attr),
                size_of::<bpf_attr>(),
            )
        };
        if result >= 0 {
            return Ok(i32::try_from(result).unwrap_or(i32::MAX));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
