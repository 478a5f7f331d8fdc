//! Which attributes of the resource and the context a policy reads, so that a decision builds only
//! what the policies in its slice can see.

/// Attributes of the resource, and fields of the context, by the names that the schema gives them.
macro_rules! attributes {
    ($($name:ident = $bit:literal, $text:literal;)*) => {
        /// A set of attributes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub(crate) struct Needs(u64);

        impl Needs {
            $(pub(crate) const $name: Self = Self(1 << $bit);)*

            /// Nothing.
            pub(crate) const NONE: Self = Self(0);
            /// Everything.
            pub(crate) const ALL: Self = Self(u64::MAX);

            /// The attribute `text` of the root (`resource` or `context`) that `prefix` names.
            pub(crate) fn of(prefix: &str, text: &str) -> Option<Self> {
                [$(($text, Self::$name),)*]
                    .into_iter()
                    .find(|(name, _)| {
                        name.strip_prefix(prefix).and_then(|n| n.strip_prefix('.')) == Some(text)
                    })
                    .map(|(_, need)| need)
            }

            /// The names of those in the set that belong to the root that `prefix` names.
            pub(crate) fn names(self, prefix: &str) -> impl Iterator<Item = &'static str> {
                [$(($text, Self::$name),)*]
                    .into_iter()
                    .filter(move |(_, need)| self.has(*need))
                    .filter_map(move |(name, _)| name.strip_prefix(prefix)?.strip_prefix('.'))
            }

            /// Both sets.
            #[must_use]
            pub(crate) const fn and(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether all of `other` is in the set.
            pub(crate) const fn has(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }
    };
}

attributes! {
    CLUSTER = 0, "resource.cluster";
    NAMESPACE = 1, "resource.namespace";
    API_GROUP = 2, "resource.apiGroup";
    API_VERSION = 3, "resource.apiVersion";
    RESOURCE = 4, "resource.resource";
    SUBRESOURCE = 5, "resource.subresource";
    NAME = 6, "resource.name";
    PORT = 7, "resource.port";
    SCHEME = 8, "resource.scheme";
    PROXY_PATH = 9, "resource.proxyPath";
    PATH = 10, "resource.path";
    KIND = 11, "resource.kind";
    VERB = 12, "context.verb";
    METHOD = 13, "context.method";
    DRY_RUN = 14, "context.dryRun";
    COMMAND = 15, "context.command";
    COMMAND_LINE = 16, "context.commandLine";
    CONTAINER = 17, "context.container";
    FIELD_SELECTOR = 18, "context.fieldSelector";
    LABEL_SELECTOR = 19, "context.labelSelector";
    SESSION_AGE = 20, "context.sessionAge";
    ASSURANCE = 21, "context.assurance";
    SOURCE = 22, "context.source";
    NOW = 23, "context.now";
    HOUR_UTC = 24, "context.hourUtc";
    WEEKDAY = 25, "context.weekday";
    APPROVAL = 26, "context.approval";
    INVOCATION = 27, "context.invocation";
    PRINCIPAL = 28, "principal";
    APPROVALS = 29, "context.approvals";
    RISK = 30, "context.risk";
    GRANTED = 31, "context.granted";
    TICKET = 32, "context.ticket";
    REASON = 33, "context.reason";
    ASK_ROLE = 34, "resource.role";
    ASK_ACTION = 35, "resource.action";
    ASK_RISK = 36, "resource.risk";
    ASK_DURATION = 37, "resource.duration";
    ASK_TICKET = 38, "resource.ticket";
    ASK_REASON = 39, "resource.reason";
    ASK_POLICIES = 40, "resource.policies";
    ASK_REQUESTER = 41, "resource.requester";
}
