//! `docs/clients.md` and `docs/feed.md` show what is run here, word for word, and name the versions that are pinned here.

use std::path::Path;

use crate::common::sources;

const PAGES: [&str; 2] = ["docs/clients.md", "docs/feed.md"];

fn page(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The page of each program, its name, and the part of it between the two lines that mark it.
fn shown() -> Vec<(&'static str, String, String)> {
    let files = std::fs::read_dir(sources()).unwrap().map(|entry| entry.unwrap().path());
    let programs = files.filter(|path| path.extension().is_some_and(|end| end == "mjs" || end == "py" || end == "cfg"));
    let cut = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let part = PAGES.iter().find_map(|page| Some((*page, text.split_once(&format!(" shown in {page}\n"))?.1)));
        let (page, rest) = part.unwrap_or_else(|| panic!("{name} shows nothing"));
        let end = ["\n// end\n", "\n# end\n"].into_iter().find_map(|mark| rest.split_once(mark));
        (page, name, end.unwrap().0.trim().to_owned())
    };
    programs.map(cut).collect()
}

#[test]
fn the_pages_show_what_is_run() {
    let shown = shown();
    for path in PAGES {
        let page = page(path);
        let blocks: Vec<_> = page.split("\n```").skip(1).step_by(2).collect();
        let blocks: Vec<_> = blocks.iter().map(|block| block.split_once('\n').unwrap().1.trim()).collect();
        let of_it: Vec<_> = shown.iter().filter(|(page, ..)| *page == path).collect();
        for (_, name, part) in &of_it {
            assert!(blocks.contains(&part.as_str()), "{path} does not show {name} as it is");
            assert!(page.contains(&format!("(../tests/clients/{name})")), "{path} does not link {name}");
        }
        assert_eq!(blocks.len(), of_it.len(), "{path} shows what is not run");
    }
}

#[test]
fn the_pages_name_the_versions_that_are_run() {
    let page = PAGES.map(page).concat();
    let read = |name: &str| std::fs::read_to_string(sources().join(name)).unwrap();
    let package: serde_json::Value = serde_json::from_str(&read("package.json")).unwrap();
    let mut named = 0;
    for (name, version) in package["dependencies"].as_object().unwrap() {
        let version = version.as_str().unwrap();
        assert!(page.contains(&format!("`{name}` {version}")), "no page names {name} {version}");
        named += 1;
    }
    for line in read("requirements.txt").lines() {
        let Some((name, version)) = line.split_once("==") else { continue };
        let version = version.split(' ').next().unwrap();
        named += usize::from(page.contains(&format!("`{name}` {version}")));
    }
    let version = |word: &&str| word.ends_with(',') || word.chars().all(|c| c.is_ascii_digit() || c == '.');
    let table = page.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split(' '));
    let versions = table.filter(version).filter(|word| word.contains('.')).count();
    assert_eq!(named, versions, "a page names another version than is pinned");
}
