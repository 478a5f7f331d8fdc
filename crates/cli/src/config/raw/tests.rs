use super::*;

fn read(text: &str) -> Result<Config, String> {
    RawConfig::parse(text).and_then(RawConfig::resolve)
}

fn with_state(text: &str) -> Result<Config, String> {
    read(&format!("stateDirectory: /var/lib/kubestile\n{text}"))
}

#[test]
fn everything_has_a_default() {
    let config = with_state("").unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8443");
    assert_eq!(config.tls, TlsVersion::Tls13);
    assert_eq!(config.lifetimes.session.as_secs(), 8 * 3600);
    assert_eq!(config.lifetimes.certificate.as_secs(), 3600);
    assert!(config.policies.base && config.despite_excess.is_empty() && config.health.is_none());
    assert_eq!(config.check_every.as_secs(), 60);
    assert_eq!(config.settings.body_limit, 3 * 1024 * 1024);
}

#[test]
fn a_whole_file_is_understood() {
    let config = with_state(
        "listen: 0.0.0.0:443
publicUrl: https://gate.example.com
names: [gate.internal, 10.0.0.1]
healthListen: 127.0.0.1:9443
tls: {minimum: '1.2'}
sessions: {lifetime: 30m, code: 5m}
policies: {base: true, directories: [/etc/kubestile/policies]}
clusters:
- {name: prod, kubeconfig: /etc/kubestile/prod.yaml, context: gate}
- {name: here, inCluster: true}
accounts: {check: 30s, serveDespiteExcessRights: [prod]}
limits: {bodyBytes: 1048576, requestsPerPerson: 10}
timeouts: {drain: 0s}
logging: {format: json, level: 'info,kubestile_gateway=debug'}
",
    )
    .unwrap();
    assert_eq!(
        config.public_url.unwrap().to_string(),
        "https://gate.example.com:443"
    );
    assert_eq!(config.tls, TlsVersion::Tls12);
    assert_eq!(
        config.lifetimes.certificate.as_secs(),
        1800,
        "not longer than the session"
    );
    assert_eq!(config.clusters.len(), 2);
    assert_eq!(config.settings.requests_per_person, 10);
    assert_eq!(config.settings.drain.as_secs(), 0);
    assert_eq!(config.logging.0, LogFormat::Json);
}

#[test]
fn wrong_values_are_named() {
    for (text, word) in [
        ("lisen: 127.0.0.1:1", "lisen"),
        ("listen: here", "line 2"),
        ("listen: 127.0.0.1:1\nlisten: 127.0.0.1:2", "listen"),
        ("publicUrl: http://gate", "publicUrl"),
        ("names: ['*.example.com']", "names"),
        ("tls: {minimum: '1.1'}", "tls.minimum"),
        ("sessions: {lifetime: 8d}", "sessions.lifetime"),
        (
            "sessions: {lifetime: 1h, certificate: 2h}",
            "sessions.certificate",
        ),
        ("sessions: {code: forever}", "sessions.code"),
        (
            "policies: {directories: [policies]}",
            "policies.directories",
        ),
        ("clusters: [{name: Prod, inCluster: true}]", "Prod"),
        (
            "clusters: [{name: a, inCluster: true, context: x}]",
            "inCluster",
        ),
        (
            "clusters: [{name: a, kubeconfig: /a}, {name: a, inCluster: true}]",
            "twice",
        ),
        (
            "accounts: {serveDespiteExcessRights: ['*']}",
            "serveDespiteExcessRights",
        ),
        ("limits: {requestsPerPerson: 0}", "requestsPerPerson"),
        ("limits: {bodyBytes: 1}", "bodyBytes"),
        ("timeouts: {connect: 0s}", "timeouts.connect"),
        ("logging: {level: 'a=b=c'}", "logging.level"),
        ("logging: {format: xml}", "xml"),
    ] {
        let error = with_state(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
        assert!(!error.contains('\n'), "{text}: {error}");
    }
    assert!(
        read("stateDirectory: state")
            .unwrap_err()
            .contains("absolute")
    );
}

/// `docs/reference/gate.yaml` names every key, with the defaults that hold.
#[test]
fn the_reference_has_every_key_and_the_defaults() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/gate.yaml"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let written: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let mut defaults = RawConfig::parse("stateDirectory: /var/lib/kubestile").unwrap();
    let config = defaults.clone().resolve().unwrap();
    // The two that have no default.
    defaults.public_url = Some("https://gate.example.com:8443".to_owned());
    defaults.health_listen = Some("127.0.0.1:9443".parse().unwrap());
    let expected = serde_json::to_value(defaults.with_defaults(&config)).unwrap();
    let keys = |value: &serde_json::Value| {
        let map = value.as_object().unwrap();
        map.keys()
            .cloned()
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(keys(&written), keys(&expected));
    for (section, value) in written.as_object().unwrap() {
        if value.is_object() {
            assert_eq!(keys(value), keys(&expected[section]), "{section}");
        }
    }
    let read = |value: &serde_json::Value| {
        let raw: RawConfig = serde_json::from_value(value.clone()).unwrap();
        let resolved = raw.clone().resolve().unwrap();
        serde_json::to_value(raw.with_defaults(&resolved)).unwrap()
    };
    assert_eq!(read(&written), expected);
}

/// The example in `docs/integrations.md` is a configuration.
#[test]
fn the_documented_integrations_are_understood() {
    let text = include_str!("../../../../../docs/integrations.md");
    let yaml = text.split("```yaml gate\n").nth(1).unwrap();
    let config = with_state(yaml.split("```").next().unwrap()).unwrap();
    let outside = config.outside;
    assert_eq!(outside.ticket_silence.as_secs(), 600);
    assert_eq!((outside.tickets.len(), outside.channels.len()), (1, 1));
    assert_eq!(outside.people["ana-h"], "ana");
    assert!(outside.rules[0].approval);
}

#[test]
fn integrations_that_cannot_be_used_are_named() {
    for (text, word) in [
        ("tickets: {silence: 1s}", "tickets.silence"),
        (
            "tickets: {systems: [{name: A, kind: github, url: 'https://a.example', credentialFile: /x}]}",
            "`A`",
        ),
        (
            "notifications: {channels: [{name: a, kind: slack}]}",
            "urlFile",
        ),
        (
            "pipelines: {rules: [{issuer: a, match: {repository: a/b}, name: ci-x, functions: [viewer], maxTtlSeconds: 60}]}",
            "no issuer",
        ),
        ("pipelines: {rule: []}", "rule"),
    ] {
        let error = with_state(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
}
