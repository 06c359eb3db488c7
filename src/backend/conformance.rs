//! What a backend must do to be accepted.
