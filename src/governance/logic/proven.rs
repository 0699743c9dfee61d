//! What a solver has proven before, by a hash of the whole question: nobody asks twice what has not changed.
//!
//! Only proofs are kept, a line each. A file that cannot be read or written costs time and nothing else; who can write it can
//! make a check believe what is not so, as who can write the program can.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use crate::prove::Texts;

/// The proofs known.
#[derive(Debug, Default)]
pub struct Proven {
    path: Option<PathBuf>,
    known: BTreeSet<String>,
}

impl Proven {
    /// Those of a file.
    pub fn of(path: Option<&Path>) -> Self {
        let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        Self { path: path.map(Path::to_owned), known: text.lines().map(str::to_owned).collect() }
    }

    /// The name of a question: another program, schema or condition is another one.
    pub fn name(schema: &str, head: &Texts, base: &Texts) -> String {
        let mut hash = Context::new(&SHA256);
        let mut add = |part: &str| {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        };
        add(env!("CARGO_PKG_VERSION"));
        add(schema);
        for side in [head, base] {
            for parts in [&side.permits, &side.forbids, &side.firm] {
                add(&parts.len().to_string());
                parts.iter().for_each(|part| add(part));
            }
        }
        hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether it is proven that HEAD allows no more.
    pub fn holds(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Keeps a proof.
    pub fn keep(&mut self, name: String) {
        if let Some(path) = &self.path {
            let file = OpenOptions::new().create(true).append(true).open(path);
            // Told nowhere: the next check proves it again.
            drop(file.and_then(|mut file| file.write_all(format!("{name}\n").as_bytes())));
        }
        self.known.insert(name);
    }
}
