//! Agreement protocols as deterministic state machines without clock, socket or disk.
