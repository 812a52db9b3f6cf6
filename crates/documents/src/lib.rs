//! What commands find, as people and programs read it: JSON, tables and pages; and orders, as people write them.
//!
//! The crates that find it are those of peers and of users' programs, which draw no tables; so how it looks is here. Nothing
//! here prints.

pub mod blocks;
pub mod export;
pub mod fates;
pub mod gas;
pub mod orders;
pub mod peers;
pub mod proof_options;
pub mod races;
pub mod training;
pub mod training_orders;
pub mod training_page;
pub mod work;
