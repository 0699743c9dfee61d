//! One loaded set of workloads, audiences and policies: whole and valid, or not there at all.
//!
//! Owns the order of loading and the checks that need more than one file. Never changes once it is made.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use cedar_policy::{EntityUid, PolicyId};
use cedar_policy_core::ast::EntityUIDEntry;

use super::catalogue::scopes::{ScopeIx, ScopeTable};
use super::catalogue::{Audience, Workload, audience, workload};
use super::depth;
use super::diagnostic::{Diagnostic, Diagnostics, Severity, SourceFile};
use super::issuers::{Issuer, Issuers};
use super::links::Links;
use super::names;
use super::rule::{self, Rule};
use super::schema::Words;
use super::slice::{RuleIx, Slices};
use super::sources::{Sources, Stamps};
use super::world::{Principal, ScopeEntry, Target, World, entry, number_scopes, uid};
use crate::model::{Clock, UnixTime};

/// The workloads, the audiences, and what may be granted.
pub struct PolicySet {
    digest: Arc<str>,
    /// What it was made from, by path.
    files: BTreeMap<String, SourceFile>,
    mint: EntityUid,
    mint_entry: EntityUIDEntry,
    principals: Vec<Principal>,
    by_workload: HashMap<Arc<str>, usize>,
    targets: Vec<Target>,
    by_audience: HashMap<Arc<str>, usize>,
    scopes: Vec<ScopeEntry>,
    rules: Vec<Rule>,
    by_policy: HashMap<PolicyId, RuleIx>,
    world: World,
    slices: Slices,
    issuers: Issuers,
}

/// A set, and what somebody should look at.
pub type Loaded = Result<(PolicySet, Vec<Diagnostic>), Diagnostics>;

impl PolicySet {
    /// Loads the set under `dir`; the warnings are those of the system's clock's now.
    ///
    /// # Errors
    /// Everything that is wrong in it: one error anywhere, and nothing is loaded.
    pub fn load(dir: &Path) -> Loaded {
        Self::load_at(dir, Clock::system().now())
    }

    /// The same, with the warnings of `now`.
    ///
    /// # Errors
    /// As [`PolicySet::load`].
    pub fn load_at(dir: &Path, now: UnixTime) -> Loaded {
        Self::load_stamped(dir, now).0
    }

    /// The same from memory: `(path, text)` pairs as they would lie in a directory.
    ///
    /// # Errors
    /// As [`PolicySet::load`].
    pub fn from_sources<P: Into<String>, T: Into<Arc<str>>>(
        files: impl IntoIterator<Item = (P, T)>,
        now: UnixTime,
    ) -> Loaded {
        Self::build_with_room(&mut Sources::memory(files), Vec::new(), now)
    }

    /// Loads, and says what was looked at, in either case.
    pub(super) fn load_stamped(dir: &Path, now: UnixTime) -> (Loaded, Stamps) {
        let (loaded, sources) = Self::load_sources(dir, None, now);
        (loaded, sources.into_stamps())
    }

    /// Loads, and gives the files that were read, in either case; through which `links` nothing is read, where they are given.
    pub(super) fn load_sources(dir: &Path, links: Option<&Links>, now: UnixTime) -> (Loaded, Sources) {
        let (mut sources, findings) = Sources::directory(dir, links);
        let mut loaded = Self::build_with_room(&mut sources, findings, now);
        let (found, is_cut_short) = match &mut loaded {
            Ok((_, warnings)) => (warnings, false),
            Err(Diagnostics(findings)) => (findings, true),
        };
        sources.conceal(found);
        found.extend(sources.strays(is_cut_short));
        (loaded, sources)
    }

    /// Loads the set that these files make, as if they had been read under `dir`.
    pub(super) fn load_files(dir: &Path, files: impl IntoIterator<Item = (String, String)>, now: UnixTime) -> Loaded {
        Self::build_with_room(&mut Sources::as_read(dir, files), Vec::new(), now)
    }

    /// The files it was made from: path below its folder, and text.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, file)| (path.as_str(), &*file.text))
    }

    pub(crate) const fn files(&self) -> &BTreeMap<String, SourceFile> {
        &self.files
    }

    /// The workload called `id`.
    pub fn workload(&self, id: &str) -> Option<&Arc<Workload>> {
        self.principal(id).map(|(_, principal)| &principal.workload)
    }

    /// All workloads, by name.
    pub fn workloads(&self) -> impl ExactSizeIterator<Item = &Arc<Workload>> {
        self.principals.iter().map(|principal| &principal.workload)
    }

    /// The audience that `uri` means; a path of `/` equals none.
    pub fn audience(&self, uri: &str) -> Option<&Arc<Audience>> {
        self.target(uri).map(|target| &target.audience)
    }

    /// All audiences, by URI.
    pub fn audiences(&self) -> impl ExactSizeIterator<Item = &Arc<Audience>> {
        self.targets.iter().map(|target| &target.audience)
    }

    /// The platform whose tokens say `iss`, where somebody here proves itself by them.
    pub fn issuer(&self, iss: &str) -> Option<&Issuer> {
        self.issuers.get(iss)
    }

    /// All platforms whose tokens prove somebody here, in no order.
    pub fn issuers(&self) -> impl Iterator<Item = &Issuer> {
        self.issuers.iter()
    }

    /// Whether some identity here takes tokens with this `aud` besides the broker's issuer.
    pub fn names_audience(&self, aud: &str) -> bool {
        self.issuers.names_audience(aud)
    }

    /// How many policies there are.
    pub fn policy_count(&self) -> usize {
        self.rules.len()
    }

    /// Hex SHA-256 over every file's path and content: brokers with the same digest decide alike.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The same, for whoever keeps it.
    pub(crate) const fn shared_digest(&self) -> &Arc<str> {
        &self.digest
    }

    /// Every claim that some identity keeps.
    pub(super) fn kept(&self) -> std::collections::BTreeSet<&str> {
        self.issuers.kept()
    }

    fn build_with_room(sources: &mut Sources, findings: Vec<Diagnostic>, now: UnixTime) -> Loaded {
        depth::with_room(|| Self::build(sources, findings, now))
            .unwrap_or_else(|error| Err(Diagnostic::error("load", error.to_string()).into()))
    }

    fn build(sources: &mut Sources, mut findings: Vec<Diagnostic>, now: UnixTime) -> Loaded {
        let shared = Words::shared()?;
        let principals = read_workloads(shared, sources, now, &mut findings);
        let targets = read_audiences(shared, sources, &mut findings);
        let issuers = Issuers::of(
            principals.iter().map(|principal| &principal.workload),
            targets.iter().map(|target| &target.audience),
        );
        let wider = shared.keeping(&issuers.kept())?;
        let words = wider.as_ref().unwrap_or(shared);
        let files: Vec<SourceFile> = sources.of_kind("", ".cedar").into_iter().map(|(_, file)| file).collect();
        let rules = rule::read(&files, words, &mut findings);
        for (_, file) in sources.of_kind("", ".cedarschema") {
            words.compare(&file, &mut findings);
        }
        let scopes = number_scopes(words, &targets);
        let is_error = |finding: &Diagnostic| finding.severity == Severity::Error;
        let catalogue_is_whole = !findings.iter().any(|finding| is_error(finding) && finding.file.ends_with(".toml"));
        let named = names::check(words, &principals, &targets, &rules, &mut findings);
        if findings.iter().any(is_error) {
            // What a broken file should have declared is not missing: that policies name it needs no mend.
            findings.retain(|finding| catalogue_is_whole || is_error(finding) || finding.code != names::UNKNOWN);
            return Err(Diagnostics(findings));
        }
        let world = World::new(words, &principals, &targets, &scopes, &named)?;
        let slices = Slices::cut(&rules, &principals, &targets, &scopes)?;
        let set = Self {
            digest: sources.digest().into(),
            files: sources.files().clone(),
            by_workload: (0..).zip(&principals).map(|(at, each)| (each.workload.id.as_str().into(), at)).collect(),
            by_audience: (0..).zip(&targets).map(|(at, each)| (each.audience.id.as_str().into(), at)).collect(),
            by_policy: (0..).zip(&rules).map(|(at, rule)| (rule.policy.id().clone(), at)).collect(),
            mint: words.mint.clone(),
            mint_entry: entry(&words.mint),
            principals,
            targets,
            scopes,
            rules,
            world,
            slices,
            issuers,
        };
        Ok((set, findings))
    }

    pub(super) fn principal(&self, id: &str) -> Option<(usize, &Principal)> {
        self.by_workload.get(id).map(|at| (*at, &self.principals[*at]))
    }

    pub(super) fn target(&self, uri: &str) -> Option<&Target> {
        let exact = self.by_audience.get(uri);
        // The other spelling with or without the slash is tried only where it means the same (RFC 3986 §6.2.3).
        let at = exact.or_else(|| match uri.strip_suffix('/') {
            Some(bare) => self.by_audience.get(bare),
            None => self.by_audience.get(format!("{uri}/").as_str()),
        })?;
        let target = &self.targets[*at];
        target.audience.id.matches(uri).then_some(target)
    }

    pub(super) fn principals(&self) -> &[Principal] {
        &self.principals
    }

    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    pub(super) fn scope(&self, ix: ScopeIx) -> &ScopeEntry {
        &self.scopes[ix as usize]
    }

    pub(super) fn scopes(&self) -> &[ScopeEntry] {
        &self.scopes
    }

    pub(super) fn rule(&self, ix: RuleIx) -> &Rule {
        &self.rules[ix as usize]
    }

    pub(super) fn rule_of(&self, id: &PolicyId) -> Option<RuleIx> {
        self.by_policy.get(id).copied()
    }

    pub(super) fn world(&self) -> &World {
        &self.world
    }

    pub(super) fn slices(&self) -> &Slices {
        &self.slices
    }

    pub(super) fn mint(&self) -> &EntityUid {
        &self.mint
    }

    /// The same for Cedar's evaluator.
    pub(super) fn mint_entry(&self) -> &EntityUIDEntry {
        &self.mint_entry
    }

    pub(super) fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet")
            .field("digest", &self.digest)
            .field("workloads", &self.principals.len())
            .field("audiences", &self.targets.len())
            .field("policies", &self.rules.len())
            .finish()
    }
}

fn read_workloads(
    words: &Words,
    sources: &mut Sources,
    now: UnixTime,
    findings: &mut Vec<Diagnostic>,
) -> Vec<Principal> {
    let files = sources.of_kind("workloads/", ".toml");
    let read = files.iter().filter_map(|(stem, file)| workload::read(stem, file, sources, now, findings));
    read.map(|workload| {
        let uid = uid(&words.workload, workload.id.as_str());
        Principal { entry: entry(&uid), uid, workload: Arc::new(workload) }
    })
    .collect()
}

fn read_audiences(words: &Words, sources: &mut Sources, findings: &mut Vec<Diagnostic>) -> Vec<Target> {
    let mut read: Vec<(Audience, SourceFile)> = Vec::new();
    let mut seen: HashSet<String> = HashSet::new();
    for (_, file) in sources.of_kind("audiences/", ".toml") {
        let Some(audience) = audience::read(&file, sources, findings) else { continue };
        let id = audience.id.as_str();
        // Two spellings that `matches` takes for one differ in a last slash at most.
        let twin = |(other, _): &&(Audience, SourceFile)| other.id.matches(id);
        let bare = id.strip_suffix('/').unwrap_or(id).to_owned();
        let taken = if seen.insert(bare) { None } else { read.iter().find(twin) };
        if let Some((_, first)) = taken {
            let finding = Diagnostic::error("audience", format!("audience `{id}` is declared twice")).at(&file, 0..0);
            findings.push(finding.help(format!("the other one stands in {}; a path of `/` equals none", first.path)));
            continue;
        }
        read.push((audience, file));
    }
    read.sort_by(|(a, _), (b, _)| a.id.cmp(&b.id));
    let mut first: ScopeIx = 0;
    let mut targets = Vec::with_capacity(read.len());
    for (audience, _) in read {
        let table = ScopeTable::new(&audience, first);
        first += audience.scopes.len() as ScopeIx;
        targets.push(Target { uid: uid(&words.audience, audience.id.as_str()), table, audience: Arc::new(audience) });
    }
    targets
}
