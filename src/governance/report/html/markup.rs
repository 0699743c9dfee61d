//! Text and markup, told apart by type: what is raw is known when jitney is built, and all else is escaped.

use std::fmt::Write as _;

use crate::model::is_hidden;

/// HTML as it is written.
#[derive(Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Markup, as it stands. It can be nothing that came from outside: that has no `'static` life.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text, in an element or between double quotes.
    pub fn text(&mut self, words: &str) -> &mut Self {
        words.chars().for_each(|c| self.put(c));
        self
    }

    /// The same; what stands between two backticks is set as code.
    pub fn ticked(&mut self, words: &str) -> &mut Self {
        let parts: Vec<&str> = words.split('`').collect();
        // One without its twin is a character like any other.
        let twins = (parts.len() - 1) / 2 * 2;
        for (at, part) in parts.iter().enumerate() {
            match at % 2 {
                _ if at > twins => self.text("`").text(part),
                1 => self.raw("<code>").text(part).raw("</code>"),
                _ => self.text(part),
            };
        }
        self
    }

    /// The same with its line ends kept, for `pre`.
    pub fn lines(&mut self, words: &str) -> &mut Self {
        for c in words.chars() {
            if matches!(c, '\n' | '\t') { self.0.push(c) } else { self.put(c) }
        }
        self
    }

    /// A number, for an attribute of a drawing.
    pub fn number(&mut self, number: f64) -> &mut Self {
        // Writing into a string cannot fail.
        let _ = write!(self.0, "{:.1}", if number.is_finite() { number } else { 0.0 });
        self
    }

    pub fn finish(self) -> String {
        self.0
    }

    fn put(&mut self, c: char) {
        match c {
            '&' => self.0.push_str("&amp;"),
            '<' => self.0.push_str("&lt;"),
            '>' => self.0.push_str("&gt;"),
            '"' => self.0.push_str("&quot;"),
            '\'' => self.0.push_str("&#39;"),
            // Shown rather than obeyed: they could turn the line around, or hide what stands there.
            c if is_hidden(c) => {
                let _ = write!(self.0, "\\u{{{:x}}}", u32::from(c));
            }
            c => self.0.push(c),
        }
    }
}
