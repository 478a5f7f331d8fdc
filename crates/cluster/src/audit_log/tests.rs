use std::io::Write as _;

use kubestile_assess::traffic::Traffic;

use super::*;

fn event(user: &str, verb: &str, second: u32) -> String {
    format!(
        r#"{{"kind":"Event","auditID":"{user}-{second}","stage":"ResponseComplete","verb":"{verb}","user":{{"username":"{user}"}},"objectRef":{{"resource":"pods","namespace":"shop"}},"responseStatus":{{"code":200}},"requestReceivedTimestamp":"2026-11-25T06:{:02}:{:02}.000000Z","annotations":{{"authorization.k8s.io/decision":"allow"}}}}"#,
        second / 60 % 60,
        second % 60
    )
}

fn read_all(texts: &[&[u8]]) -> Traffic {
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (n, text) in texts.iter().enumerate() {
        let path = dir.path().join(n.to_string());
        std::fs::write(&path, text).unwrap();
        paths.push(path);
    }
    let (mut done, size) = (0, texts.iter().map(|t| t.len()).sum::<usize>());
    let (fold, sources) = read(&paths, &Options::default(), &mut |now, _| done = now).unwrap();
    assert!(usize::try_from(done).unwrap() == size || size < 10);
    fold.finish(sources)
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zip.write_all(text).unwrap();
    zip.finish().unwrap()
}

#[test]
fn lines_are_read_whatever_they_are_packed_in_and_counted_once() {
    let lines: Vec<String> = (0..3_000).map(|n| event("alice", "list", n)).collect();
    let text = lines.join("\n");
    let mut members = gzip(&text.as_bytes()[..100]);
    members.extend(gzip(&text.as_bytes()[100..]));
    let list = format!(
        "{{\n  \"kind\": \"EventList\",\n  \"items\": [\n{}\n]}}\n",
        lines.join(",\n")
    );
    let array = format!("[\n{}\n]", lines.join(",\n"));
    for packed in [text.as_bytes(), &members, list.as_bytes(), array.as_bytes()] {
        let traffic = read_all(&[packed]);
        assert_eq!((traffic.requests, traffic.malformed()), (3_000, 0));
    }
    let traffic = read_all(&[text.as_bytes(), &members]);
    assert_eq!((traffic.requests, traffic.sources.len()), (3_000, 2));
    assert_eq!(traffic.sources[1].events, 3_000);
}

#[test]
fn what_is_broken_is_counted_and_the_rest_is_read() {
    let mut lines: Vec<String> = (0..20).map(|n| event("alice", "list", n)).collect();
    lines[3] = "{\"kind\":".to_owned();
    lines[7] = "\u{1b}[2J".to_owned();
    lines[19].truncate(40);
    let text = lines.join("\n");
    let traffic = read_all(&[text.as_bytes()]);
    let source = &traffic.sources[0];
    assert_eq!(
        (traffic.requests, source.lines, source.malformed),
        (17, 20, 3)
    );
    let shown: Vec<u64> = source.problems.iter().map(|p| p.line).collect();
    assert_eq!(shown, [4, 8, 20]);
    // A file that is still being written.
    let zip = gzip(text.as_bytes());
    let cut = read_all(&[&zip[..zip.len() - 20]]);
    assert!(
        cut.sources[0]
            .problems
            .iter()
            .any(|p| p.why.contains("middle"))
    );
    assert!(read_all(&[b"[{\"kind\": \n \"Event"]).malformed() > 0);
    assert_eq!(read_all(&[b"\n\n"]).requests, 0);
}

#[test]
fn a_log_that_is_not_there_is_an_error() {
    let gone = [PathBuf::from("no-such-log")];
    let error = read(&gone, &Options::default(), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("`no-such-log`"));
}

fn each_of(text: &[u8]) -> (Vec<String>, Option<Pass>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    std::fs::write(&path, text).unwrap();
    let mut users = Vec::new();
    let pass = each(&path, &mut |_| {}, &mut |event| {
        users.push(format!("{} {}", event.user.name, event.stage));
        std::ops::ControlFlow::Continue(())
    });
    (users, pass.unwrap())
}

#[test]
fn every_stage_is_handed_on_in_order_and_all_bytes_are_hashed() {
    let received = event("bo", "list", 1).replace("ResponseComplete", "RequestReceived");
    let text = format!("{}\nbroken\n{received}\n", event("ana", "list", 0));
    let (users, pass) = each_of(text.as_bytes());
    assert_eq!(users, ["ana ResponseComplete", "bo RequestReceived"]);
    let pass = pass.unwrap();
    let sha256 = |bytes: &[u8]| {
        crate::collect::hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
    };
    assert_eq!(pass.sha256, sha256(text.as_bytes()));
    assert_eq!((pass.read.events, pass.read.malformed), (2, 1));
    assert_eq!(pass.read.problems[0].line, 2);

    let zipped = gzip(text.as_bytes());
    let (users, pass) = each_of(&zipped);
    assert_eq!(users.len(), 2);
    assert_eq!(pass.unwrap().sha256, sha256(&zipped));

    let cut = &zipped[..zipped.len() - 20];
    let pass = each_of(cut).1.unwrap();
    assert_eq!(pass.sha256, sha256(cut));
    assert!(
        pass.read
            .problems
            .iter()
            .any(|p| p.why == "it ends in the middle"),
        "{pass:?}"
    );

    // What stands behind a document is no event, and a part of the file all the same.
    let list = format!(
        "{{\n\"kind\":\"EventList\",\"items\":[\n{}]}}\n{}",
        event("ana", "list", 0),
        " ".repeat(3 << 20)
    );
    assert_eq!(
        each_of(list.as_bytes()).1.unwrap().sha256,
        sha256(list.as_bytes())
    );
}

#[test]
fn reading_stops_when_it_is_told_to_and_only_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    let line = event("ana", "list", 0);
    std::fs::write(&path, format!("{line}\n{line}\n{line}\n")).unwrap();
    let mut seen = 0;
    let pass = each(&path, &mut |_| {}, &mut |_| {
        seen += 1;
        std::ops::ControlFlow::Break(())
    });
    assert_eq!((pass.unwrap(), seen), (None, 1));
    let mut all =
        |_: &kubestile_assess::traffic::event::Event<'_>| std::ops::ControlFlow::Continue(());
    for none in [dir.path(), &dir.path().join("no"), Path::new("/dev/zero")] {
        let error = each(none, &mut |_| {}, &mut all).unwrap_err();
        assert!(
            error.to_string().contains(none.to_str().unwrap()),
            "{error}"
        );
    }
}
