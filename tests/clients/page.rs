//! `docs/clients.md` shows what is run here, word for word, and names the versions that are pinned here.

use std::path::Path;

use crate::common::sources;

fn page() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md")).unwrap()
}

/// The parts of the programs between the two lines that mark them, with the names of the programs.
fn shown() -> Vec<(String, String)> {
    let files = std::fs::read_dir(sources()).unwrap().map(|entry| entry.unwrap().path());
    let programs = files.filter(|path| path.extension().is_some_and(|end| end == "mjs" || end == "py" || end == "cfg"));
    let cut = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, rest) =
            text.split_once(" shown in docs/clients.md\n").unwrap_or_else(|| panic!("{name} shows nothing"));
        let end = ["\n// end\n", "\n# end\n"].into_iter().find_map(|mark| rest.split_once(mark));
        (name, end.unwrap().0.trim().to_owned())
    };
    programs.map(cut).collect()
}

#[test]
fn the_page_shows_what_is_run() {
    let page = page();
    let blocks: Vec<_> = page.split("\n```").skip(1).step_by(2).collect();
    let blocks: Vec<_> = blocks.iter().map(|block| block.split_once('\n').unwrap().1.trim()).collect();
    let shown = shown();
    for (name, part) in &shown {
        assert!(blocks.contains(&part.as_str()), "docs/clients.md does not show {name} as it is");
        assert!(page.contains(&format!("(../tests/clients/{name})")), "docs/clients.md does not link {name}");
    }
    assert_eq!(blocks.len(), shown.len(), "docs/clients.md shows what is not run");
}

#[test]
fn the_page_names_the_versions_that_are_run() {
    let page = page();
    let read = |name: &str| std::fs::read_to_string(sources().join(name)).unwrap();
    let package: serde_json::Value = serde_json::from_str(&read("package.json")).unwrap();
    let mut named = 0;
    for (name, version) in package["dependencies"].as_object().unwrap() {
        let version = version.as_str().unwrap();
        assert!(page.contains(&format!("`{name}` {version}")), "docs/clients.md does not name {name} {version}");
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
    assert_eq!(named, versions, "docs/clients.md names another version than is pinned");
}
