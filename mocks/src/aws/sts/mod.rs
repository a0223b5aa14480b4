//! STS: who is calling.
