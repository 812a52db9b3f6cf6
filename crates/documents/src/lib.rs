//! What commands find, as people and programs read it: JSON, tables and pages.
//!
//! The crates that find it are those of peers and of users' programs, which draw no tables; so how it looks is here. Nothing
//! here prints.

pub mod gas;
