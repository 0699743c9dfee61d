//! The labels of the metrics whose values come from fixed lists: where a request went, what a store was asked.

/// Declares an enum whose variants are values of a label.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`")] $variant,)*
        }

        impl $name {
            pub(super) const WORDS: &'static [&'static str] = &[$($word),*];

            /// The label's value.
            pub const fn as_str(self) -> &'static str {
                Self::WORDS[self as usize]
            }
        }
    };
}

label! {
    /// Where a request went: values of the label `endpoint`.
    Endpoint {
        Token = "token",
        Introspect = "introspect",
        Revoke = "revoke",
        Authorize = "authorize",
        Complete = "complete",
        Renew = "renew",
        Revocations = "revocations",
        ForwardAuth = "forward_auth",
        Jwks = "jwks",
        Metadata = "metadata",
        OpenApi = "openapi",
        Health = "health",
        Admin = "admin",
        Other = "other",
    }
}

label! {
    /// What a store was asked, by the names of its trait: values of the label `operation`.
    StoreOp {
        Head = "head",
        Record = "record",
        Spend = "spend",
        End = "end",
        Settle = "settle",
        Count = "count",
        Release = "release",
        Quarantines = "quarantines",
        Lease = "lease",
        Leases = "leases",
        Log = "log",
        Keys = "keys",
        Publish = "publish",
        Withdraw = "withdraw",
        Safety = "safety",
        Stats = "stats",
    }
}
