//@ error: E0277
//! A secret has no `Display`.
use kubestile_core::Secret;

pub fn print(secret: &Secret<String>) -> String {
    format!("{secret}")
}
