//! Where in a line a client writes. The fuzz target `forgery` uses this file too.

/// Fields that hold what a client wrote.
pub(crate) const CHOSEN: [&str; 12] = [
    "user",
    "text",
    "recipient",
    "sender",
    "uri",
    "extension",
    "session",
    "callid",
    "account",
    "query",
    "zone",
    "database",
];
