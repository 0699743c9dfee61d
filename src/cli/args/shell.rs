//! What helps a person at a shell: completion, and the manual.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  jitney completions bash > ~/.local/share/bash-completion/completions/jitney
  jitney completions zsh > ~/.zfunc/_jitney
  jitney completions fish > ~/.config/fish/completions/jitney.fish

zsh looks where its fpath says: add `fpath+=~/.zfunc` to ~/.zshrc, before compinit.
For this shell alone: `source <(jitney completions bash)`. A new version of jitney may have new words: write it again.";

pub(super) const MAN_HELP: &str = "\
Examples:
  jitney man | man -l -
  jitney man lease revoke | man -l -
  jitney man --dir ~/.local/share/man/man1";

/// `jitney completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `jitney man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command whose page is printed, as `lease revoke` [default: the program's own]
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    pub of: Vec<String>,
    /// Write all pages, one for each command, into this folder, in place of printing the main one
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
