//! Windows, sequences and scores: what many events mean together.
#![forbid(unsafe_code)]
