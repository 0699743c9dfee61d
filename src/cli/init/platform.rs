//! How the first workload proves who it is: what stands in its file, and what a job or pod has to be given.

use super::super::Failure;
use super::super::args::{InitArgs, Platform};
use super::draft::quoted;
use crate::model::WorkloadId;

/// One way to prove who asks.
pub(super) struct Proof {
    pub platform: Platform,
    /// The `[[identity]]` of the workload's file.
    pub identity: String,
    /// The platform's issuer, where there is one.
    pub issuer: Option<String>,
    /// The attested task, as a step of a job would name it.
    task: &'static str,
    /// Where the workload's command belongs.
    pub place: &'static str,
}

/// What one platform wants to be told.
struct Words {
    issuer: String,
    signs: &'static str,
    task: &'static str,
    is_task: &'static str,
    keep: &'static str,
    claims: Vec<Claim>,
}

/// A claim, what it must be, and what that means.
struct Claim(&'static str, String, &'static str);

impl Proof {
    /// What the options name.
    pub(super) fn of(args: &InitArgs) -> Result<Self, Failure> {
        refuse_strays(args)?;
        let (words, task, place) = match args.platform {
            Platform::Key => return Ok(Self::key(&args.workload)),
            Platform::Github => (github(args)?, "$GITHUB_RUN_ID.$GITHUB_RUN_ATTEMPT", GITHUB),
            Platform::Gitlab => (gitlab(args)?, "$CI_PIPELINE_ID.$CI_JOB_ID", GITLAB),
            Platform::Kubernetes => (kubernetes(args)?, "", KUBERNETES),
        };
        if !words.issuer.starts_with("https://") || words.issuer.chars().any(|c| c.is_control() || c == ' ') {
            let like = match args.platform {
                Platform::Kubernetes => {
                    "--issuer https://cluster.example.com, say: kubectl get --raw /.well-known/openid-configuration"
                }
                Platform::Github => "--issuer https://github.example.com/_services/token, say, without a space in it",
                _ => "--issuer https://gitlab.example.com, say, without a space in it",
            };
            return Err(Failure::usage(
                "--issuer is the https URL that stands in the platform's tokens as `iss`",
                like,
            ));
        }
        let (identity, issuer) = (words.identity(), Some(words.issuer));
        Ok(Self { platform: args.platform, identity, issuer, task, place })
    }

    fn key(id: &WorkloadId) -> Self {
        let identity = format!(
            "[[identity]]  # how it proves who it is; there may be several\n\
             type = \"private_key_jwt\"  # by a short assertion, signed with a key of its own: .jitney/{id}.pem\n\
             jwks_file = \"../keys/{id}.jwks.json\"  # the public half of that key, seen from this file\n"
        );
        Self { platform: Platform::Key, identity, issuer: None, task: "", place: "" }
    }

    /// What a job or pod has to be given, in the words of its platform's files.
    pub(super) fn setting(&self, broker: &str) -> Vec<String> {
        let lines: &[&str] = match self.platform {
            Platform::Key => &[],
            Platform::Github => {
                &["permissions: { id-token: write, contents: read }", "env: { JITNEY_URL: \"BROKER\" }"]
            }
            Platform::Gitlab => {
                &["id_tokens: { JITNEY_ID_TOKEN: { aud: \"BROKER\" } }", "variables: { JITNEY_URL: \"BROKER\" }"]
            }
            Platform::Kubernetes => &[
                "env: [{ name: JITNEY_URL, value: \"BROKER\" }]",
                "volumeMounts: [{ name: jitney, mountPath: /var/run/secrets/tokens, readOnly: true }]",
                "volumes: [{ name: jitney, projected: { sources: [{ serviceAccountToken: { audience: \"BROKER\", path: jitney } }] } }]",
            ],
        };
        lines.iter().map(|line| line.replace("BROKER", broker)).collect()
    }

    /// What to know where more than one command asks.
    pub(super) fn steps(&self) -> Option<String> {
        (!self.task.is_empty()).then(|| {
            format!(
                "# such a run ends its task; where several steps ask, each names a child of it: --task \"{}/STEP\"",
                self.task
            )
        })
    }
}

const GITHUB: &str = "In a job of that repository, with the permission to get a token and this as its command:";
const GITLAB: &str = "In a job of that project, with this id token and this as its script:";
const KUBERNETES: &str = "In a pod of that service account, with this token and this as its command:";

impl Words {
    fn identity(&self) -> String {
        let mut text = format!(
            "[[identity]]  # how it proves who it is; there may be several\n\
             type = \"oidc\"  # by the token its platform gives it: no key to keep, nothing to rotate\n\
             issuer = {}  # who signs those tokens: {}\n\
             task = \"{}\"  # the task is {}; another is refused\n\
             keep = {}  # what of the token policies and the audit log may see\n\
             # What the token must say: all of it, letter by letter.\n",
            quoted(&self.issuer),
            self.signs,
            self.task,
            self.is_task,
            self.keep
        );
        for Claim(name, _, why) in &self.claims {
            text.push_str(&format!("# {name}: {why}\n"));
        }
        // In one line, not as a table of its own: what is added at the end of the file would become a claim there.
        let claims: Vec<String> =
            self.claims.iter().map(|Claim(name, value, _)| format!("{name} = {}", quoted(value))).collect();
        text + &format!("claims = {{ {} }}\n", claims.join(", "))
    }
}

fn github(args: &InitArgs) -> Result<Words, Failure> {
    let is_narrow = args.environment.is_some() || args.git_ref.is_some();
    let id = args.repository_id.ok_or_else(|| {
        missing(
            "github",
            if is_narrow { "--repository-id" } else { "--repository-id, and --environment or --ref" },
            "gh api repos/OWNER/NAME --jq .id; names are renamed and taken over, ids not",
        )
    })?;
    let mut claims =
        vec![Claim("repository_id", id.to_string(), "the repository, by the id that GitHub never gives twice")];
    claims.extend(args.environment.clone().map(|name| Claim("environment", name, "only jobs of this environment")));
    if let Some(name) = &args.git_ref {
        if !name.starts_with("refs/") {
            return Err(Failure::usage(
                format!("--ref {name} names no ref of GitHub's: no run would ever have it"),
                format!("--ref refs/heads/{name} for the branch, --ref refs/tags/{name} for the tag"),
            ));
        }
        claims.push(Claim("ref", name.clone(), "only runs of this branch or tag"));
    }
    if claims.len() == 1 {
        return Err(missing("github", "--environment or --ref", "else every branch of the repository could ask"));
    }
    Ok(Words {
        issuer: args.issuer.clone().unwrap_or_else(|| "https://token.actions.githubusercontent.com".into()),
        signs: "GitHub Actions",
        task: "{run_id}.{run_attempt}",
        is_task: "the run, as GitHub attests it",
        keep: "[\"repository\", \"ref\", \"actor\"]",
        claims,
    })
}

fn gitlab(args: &InitArgs) -> Result<Words, Failure> {
    let id = args
        .project_id
        .ok_or_else(|| missing("gitlab", "--project-id", "the project's page shows it; paths are renamed, ids not"))?;
    let mut claims = vec![Claim("project_id", id.to_string(), "the project, by the id that GitLab never gives twice")];
    claims.extend(args.environment.clone().map(|name| Claim("environment", name, "only jobs of this environment")));
    if let Some(name) = &args.git_ref {
        claims.push(Claim("ref", name.clone(), "only jobs of this branch"));
        claims.push(Claim("ref_type", "branch".into(), "for a tag may have the same name: \"tag\" for that one"));
    }
    if args.environment.is_none() {
        claims.push(Claim("ref_protected", "true".into(), "only jobs of protected branches and tags"));
    }
    Ok(Words {
        issuer: args.issuer.clone().unwrap_or_else(|| "https://gitlab.com".into()),
        signs: "GitLab",
        task: "{pipeline_id}.{job_id}",
        is_task: "the job, as GitLab attests it",
        keep: "[\"project_path\", \"ref\", \"user_login\"]",
        claims,
    })
}

fn kubernetes(args: &InitArgs) -> Result<Words, Failure> {
    let account = args.service_account.as_deref();
    let account = account.ok_or_else(|| missing("kubernetes", "--service-account", "NAMESPACE/NAME of the pod's"))?;
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
    };
    let Some((namespace, name)) = account.split_once('/').filter(|(space, name)| is_name(space) && is_name(name))
    else {
        return Err(Failure::usage(
            "--service-account is NAMESPACE/NAME, as Kubernetes writes them",
            "--service-account shop/report",
        ));
    };
    let issuer = args.issuer.clone().ok_or_else(|| {
        missing("kubernetes", "--issuer", "kubectl get --raw /.well-known/openid-configuration shows the cluster's")
    })?;
    Ok(Words {
        issuer,
        signs: "the cluster",
        task: "{kubernetes.io/pod/uid}",
        is_task: "the pod, as the cluster attests it",
        keep: "[\"kubernetes.io/namespace\", \"kubernetes.io/pod/name\"]",
        claims: vec![Claim(
            "sub",
            format!("system:serviceaccount:{namespace}:{name}"),
            "the service account, with its namespace",
        )],
    })
}

fn missing(platform: &str, option: &str, why: &str) -> Failure {
    Failure::usage(format!("--platform {platform} needs {option}"), why)
}

/// An option of another platform would be left out silently.
fn refuse_strays(args: &InitArgs) -> Result<(), Failure> {
    use Platform::{Github, Gitlab, Kubernetes};
    let options: [(&str, bool, &[Platform]); 6] = [
        ("--repository-id", args.repository_id.is_some(), &[Github]),
        ("--project-id", args.project_id.is_some(), &[Gitlab]),
        ("--environment", args.environment.is_some(), &[Github, Gitlab]),
        ("--ref", args.git_ref.is_some(), &[Github, Gitlab]),
        ("--service-account", args.service_account.is_some(), &[Kubernetes]),
        ("--issuer", args.issuer.is_some(), &[Github, Gitlab, Kubernetes]),
    ];
    match options.iter().find(|(_, given, of)| *given && !of.contains(&args.platform)) {
        Some((option, ..)) => Err(Failure::usage(
            format!("{option} means nothing with this --platform"),
            "`jitney init --help` says which option belongs to which platform",
        )),
        None => Ok(()),
    }
}
