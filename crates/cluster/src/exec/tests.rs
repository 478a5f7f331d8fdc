use super::*;

fn plugin(script: &str) -> Exec {
    Exec {
        command: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: vec![("WORD".into(), "from-env".into())],
        api_version: "client.authentication.k8s.io/v1".into(),
        interactive: Interactive::Never,
        cluster: Some(serde_json::json!({"server": "https://a.example"})),
        install_hint: Some("apt install it".into()),
    }
}

fn answer(status: &str) -> String {
    format!(
        r#"echo '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{status}}}'"#
    )
}

async fn fails(script: &str) -> String {
    let error = plugin(script).run().await.err().unwrap().to_string();
    assert!(!error.contains("hunter2"), "{error}");
    error
}

#[tokio::test]
async fn a_token_with_its_expiry_is_taken() {
    let script = answer(r#"{"token":"t-1","expirationTimestamp":"2030-01-02T03:04:05Z"}"#);
    let given = plugin(&script).run().await.unwrap();
    assert_eq!(given.token.unwrap().expose(), "t-1");
    assert_eq!(given.expires, Some(Timestamp::from_secs(1_893_553_445)));
    assert!(given.certificate.is_none());
}

#[tokio::test]
async fn the_plugin_is_told_the_version_the_cluster_and_its_environment() {
    // What it was told comes back as the token.
    let script = r#"printf '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}' "$(printf %s "$WORD $KUBERNETES_EXEC_INFO" | sed 's/"/@/g')""#;
    let given = plugin(script).run().await.unwrap();
    assert_eq!(
        given.token.unwrap().expose(),
        "from-env {@apiVersion@:@client.authentication.k8s.io/v1@,@kind@:@ExecCredential@,@spec@:{@interactive@:false,@cluster@:{@server@:@https://a.example@}}}"
    );
}

#[tokio::test]
async fn failures_say_what_to_do_and_never_what_was_written() {
    for (script, says) in [
        ("echo hunter2; exit 3".to_owned(), "exit status: 3"),
        ("echo hunter2".to_owned(), "not an ExecCredential"),
        (answer("null"), "no status"),
        (answer("{}"), "neither a token nor a certificate"),
        (
            answer(r#"{"token":""}"#),
            "neither a token nor a certificate",
        ),
        (answer(r#"{"clientKeyData":"hunter2"}"#), "key alone"),
        (
            answer(r#"{"token":"hunter2","expirationTimestamp":"soon"}"#),
            "expiry is not a time",
        ),
        (
            answer(r#"{"token":"hunter2"}"#).replace("/v1\"", "/v1beta1\""),
            "did not answer in the version",
        ),
        ("head -c 2000000 /dev/zero".to_owned(), "1 MiB"),
    ] {
        let error = fails(&script).await;
        assert!(error.contains(says), "{script}: {error}");
    }
    let mut missing = plugin("");
    missing.command = "kubestile-no-such-plugin".into();
    let error = missing.run().await.err().unwrap().to_string();
    assert!(error.contains("apt install it"), "{error}");
}
