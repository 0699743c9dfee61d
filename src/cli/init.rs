//! `jitney init`: a folder to start from, with one workload, one audience and one policy, ready to be served.
//!
//! Owns which files there are and what is printed about them. Never touches a file that exists, never asks anybody, and
//! leaves nothing behind where it fails. The texts: [`draft`]; how the workload proves itself: [`platform`].

mod broker;
mod draft;
mod place;
mod platform;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use super::args::{InitArgs, Platform, joined};
use super::shell::quoted;
use super::{Failure, output};
use crate::model::Clock;
use draft::{Draft, EDIT, File};
use platform::Proof;

/// Writes the folder, and prints what to change and what to run.
///
/// # Errors
/// [`Failure`] where something is missing, is there already, or cannot be written.
pub fn run(args: &InitArgs) -> Result<ExitCode, Failure> {
    let proof = Proof::of(args)?;
    let draft = Draft {
        id: &args.workload,
        audience: &args.audience,
        scopes: joined(&args.scopes)
            .map_err(|error| Failure::usage(error.to_string(), "--scope orders:read, once for each"))?,
        owner: owner(args)?,
        broker: broker::of(args)?,
        proof: &proof,
        today: Clock::system().now(),
    };
    let dir = std::path::absolute(&args.dir).map_err(|error| {
        Failure::new(format!("{} is no folder's name: {error}", args.dir.display()), "name another")
    })?;
    let files = draft.files(&dir)?;
    place::write(&dir, &files)?;
    tell(args, &files, &next(args, &draft))?;
    Ok(ExitCode::SUCCESS)
}

/// Who answers for all of it: as given, else as git knows the person at the keyboard.
fn owner(args: &InitArgs) -> Result<String, Failure> {
    let owner = args.owner.clone().or_else(|| git_email(&args.dir)).unwrap_or_default();
    let owner = owner.trim();
    if owner.is_empty() {
        return Err(Failure::usage(
            "nobody is named who answers for the workload: git knows no user.email here",
            "add --owner you@example.com",
        ));
    }
    if owner.chars().any(char::is_control) {
        return Err(Failure::usage(
            "--owner holds a line break or another control character",
            "--owner you@example.com",
        ));
    }
    Ok(owner.to_owned())
}

/// `user.email` of git, in the nearest folder that exists; none where there is no git.
fn git_email(dir: &Path) -> Option<String> {
    let dir = std::path::absolute(dir).ok()?;
    let there = dir.ancestors().find(|each| each.is_dir())?;
    let mut git = Command::new("git");
    git.args(["config", "--get", "user.email"]).current_dir(there).stdin(Stdio::null()).stderr(Stdio::null());
    let output = git.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// Commands to paste, under what is said about where.
type Next = Vec<(String, Vec<String>)>;

fn next(args: &InitArgs, draft: &Draft<'_>) -> Next {
    let dir = quoted(&args.dir.display().to_string());
    let enter = (args.dir != Path::new(".")).then(|| format!("cd {dir}"));
    let with = |lines: &[String]| enter.iter().chain(lines).cloned().collect::<Vec<_>>();
    let asked = draft.asked();
    let serve = ["jitney policy check policies".to_owned(), "jitney serve --config jitney.toml".to_owned()];
    let mut next = vec![("In one terminal:".to_owned(), with(&serve))];
    if args.platform == Platform::Key {
        let task = format!("{}-1", draft.id);
        next.push((
            "In another:".to_owned(),
            with(&[
                ". ./workload.env".to_owned(),
                format!("jitney doctor {asked}"),
                format!("jitney token --task {task} {asked} > .jitney/token"),
                "jitney verify --token-file .jitney/token".to_owned(),
                format!("jitney complete --task {task}"),
            ]),
        ));
    } else {
        // The platform attests the task.
        let run = format!("jitney run {asked} -- ./your-command");
        let lines = draft.proof.setting(draft.broker.url()).into_iter().chain([run]).chain(draft.proof.steps());
        next.push((draft.proof.place.to_owned(), lines.collect()));
    }
    next
}

fn tell(args: &InitArgs, files: &[File], next: &Next) -> Result<(), Failure> {
    let at = |file: &File| args.dir.join(&file.path).display().to_string();
    let strong = |text: &str| output::line(output::paint(output::style::STRONG, text));
    strong("Written:")?;
    for file in files {
        output::line(format_args!("  {}", at(file)))?;
    }
    let marked: Vec<_> = files.iter().flat_map(|file| file.marked().map(move |line| (file, line))).collect();
    if !marked.is_empty() {
        strong(&format!("\nTo change, marked {EDIT}:"))?;
    }
    for (file, (line, what)) in marked {
        output::line(format_args!("  {}:{line}: {}", at(file), output::plain(what)))?;
    }
    for (place, lines) in next {
        strong(&format!("\n{place}"))?;
        lines.iter().try_for_each(|line| output::line(format_args!("  {line}")))?;
    }
    Ok(())
}
