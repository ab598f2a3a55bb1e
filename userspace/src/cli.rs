//! The command line, a file per command.
#![forbid(unsafe_code)]
