//! The cores without I/O, each as a call that can be made again and again, for instruments that count.

use std::sync::Arc;

use super::scene::{Failed, Question, Scene, set};
use super::token::{self, EXPECT};

pub const NAMES: [&str; 4] = ["mint_core", "verify_first", "verify_seen", "decide"];

/// A call; whether it came out as it must.
pub type Call = Box<dyn FnMut() -> bool>;

/// A core by its name, ready for so many calls.
pub fn core(name: &str, calls: usize) -> Result<Call, Failed> {
    match name {
        "mint_core" => mint_core(calls),
        "verify_first" => verify(0),
        "verify_seen" => verify(1000),
        "decide" => decide(),
        _ => Err(format!("there is no core {name}").into()),
    }
}

fn mint_core(calls: usize) -> Result<Call, Failed> {
    let (scene, question) = (Scene::new(10)?, Question::of(1)?);
    let mut ready = scene.witnessed(&question, calls)?;
    Ok(Box::new(move || ready.pop().is_some_and(|ready| scene.mint_core(&question, ready).is_ok())))
}

fn verify(seen: usize) -> Result<Call, Failed> {
    let scene = token::Scene::new()?;
    let checker = scene.checker(seen, &Arc::default());
    Ok(Box::new(move || checker.check(&scene.token, &EXPECT).is_ok()))
}

fn decide() -> Result<Call, Failed> {
    let (set, question) = (set(10)?, Question::of(1)?);
    Ok(Box::new(move || set.decide(&question.ask()).is_ok()))
}
