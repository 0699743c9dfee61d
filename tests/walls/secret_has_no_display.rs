//! A secret does not end up in a text by accident.

use jitney::model::Secret;

fn told(secret: &Secret<String>) -> String {
    format!("the key is {secret}")
}

fn main() {}
