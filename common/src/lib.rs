//! What the XDP program and the daemon agree on: the layout of the pinned maps (here), the
//! [`packet`] parsing that finds a frame's source, the [`scope`] of a port-scoped ban, the [`prefilter`] in front of the exact maps, and the
//! [`amendment`] of an entry where it lies.
//!
//! Everything in the layout is `#[repr(C)]`, without implicit padding, and asserted in size: the maps
//! outlive the daemon that made them, so a change of layout raises [`LAYOUT_VERSION`].
#![no_std]

pub mod amendment;
pub mod carry;
pub mod destination;
mod layout;
pub mod packet;
pub mod prefilter;
pub mod scope;
pub mod v1;

pub use self::layout::*;
