//! Other kernels: a virtual machine that boots one, with a test in place of an init system.
//!
//! It has two virtio network cards on one wire, and nothing else: no disk, no services, no way out. QEMU
//! emulates the processor; that is slow, and all waiting here is generous.

pub mod guest;
mod initramfs;
mod kernel;
mod machine;

pub use self::kernel::Kernel;
pub use self::machine::{Boot, is_possible, run};
