//! The only room that knows aya: load, attach, maps, reconcile.
