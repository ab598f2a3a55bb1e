//! Facts about this host: its interfaces, addresses, routes, resolvers and sessions.
#![forbid(unsafe_code)]
