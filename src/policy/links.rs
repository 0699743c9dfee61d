//! Links in the folder of a set: where they lie, and what must not be read through them.
//!
//! Owns telling them apart; never opens a file. A broker follows links, for Kubernetes mounts files by them. A review does not:
//! whoever proposes a change could have it read, and show, what lies elsewhere on the machine that looks at the change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::diagnostic::Diagnostic;

/// Folders within folders are looked into so far; what lies deeper is held against the file system itself.
const DEEPEST: usize = 16;
/// The link by which Kubernetes turns all files of a volume at once.
const MOUNTED: &str = "..data";

/// The links under a folder, by path relative to it; nothing is looked for behind them.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    dir: PathBuf,
    all: BTreeMap<PathBuf, Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Somebody put it there.
    Plain,
    /// One of those by which Kubernetes mounts a ConfigMap, and that leads where they do.
    Mount,
}

impl Links {
    /// Looks for them. What cannot be listed holds none that could be read through.
    pub fn of(dir: &Path) -> Self {
        let mut links = Self { dir: dir.to_owned(), all: BTreeMap::new() };
        let is_mounted = is_mounted(dir);
        links.enter(Path::new(""), 0, is_mounted);
        links
    }

    fn enter(&mut self, folder: &Path, depth: usize, is_mounted: bool) {
        for entry in fs::read_dir(self.dir.join(folder)).into_iter().flatten().flatten() {
            let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_symlink() {
                let is_mount = is_mounted && depth == 0 && (name == MOUNTED || leads_into_mount(&entry.path(), &path));
                self.all.insert(path, if is_mount { Kind::Mount } else { Kind::Plain });
            } else if kind.is_dir() && name != ".git" && depth < DEEPEST {
                self.enter(&path, depth + 1, is_mounted);
            }
        }
    }

    /// Whether what is read at `path`, relative to the folder, lies outside of it by a link, or nowhere.
    pub fn lead_out(&self, path: &Path) -> bool {
        let is_deep = path.components().count() > DEEPEST;
        let is_by_link = || path.ancestors().any(|part| self.all.contains_key(part));
        if !is_deep && (self.all.is_empty() || !is_by_link()) {
            return false;
        }
        let inside =
            fs::canonicalize(&self.dir).and_then(|dir| Ok(fs::canonicalize(self.dir.join(path))?.starts_with(dir)));
        !inside.unwrap_or(false)
    }

    /// Each link that somebody put there, with the mend; and one word on a mount.
    pub fn findings(&self) -> Vec<Diagnostic> {
        let plain = self.all.iter().filter(|(path, kind)| **kind == Kind::Plain && !is_lock(path));
        let plain = plain.map(|(path, _)| self.plain(path));
        let mount = self.all.get(Path::new(MOUNTED)).filter(|kind| **kind == Kind::Mount).map(|_| self.mount());
        plain.chain(mount).collect()
    }

    fn plain(&self, path: &Path) -> Diagnostic {
        let shown = self.dir.join(path).to_string_lossy().into_owned();
        let told = match self.lead_out(path) {
            true => format!("{shown} is a link that leads out of the folder, or nowhere: it was not read"),
            false => format!("{shown} is a link"),
        };
        let mend = "put the file itself there: what a link leads to is not what was reviewed, and `jitney policy diff` compares \
                    no link";
        Diagnostic::error("link", told).in_file(&shown).help(mend)
    }

    fn mount(&self) -> Diagnostic {
        let shown = self.dir.join(MOUNTED).to_string_lossy().into_owned();
        let told = format!("{} is mounted by Kubernetes, by links within it", self.dir.display());
        let mend = "a broker loads it so; check the files in the repository they come from, where they are reviewed";
        Diagnostic::warning("link", told).in_file(&shown).help(mend)
    }
}

/// Whether `..data` is there and leads to a folder beside it, as a kubelet lays a volume out.
fn is_mounted(dir: &Path) -> bool {
    let Ok(target) = fs::read_link(dir.join(MOUNTED)) else { return false };
    let mut parts = target.components();
    let is_beside = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    is_beside
        && target.to_string_lossy().starts_with("..")
        && fs::symlink_metadata(dir.join(target)).is_ok_and(|meta| meta.is_dir())
}

/// Whether the link leads to what is called the same in the mounted folder.
fn leads_into_mount(at: &Path, name: &Path) -> bool {
    fs::read_link(at).is_ok_and(|target| target == Path::new(MOUNTED).join(name))
}

/// A lock that Emacs leaves beside a file while somebody edits it: a link to nothing, which nobody commits.
fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".#"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn told(dir: &Path) -> Vec<String> {
        let all = Links::of(dir).findings();
        all.iter()
            .map(|each| format!("{} {}", each.severity.as_str(), each.message.replace(dir.to_str().unwrap(), ".")))
            .collect()
    }

    #[test]
    fn a_link_is_told_and_what_leaves_the_folder_is_known_through_others() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("real")).unwrap();
        fs::write(at("real/a.toml"), "").unwrap();
        fs::write(outside.path().join("secret.toml"), "").unwrap();
        assert_eq!(told(dir.path()), [""; 0]);
        symlink("real", at("workloads")).unwrap();
        symlink(outside.path().join("secret.toml"), at("real/b.toml")).unwrap();
        symlink("me@host.1", at(".#a.cedar")).unwrap();
        symlink("nowhere", at("x.cedar")).unwrap();
        let links = Links::of(dir.path());
        let out = |path: &str| links.lead_out(Path::new(path));
        assert!(!out("workloads/a.toml") && !out("real/a.toml") && !out("../shared/a.json"));
        assert!(out("workloads/b.toml") && out("real/b.toml") && out("x.cedar"));
        let away = "leads out of the folder, or nowhere: it was not read";
        assert_eq!(
            told(dir.path()),
            [
                format!("error ./real/b.toml is a link that {away}"),
                "error ./workloads is a link".into(),
                format!("error ./x.cedar is a link that {away}"),
            ]
        );
    }

    #[test]
    fn a_mount_is_one_warning_and_what_only_looks_like_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("..2026_1")).unwrap();
        fs::write(at("..2026_1/a.cedar"), "").unwrap();
        symlink("..2026_1", at("..data")).unwrap();
        symlink("..data/a.cedar", at("a.cedar")).unwrap();
        assert_eq!(told(dir.path()), ["warning . is mounted by Kubernetes, by links within it"]);
        symlink("..data/../../b.cedar", at("b.cedar")).unwrap();
        assert!(told(dir.path())[0].starts_with("error ./b.cedar is a link that leads out"));
        fs::remove_file(at("..data")).unwrap();
        symlink("/etc", at("..data")).unwrap();
        assert!(told(dir.path()).iter().all(|each| each.starts_with("error ")), "{:?}", told(dir.path()));
        assert_eq!(told(dir.path()).len(), 3);
    }
}
