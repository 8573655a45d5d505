//! The walker, with a dialect that allows much.
