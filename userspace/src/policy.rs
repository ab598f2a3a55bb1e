//! May we, and how long: whose address, allow list, proof, expiry and escalation.
#![forbid(unsafe_code)]
