//! BPF programs of a few instructions, for comparison, and any program run many times over: what bpf(2)
//! can do and aya can't without an object file.
#![expect(unsafe_code, reason = "bpf(2) takes pointers")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// Commands of `enum bpf_cmd` (linux/bpf.h).
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_LINK_CREATE: libc::c_long = 28;
/// Of `enum bpf_prog_type`.
const BPF_PROG_TYPE_XDP: u32 = 6;
/// Of `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

/// `r0 = XDP_PASS; exit`: what any program costs.
pub const PASS: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];

/// `r0 = XDP_DROP; exit`: what can't be beaten.
pub const DROP: [u64; 2] = [0x0000_0001_0000_00b7, 0x0000_0000_0000_0095];

/// The same, but having loaded the first byte of the source address, as whoever looks at packets has to:
/// where another core has written the packet that is most of the cost.
///
/// `r2 = data; r3 = data_end; r4 = r2 + 34; if r4 <= r3 { r0 = *(u8 *)(r2 + 26) }; r0 = XDP_DROP; exit`,
/// the byte kept on the stack.
pub const READ_AND_DROP: [u64; 9] = [
    0x0000_0000_0000_1261,
    0x0000_0000_0004_1361,
    0x0000_0000_0000_24bf,
    0x0000_0022_0000_0407,
    0x0000_0000_0002_342d,
    0x0000_0000_001a_2071,
    0x0000_0000_fff8_0a7b,
    0x0000_0001_0000_00b7,
    0x0000_0000_0000_0095,
];

/// Where a program is run: `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE` of linux/if_link.h.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Mode {
    /// By the stack, on socket buffers.
    Generic = 1 << 1,
    /// By the driver.
    Native = 1 << 2,
}

/// Of `union bpf_attr`, as far as needed: the kernel takes the rest for zeros.
#[repr(C)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
}

#[repr(C)]
#[derive(Default)]
struct TestRun {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    _padding: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads an XDP program.
///
/// # Errors
/// What the kernel says against it.
pub fn load_xdp(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut attr = Load {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        insns: instructions.as_ptr().addr() as u64,
        license: c"GPL".as_ptr().addr() as u64,
    };
    let fd = bpf(BPF_PROG_LOAD, &mut attr)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Runs an XDP program `repeat` times with the same frame: what it said the last time, and nanoseconds each.
///
/// # Errors
/// Where the kernel doesn't take the frame.
pub fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<(u32, u32)> {
    let mut attr = TestRun {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        data_size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        data_in: frame.as_ptr().addr() as u64,
        repeat,
        ..TestRun::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut attr)?;
    Ok((attr.retval, attr.duration))
}

/// Sends `count` frames through an XDP program, which may change and redirect them: frames as they come
/// from a driver, not a simulation.
///
/// # Errors
/// Where the kernel doesn't take the frame.
pub fn send(program: BorrowedFd<'_>, frame: &[u8], count: u32) -> io::Result<()> {
    let mut attr = TestRun {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        data_size_in: u32::try_from(frame.len()).map_err(io::Error::other)?,
        data_in: frame.as_ptr().addr() as u64,
        repeat: count,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        ..TestRun::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut attr).map(drop)
}

/// Attaches an XDP program to an interface of the calling thread's network namespace, until the link is
/// closed.
///
/// # Errors
/// Where the driver or the kernel refuses.
pub fn attach(program: BorrowedFd<'_>, ifindex: u32, mode: Mode) -> io::Result<OwnedFd> {
    let mut attr = LinkCreate {
        prog_fd: program.as_raw_fd().cast_unsigned(),
        target_ifindex: ifindex,
        attach_type: BPF_XDP,
        flags: mode as u32,
    };
    let fd = bpf(BPF_LINK_CREATE, &mut attr)?;
    // SAFETY: as in `load_xdp`.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bpf<A>(command: libc::c_long, attr: &mut A) -> io::Result<i32> {
    // SAFETY: `attr` is as large as we say; its pointers are to memory that the callers hold, of the sizes
    // that they state, and the kernel writes to `attr` alone.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<A>()) };
    match i32::try_from(result) {
        Ok(fd) if fd >= 0 => Ok(fd),
        _ => Err(io::Error::last_os_error()),
    }
}
