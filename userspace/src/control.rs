//! The control socket: server, client, wire types.
#![forbid(unsafe_code)]
