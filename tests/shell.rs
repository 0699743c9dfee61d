//! What helps at a shell: completion scripts that shells load, and manual pages that render without a warning.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn jitney(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_jitney")).args(words).output().unwrap()
}

/// What a command printed that went well and said nothing else.
#[track_caller]
fn printed(output: &Output) -> String {
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Runs a program on this input; none where the machine does not have it.
fn fed(program: &str, words: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{program}: {error}"),
    };
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    Some(output)
}

/// What bash completes the last of these words to, once it has loaded the script.
fn completed(script: &str, line: &str) -> Vec<String> {
    let asks = format!(
        "{script}
        words=({line} '')
        [[ '{line}' == *' ' ]] || unset 'words[-1]'
        COMP_WORDS=(\"${{words[@]}}\") COMP_CWORD=$((${{#words[@]}} - 1)) COMPREPLY=()
        handler=$(complete -p jitney) && [[ $handler =~ -F\\ ([^ ]+) ]] || exit 9
        \"${{BASH_REMATCH[1]}}\" jitney \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"
        printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = fed("bash", &["--norc", "--noprofile", "-s"], &asks).unwrap();
    printed(&output).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    let script = printed(&jitney(&["completions", "bash"]));
    assert_eq!(completed(&script, "jitney comp"), ["complete", "completions"]);
    assert_eq!(completed(&script, "jitney workload qua"), ["quarantine"]);
    assert_eq!(completed(&script, "jitney lease revoke --dry"), ["--dry-run"]);
    assert_eq!(completed(&script, "jitney lease list --state "), ["live", "ended"]);
    assert_eq!(completed(&script, "jitney completions z"), ["zsh"]);
    let all = completed(&script, "jitney ");
    for command in ["serve", "token", "lease", "policy", "man"] {
        assert!(all.iter().any(|each| each == command), "{command}: {all:?}");
    }
}

#[test]
fn other_shells_can_read_theirs() {
    for (shell, check, mark) in [
        ("zsh", &["-n"][..], "#compdef jitney"),
        ("fish", &["--no-execute"][..], "complete -c jitney"),
        ("elvish", &[][..], "edit:completion:arg-completer[jitney]"),
        ("powershell", &[][..], "Register-ArgumentCompleter"),
    ] {
        let script = printed(&jitney(&["completions", shell]));
        assert!(script.contains(mark) && script.contains("quarantine") && script.contains("dry-run"), "{shell}");
        if check.is_empty() {
            continue;
        }
        if let Some(output) = fed(shell, check, &script) {
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn completion_for_no_shell_is_wrong_usage() {
    let output = jitney(&["completions", "tcsh"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("bash") && said.contains("fish"), "{said}");
}

#[test]
fn every_command_has_a_page_that_says_what_its_help_says() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("man/man1");
    let told = printed(&jitney(&["man", "--dir", dir.to_str().unwrap()]));
    let commands = commands(&mut Vec::new());
    assert_eq!(told, format!("{} pages written to {}\n", commands.len(), dir.display()));
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), commands.len());
    for words in &commands {
        let mut name = vec!["jitney"];
        name.extend(words.iter().map(String::as_str));
        let page = std::fs::read_to_string(dir.join(format!("{}.1", name.join("-")))).unwrap();
        assert!(page.is_ascii() && page.matches(".ds Aq").count() == 2, "{name:?}");
        let text = page.replace('\\', "");
        for part in [".SH NAME", ".SH SYNOPSIS", ".SH EXAMPLES\n.PP\n.nf\njitney "] {
            assert!(text.contains(part), "{name:?} has no {part}: {text}");
        }
        assert_eq!(text.contains(".SH \"SEE ALSO\""), !words.is_empty(), "{name:?}");
        assert!(!text.contains("help(1)"), "{name:?}: there is no such page");
    }
    // Once more they are the same; what a link of a page's name leads to stays as it is.
    let (mine, main) = (tmp.path().join("mine"), dir.join("jitney.1"));
    std::fs::write(&mine, "mine").unwrap();
    std::fs::remove_file(&main).unwrap();
    std::os::unix::fs::symlink(&mine, &main).unwrap();
    printed(&jitney(&["man", "--dir", dir.to_str().unwrap()]));
    assert_eq!(std::fs::read_to_string(&mine).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), commands.len());
    let main = std::fs::read_to_string(main).unwrap();
    assert_eq!(printed(&jitney(&["man"])), main);
    let of_revoke = std::fs::read_to_string(dir.join("jitney-lease-revoke.1")).unwrap();
    assert_eq!(printed(&jitney(&["man", "lease", "revoke"])), of_revoke);
    let misspelt = jitney(&["man", "lease", "revok"]);
    let said = String::from_utf8_lossy(&misspelt.stderr).into_owned();
    assert!(misspelt.status.code() == Some(2) && said.contains("did you mean `revoke`?"), "{said}");
    for page in std::fs::read_dir(&dir).unwrap() {
        renders(&page.unwrap().path());
    }
}

/// All commands there are, by their words, as `--help` lists them.
fn commands(above: &mut Vec<String>) -> Vec<Vec<String>> {
    let mut all = vec![above.clone()];
    let words: Vec<&str> = above.iter().map(String::as_str).chain(["--help"]).collect();
    let help = printed(&jitney(&words));
    let listed = help.split_once("Commands:\n").map_or("", |(_, rest)| rest);
    let rows = listed.lines().take_while(|line| line.starts_with("  "));
    let names = rows.filter(|row| !row.starts_with("   ")).filter_map(|row| row.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        above.push(name.to_owned());
        all.extend(commands(above));
        above.pop();
    }
    all
}

/// Has groff, where there is one, set a page: with all its warnings, of which there must be none.
fn renders(page: &Path) {
    let text = std::fs::read_to_string(page).unwrap();
    if let Some(output) = fed("groff", &["-man", "-ww", "-Tutf8"], &text) {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", page.display());
        assert!(String::from_utf8_lossy(&output.stdout).contains("jitney"), "{}", page.display());
    }
}

#[test]
fn pages_that_cannot_be_written_are_an_error_with_a_next_step() {
    let output = jitney(&["man", "--dir", "/dev/null/man"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("error: the pages cannot be written to /dev/null/man") && said.contains("next: "), "{said}");
}
