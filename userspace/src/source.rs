//! Where lines come from: files, position and rotation.
#![forbid(unsafe_code)]
