//! What the XDP program and the daemon agree on: the layout of the pinned maps (here) and, in
//! [`packet`], the parsing that decides what a frame's source is.
//!
//! Everything here is `#[repr(C)]`, without implicit padding, and asserted in size: the maps outlive
//! the daemon that made them, so a change of layout raises [`LAYOUT_VERSION`].
#![no_std]

mod layout;

pub use self::layout::*;
