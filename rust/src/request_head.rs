//! request_head
