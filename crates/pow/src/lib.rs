//! The SHA-256 puzzle: mining, racing and verification.
