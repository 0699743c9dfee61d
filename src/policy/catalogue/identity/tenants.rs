//! Issuers that sign for everybody: what pins a token of theirs to one tenant. One table.
//!
//! Names can be given away and taken by others; what pins is an id that the platform never gives twice, or an issuer of
//! the tenant's own. Issuers that are not in the table are taken as their organisation's own.

use super::claims::{ClaimRule, Says};

/// Why an identity is not pinned, and the mend.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unpinned {
    /// The issuer's URL is nobody's own.
    Issuer { what: String, mend: &'static str },
    /// The claims name no tenant.
    Claims { what: String, mend: &'static str },
}

/// Whether `claims` pin tokens of `issuer` to one tenant.
pub(super) fn check(issuer: &str, claims: &[ClaimRule]) -> Result<(), Unpinned> {
    let (host, path) = split(issuer);
    let Some(platform) = PLATFORMS.iter().find(|platform| (platform.is)(host, path)) else { return Ok(()) };
    let Platform { name, own, mend, .. } = platform;
    if !own.is_none_or(|own| own(path)) {
        let what = format!("{name} signs for everybody under this `issuer`: it is no tenant's own");
        return Err(Unpinned::Issuer { what, mend });
    }
    for need in platform.needs {
        let pins = |rule: &ClaimRule| need.iter().any(|(name, pin)| *rule.name == **name && pin.is_met(&rule.says));
        if !claims.iter().any(pins) {
            let names: Vec<_> = need.iter().map(|(name, pin)| format!("{}`{name}`", pin.told())).collect();
            let what =
                format!("{name} signs for everybody, and nothing pins this to one tenant: {}", names.join(" or "));
            return Err(Unpinned::Claims { what: format!("{what} is missing"), mend });
        }
    }
    Ok(())
}

/// A platform that signs for many.
struct Platform {
    name: &'static str,
    /// By host and path of the issuer.
    is: fn(&str, &str) -> bool,
    /// Whether a path is a tenant's own; none where all share one issuer.
    own: Option<fn(&str) -> bool>,
    /// All of these must be met, each by one of its claims.
    needs: &'static [&'static [(&'static str, Pin)]],
    mend: &'static str,
}

/// What a claim must be compared with to pin anything.
#[derive(Clone, Copy)]
enum Pin {
    /// The very text.
    Exact,
    /// The very text, or a glob that fixes some of it.
    Some,
    /// A branch or tag: a glob only below `refs/heads/` or `refs/tags/`, so that no pull request's ref fits.
    Ref,
    /// A workflow file: a glob only behind its `@`, as for a ref.
    Workflow,
    /// `system:serviceaccount:NAMESPACE:NAME`, exactly.
    ServiceAccount,
}

impl Pin {
    fn is_met(self, says: &Says) -> bool {
        let below_ref = |glob: &str| glob.starts_with("refs/heads/") || glob.starts_with("refs/tags/");
        match (self, says) {
            (Self::ServiceAccount, Says::Exactly(text)) => {
                let parts: Vec<_> = text.split(':').collect();
                matches!(parts[..], ["system", "serviceaccount", namespace, name] if !namespace.is_empty() && !name.is_empty())
            }
            (_, Says::Exactly(text)) => !text.is_empty(),
            (Self::Some, Says::Glob(glob)) => glob.chars().any(|c| c != '*'),
            (Self::Ref, Says::Glob(glob)) => below_ref(glob),
            (Self::Workflow, Says::Glob(glob)) => {
                glob.split_once('@').is_some_and(|(file, at)| !file.contains('*') && below_ref(at))
            }
            (Self::Exact | Self::ServiceAccount, Says::Glob(_)) => false,
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Exact | Self::ServiceAccount => "an exact ",
            Self::Some | Self::Ref | Self::Workflow => "",
        }
    }
}

const SERVICE_ACCOUNT: &[&[(&str, Pin)]] = &[&[("sub", Pin::ServiceAccount)]];

#[rustfmt::skip]
const PLATFORMS: &[Platform] = &[
    Platform {
        name: "GitHub Actions",
        // Also an enterprise's own slug below it, and GitHub Enterprise Server.
        is: |host, path| host == "token.actions.githubusercontent.com" || path.ends_with("/_services/token"),
        own: None,
        needs: &[
            &[("repository_id", Pin::Exact)],
            &[("environment", Pin::Some), ("ref", Pin::Ref), ("job_workflow_ref", Pin::Workflow)],
        ],
        mend: "write claims = { repository_id = \"123456\", ref = \"refs/heads/main\" }: the id outlives renames, and without \
               one of environment, ref, job_workflow_ref every branch and pull request would do",
    },
    Platform {
        name: "a public GitLab",
        // Those on which anybody, or all of a large community, may have a project.
        is: |host, _| PUBLIC_GITLABS.contains(&host),
        own: None,
        needs: &[&[("project_id", Pin::Exact)]],
        mend: "write claims = { project_id = \"123456\", ref_protected = \"true\" }: the id outlives renames",
    },
    Platform {
        name: "Amazon EKS",
        is: |host, _| (host.starts_with("oidc.eks.") || host.starts_with("oidc-eks."))
            && [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|end| host.ends_with(end)),
        own: Some(|path| segments(path) == 2 && path.starts_with("/id/")),
        needs: SERVICE_ACCOUNT,
        mend: "write issuer = \"https://oidc.eks.REGION.amazonaws.com/id/CLUSTER\" and claims = { sub = \
               \"system:serviceaccount:NAMESPACE:NAME\" }",
    },
    Platform {
        name: "Google Kubernetes Engine",
        is: |host, _| host == "container.googleapis.com",
        own: Some(|path| segments(path) == 7 && path.starts_with("/v1/projects/") && path.contains("/clusters/")),
        needs: SERVICE_ACCOUNT,
        mend: "write issuer = \"https://container.googleapis.com/v1/projects/PROJECT/locations/LOCATION/clusters/CLUSTER\" and \
               claims = { sub = \"system:serviceaccount:NAMESPACE:NAME\" }",
    },
    Platform {
        name: "Azure Kubernetes Service",
        is: |host, _| host.ends_with(".oic.prod-aks.azure.com") || host == "oic.prod-aks.azure.com",
        own: Some(|path| segments(path) == 2),
        needs: SERVICE_ACCOUNT,
        mend: "write issuer = \"https://REGION.oic.prod-aks.azure.com/TENANT/CLUSTER/\" and claims = { sub = \
               \"system:serviceaccount:NAMESPACE:NAME\" }",
    },
    Platform {
        name: "Google",
        is: |host, _| host == "accounts.google.com",
        own: None,
        needs: &[&[("sub", Pin::Exact)]],
        mend: "write claims = { sub = \"1234567890\" }: the account's unique id, which no other account ever gets",
    },
    Platform {
        name: "Microsoft Entra",
        is: |host, _| matches!(host, "login.microsoftonline.com" | "sts.windows.net" | "login.microsoftonline.us" | "login.partner.microsoftonline.cn"),
        own: Some(|path| path.split('/').nth(1).is_some_and(is_uuid)),
        needs: &[&[("oid", Pin::Exact), ("sub", Pin::Exact)]],
        mend: "write issuer = \"https://login.microsoftonline.com/TENANT-ID/v2.0\", the tenant by its id and not `common`, and \
               claims = { oid = \"…\" }",
    },
    Platform {
        name: "Bitbucket Pipelines",
        is: |host, _| host == "api.bitbucket.org",
        own: Some(|path| path.starts_with("/2.0/workspaces/") && segments(path) >= 4),
        needs: &[&[("repositoryUuid", Pin::Exact)]],
        mend: "write issuer = \"https://api.bitbucket.org/2.0/workspaces/WORKSPACE/pipelines-config/identity/oidc\" and claims = \
               { repositoryUuid = \"{…}\" }",
    },
    Platform {
        name: "CircleCI",
        is: |host, _| host == "oidc.circleci.com",
        own: Some(|path| path.strip_prefix("/org/").is_some_and(is_uuid)),
        needs: &[&[("oidc.circleci.com/project-id", Pin::Exact)]],
        mend: "write issuer = \"https://oidc.circleci.com/org/ORG-ID\" and claims = { \"oidc.circleci.com/project-id\" = \"…\" }",
    },
    Platform {
        name: "HCP Terraform",
        is: |host, _| matches!(host, "app.terraform.io" | "app.eu.terraform.io"),
        own: None,
        needs: &[&[("terraform_workspace_id", Pin::Exact)]],
        mend: "write claims = { terraform_workspace_id = \"ws-…\", terraform_run_phase = \"apply\" }",
    },
    Platform {
        name: "Buildkite",
        is: |host, _| host == "agent.buildkite.com",
        own: None,
        needs: &[&[("pipeline_id", Pin::Exact)]],
        mend: "write claims = { pipeline_id = \"…\" }, and ask for the token with --claim pipeline_id: slugs can be renamed",
    },
    Platform {
        name: "Vercel, by its global issuer,",
        is: |host, path| host == "oidc.vercel.com" && segments(path) == 0,
        own: None,
        needs: &[&[("owner_id", Pin::Exact)], &[("project_id", Pin::Exact)]],
        mend: "write claims = { owner_id = \"team_…\", project_id = \"prj_…\", environment = \"production\" }, or issuer = \
               \"https://oidc.vercel.com/TEAM\": ids outlive renames, and without environment every preview would do",
    },
    Platform {
        name: "Vercel",
        // The team is in the path, by a name that can be given away.
        is: |host, _| host == "oidc.vercel.com",
        own: None,
        needs: &[&[("owner_id", Pin::Exact), ("project_id", Pin::Exact)]],
        mend: "write claims = { project_id = \"prj_…\", environment = \"production\" }: ids outlive renames, and without \
               environment every preview would do",
    },
    Platform {
        name: "Amazon Cognito's identity pools",
        is: |host, _| host == "cognito-identity.amazonaws.com" || host.starts_with("cognito-identity.") && host.ends_with(".amazonaws.com"),
        own: None,
        needs: &[&[("sub", Pin::Exact)]],
        mend: "write claims = { sub = \"REGION:…\" }: the identity's own id; whoever has an account can make a pool",
    },
    Platform {
        name: "Codefresh",
        is: |host, _| host == "oidc.codefresh.io",
        own: None,
        needs: &[&[("pipeline_id", Pin::Exact)]],
        mend: "write claims = { account_id = \"…\", pipeline_id = \"…\" }: ids outlive renames",
    },
    Platform {
        name: "Pulumi Cloud",
        is: |host, path| host == "api.pulumi.com" && path.starts_with("/oidc"),
        own: None,
        // It has no ids in its tokens: its whole subject is the most that can be pinned.
        needs: &[&[("sub", Pin::Exact)]],
        mend: "write claims = { sub = \"pulumi:deploy:org:ORG:project:PROJECT:stack:STACK:operation:update:scope:write\" }, whole",
    },
];

/// GitLab instances that sign for whoever may have a project there. Their tokens are GitLab's.
const PUBLIC_GITLABS: [&str; 15] = [
    "gitlab.com",
    "0xacab.org",
    "code.videolan.org",
    "foss.heptapod.net",
    "framagit.org",
    "git.drupalcode.org",
    "gitgud.io",
    "gitlab.alpinelinux.org",
    "gitlab.archlinux.org",
    "gitlab.freedesktop.org",
    "gitlab.gnome.org",
    "gitlab.haskell.org",
    "gitlab.torproject.org",
    "invent.kde.org",
    "salsa.debian.org",
];

/// Host without its default port, in lower case, and path of an issuer.
fn split(issuer: &str) -> (&str, &str) {
    let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    (host.strip_suffix('.').unwrap_or(host), path)
}

/// How many parts of a path are not empty.
fn segments(path: &str) -> usize {
    path.split('/').filter(|part| !part.is_empty()).count()
}

fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Claims<'a> = &'a [(&'a str, &'a str)];

    fn rules(claims: Claims<'_>) -> Vec<ClaimRule> {
        let says = |text: &str| if text.contains('*') { Says::Glob(text.into()) } else { Says::Exactly(text.into()) };
        claims.iter().map(|(name, text)| ClaimRule { name: (*name).into(), says: says(text) }).collect()
    }

    const GITHUB: &str = "https://token.actions.githubusercontent.com";
    const EKS: &str = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABCDEF0123456789";
    const GKE: &str = "https://container.googleapis.com/v1/projects/p/locations/l/clusters/c";
    const AKS: &str = "https://westeurope.oic.prod-aks.azure.com/6f1c-t/6f1c-c/";
    const POD: (&str, &str) = ("sub", "system:serviceaccount:ci:builder");

    #[test]
    fn what_is_pinned_loads() {
        let tenant = "https://login.microsoftonline.com/2f8a9c1e-0b7d-4f3a-9d5e-1c6b7a8e9f00/v2.0";
        let circle = "https://oidc.circleci.com/org/2f8a9c1e-0b7d-4f3a-9d5e-1c6b7a8e9f00";
        let rows: &[(&str, Claims<'_>)] = &[
            (GITHUB, &[("repository_id", "1"), ("environment", "production")]),
            (GITHUB, &[("repository_id", "1"), ("ref", "refs/heads/main")]),
            (GITHUB, &[("repository_id", "1"), ("ref", "refs/tags/v*")]),
            (GITHUB, &[("repository_id", "1"), ("job_workflow_ref", "o/r/.github/workflows/x.yml@refs/tags/*")]),
            ("https://token.actions.githubusercontent.com/acme", &[("repository_id", "1"), ("environment", "eu-*")]),
            ("https://gitlab.com", &[("project_id", "1")]),
            ("https://gitlab.example.com", &[("sub", "x")]),
            (EKS, &[POD]),
            (GKE, &[POD]),
            (AKS, &[POD]),
            ("https://accounts.google.com", &[("sub", "1")]),
            (tenant, &[("oid", "1")]),
            (circle, &[("oidc.circleci.com/project-id", "1")]),
            ("https://app.terraform.io", &[("terraform_workspace_id", "ws-1")]),
            ("https://agent.buildkite.com", &[("pipeline_id", "1")]),
            ("https://salsa.debian.org", &[("project_id", "1")]),
            ("https://oidc.vercel.com", &[("owner_id", "team_1"), ("project_id", "prj_1")]),
            ("https://oidc.vercel.com/acme", &[("project_id", "prj_1"), ("environment", "production")]),
            ("https://oidc.vercel.com/acme", &[("owner_id", "team_1")]),
            ("https://cognito-identity.amazonaws.com", &[("sub", "eu-west-1:1")]),
            ("https://oidc.codefresh.io", &[("pipeline_id", "1")]),
            (
                "https://api.pulumi.com/oidc",
                &[("sub", "pulumi:deploy:org:acme:project:p:stack:s:operation:update:scope:write")],
            ),
            ("https://api.pulumi.com.example.com/oidc", &[("org", "acme")]),
        ];
        for (issuer, claims) in rows {
            assert_eq!(check(issuer, &rules(claims)), Ok(()), "{issuer} {claims:?}");
        }
    }

    #[test]
    fn what_is_anybody_s_does_not() {
        let rows: &[(&str, Claims<'_>, &str)] = &[
            (GITHUB, &[], "repository_id"),
            (GITHUB, &[("repository", "octo-org/octo-repo"), ("ref", "refs/heads/main")], "repository_id"),
            (GITHUB, &[("repository_owner_id", "1"), ("environment", "production")], "repository_id"),
            (GITHUB, &[("repository_id", "1*"), ("environment", "production")], "repository_id"),
            (GITHUB, &[("repository_id", ""), ("environment", "production")], "repository_id"),
            (GITHUB, &[("repository_id", "1")], "environment"),
            (GITHUB, &[("repository_id", "1"), ("environment", "*")], "environment"),
            (GITHUB, &[("repository_id", "1"), ("ref", "refs/*")], "environment"),
            (GITHUB, &[("repository_id", "1"), ("job_workflow_ref", "o/r/*")], "environment"),
            (GITHUB, &[("repository_id", "1"), ("sub", "repo:o/r:*")], "environment"),
            ("https://token.actions.githubusercontent.com/", &[("sub", "x")], "repository_id"),
            ("https://token.actions.githubusercontent.com:443", &[("sub", "x")], "repository_id"),
            ("https://ghes.example.com/_services/token", &[("sub", "x")], "repository_id"),
            ("https://gitlab.com", &[("project_path", "g/p"), ("ref", "main")], "project_id"),
            ("https://gitlab.com", &[("project_id", "*")], "project_id"),
            (EKS, &[("sub", "system:serviceaccount:*")], "sub"),
            (EKS, &[("sub", "system:serviceaccount:ci:")], "sub"),
            (GKE, &[("kubernetes.io/namespace", "ci")], "sub"),
            (AKS, &[("sub", "builder")], "sub"),
            ("https://accounts.google.com", &[("email", "a@example.com")], "sub"),
            ("https://app.terraform.io", &[("terraform_organization_name", "acme")], "terraform_workspace_id"),
            ("https://agent.buildkite.com", &[("pipeline_slug", "p")], "pipeline_id"),
            ("https://salsa.debian.org", &[("project_path", "g/p")], "project_id"),
            ("https://gitlab.gnome.org/", &[("sub", "project_path:g/p:ref_type:branch:ref:main")], "project_id"),
            ("https://oidc.vercel.com", &[("environment", "production")], "owner_id"),
            ("https://oidc.vercel.com/", &[("owner_id", "team_1"), ("project", "shop")], "project_id"),
            ("https://oidc.vercel.com", &[("project_id", "prj_1")], "owner_id"),
            ("https://oidc.vercel.com:443", &[("sub", "owner:acme:project:shop:environment:production")], "owner_id"),
            ("https://oidc.vercel.com/acme", &[("environment", "production")], "project_id"),
            ("https://cognito-identity.amazonaws.com", &[("amr", "authenticated")], "sub"),
            ("https://cognito-identity.amazonaws.com", &[("sub", "eu-west-1:*")], "sub"),
            ("https://oidc.codefresh.io", &[("account_name", "acme")], "pipeline_id"),
            ("https://api.pulumi.com/oidc", &[("org", "acme")], "sub"),
            ("https://api.pulumi.com/oidc", &[("sub", "pulumi:deploy:org:acme:*")], "sub"),
        ];
        for (issuer, claims, missing) in rows {
            let Err(Unpinned::Claims { what, mend }) = check(issuer, &rules(claims)) else {
                panic!("{issuer} {claims:?}")
            };
            assert!(what.contains(missing) && mend.contains("write "), "{issuer}: {what}");
        }
    }

    #[test]
    fn an_issuer_that_is_no_tenant_s_own_is_refused_whatever_the_claims() {
        for issuer in [
            "https://oidc.eks.eu-west-1.amazonaws.com",
            "https://oidc.eks.eu-west-1.amazonaws.com/id/",
            "https://container.googleapis.com/v1",
            "https://westeurope.oic.prod-aks.azure.com",
            "https://login.microsoftonline.com/common/v2.0",
            "https://login.microsoftonline.com/organizations/v2.0",
            "https://sts.windows.net/",
            "https://api.bitbucket.org",
            "https://oidc.circleci.com",
        ] {
            let claims = rules(&[POD, ("oid", "1"), ("repositoryUuid", "1"), ("oidc.circleci.com/project-id", "1")]);
            assert!(matches!(check(issuer, &claims), Err(Unpinned::Issuer { .. })), "{issuer}");
        }
    }
}
