//! What a Go binary is, from its bytes alone.
