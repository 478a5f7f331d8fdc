//! The assessment's page in a real browser: it runs under its own policy, fetches nothing, can be used with the keyboard
//! and read in light and dark, and no name of the cluster becomes anything but text.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use kubestile_tests::{Browser, gate};
use serde_json::{Value, json};

const STOCK: &str = include_str!("../../crates/assess/testdata/kubeadm-1.36.json");

/// Runs before the page: what the page's own policy forbids, and what a name could call.
const WATCH: &str = "
    window.broken = 0;
    window.pwn = () => { window.broken += 1; };
    window.alert = window.pwn;
    window.forbidden = [];
    document.addEventListener('securitypolicyviolation', (e) =>
        window.forbidden.push(e.violatedDirective + ' ' + e.blockedURI));
";

/// Names that try to be more than text, in every context that a page has.
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "<script>pwn()</script>",
        "</script><script>pwn()</script>",
        "</style><style>*{display:none}</style>",
        "\"><img src=x onerror=pwn()>",
        "' onfocus='pwn()' autofocus='",
        "</code></li></ol></main><iframe srcdoc='<script>parent.pwn()</script>'></iframe>",
        "<svg/onload=pwn()>",
        "<a href=javascript:pwn()>x</a>",
        "<base href=https://evil.example/>",
        "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
        "<link rel=stylesheet href=https://evil.example/x.css>",
        "<form action=https://evil.example/><input name=x></form>",
        "<details open ontoggle=pwn()>",
        "&lt;script&gt;pwn()&lt;/script&gt;&#60;b&#62;",
        "-->]]>{{7*7}}${7*7}",
        "a\u{202e}gpj.exe\u{2066}b\u{200f}c\u{feff}",
        "x\u{0}y\u{1b}[2Jz\u{9b}31m\u{7f}\u{2028}\u{2029}\r\n\t",
    ]
    .map(str::to_owned)
    .to_vec();
    names.push("A".repeat(10_240));
    names.push("<b>".repeat(3_413));
    names
}

/// A cluster whose people, roles, accounts, files and webhooks are called so.
fn hostile() -> Value {
    let mut snapshot: Value = serde_json::from_str(STOCK).unwrap();
    let push = |snapshot: &mut Value, place: &str, item: Value| {
        let list = snapshot.pointer_mut(place).unwrap().as_array_mut().unwrap();
        list.push(item);
    };
    for name in names() {
        let rules = json!([{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }]);
        let role = json!({ "metadata": { "name": name }, "rules": rules });
        push(&mut snapshot, "/rbac/clusterRoles/known", role);
        let subjects = json!([
            { "kind": "User", "name": name },
            { "kind": "Group", "name": name },
            { "kind": "ServiceAccount", "namespace": name, "name": name },
        ]);
        let role = json!({ "kind": "ClusterRole", "name": name });
        let binding =
            json!({ "metadata": { "name": name }, "roleRef": role, "subjects": subjects });
        push(&mut snapshot, "/rbac/clusterRoleBindings/known", binding);
        let role = json!({ "kind": "ClusterRole", "name": "admin" });
        let meta = json!({ "name": name, "namespace": name });
        let binding = json!({ "metadata": meta, "roleRef": role, "subjects": [{ "kind": "User", "name": name }] });
        push(&mut snapshot, "/rbac/roleBindings/known", binding);
        let account = json!({ "metadata": meta, "automountServiceAccountToken": true });
        push(&mut snapshot, "/serviceAccounts/known", account);
    }
    snapshot["cluster"]["name"] = json!(names().concat());
    snapshot["cluster"]["server"] = json!(names()[0]);
    snapshot["cluster"]["version"] = json!({ "known": names()[3] });
    let file = snapshot
        .pointer_mut("/machine/kubeconfigs/known/0")
        .unwrap();
    file["path"] = json!(format!("/srv/{}", names()[4]));
    file["users"][0]["name"] = json!(names()[5]);
    snapshot
}

/// The page that the program makes of a snapshot.
fn page(dir: &Path, name: &str, snapshot: &Value) -> PathBuf {
    let saved = dir.join(format!("{name}.json"));
    std::fs::write(&saved, snapshot.to_string()).unwrap();
    let exceptions = dir.join("exceptions.yaml");
    let odd = json!({ "exceptions": [{ "control": "S0-04", "object": names()[3], "owner": names()[0],
        "reason": names()[1], "expires": "2099-01-01" }] });
    std::fs::write(&exceptions, odd.to_string()).unwrap();
    let made = Command::new(gate::binary())
        .args(["assess", "-o", "html", "--from"])
        .arg(&saved)
        .arg("--exceptions")
        .arg(&exceptions)
        .env("HOME", dir)
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let page = dir.join(format!("{name}.html"));
    std::fs::write(&page, made.stdout).unwrap();
    page
}

/// Nothing but the page itself was asked for, nothing was forbidden, and nothing ran that is not ours.
fn is_whole(browser: &mut Browser, url: &str) {
    let fetched: Vec<&str> = browser
        .told
        .iter()
        .filter(|e| e["method"] == "Network.requestWillBeSent")
        .filter_map(|e| e["params"]["request"]["url"].as_str())
        .collect();
    assert_eq!(fetched, [url]);
    let said: Vec<&Value> = browser
        .told
        .iter()
        .filter(|e| e["method"] == "Runtime.exceptionThrown" || e["method"] == "Log.entryAdded")
        .collect();
    assert!(said.is_empty(), "{said:?}");
    assert_eq!(browser.value("window.forbidden"), json!([]));
    assert_eq!(browser.value("window.broken"), 0);
    assert_eq!(browser.value("document.scripts.length"), 1);
    assert_eq!(browser.value("document.styleSheets.length"), 1);
    let foreign = "Array.from(document.querySelectorAll('*')).flatMap((e) => [e.localName].concat(e.getAttributeNames()))
        .filter((n) => ['img', 'iframe', 'a', 'base', 'link', 'form', 'object', 'embed', 'style', 'src', 'href', 'srcdoc',
            'autofocus'].includes(n) && n !== 'style' || n.startsWith('on'))";
    assert_eq!(browser.value(foreign), json!([]));
}

/// What can be read of the page with little contrast (WCAG 2.2, 1.4.3: 4.5 to 1), against what is behind it.
const PALE: &str = r#"(() => {
    const parse = (c) => { const n = c.match(/[\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
    const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3])).concat(1);
    const behind = (e) => {
        const own = parse(getComputedStyle(e).backgroundColor);
        return own[3] === 1 ? own : over(own, e.parentElement ? behind(e.parentElement) : [255, 255, 255, 1]);
    };
    const light = (c) => c.slice(0, 3).map((v) => v / 255)
        .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const pale = new Set();
    for (const e of document.querySelectorAll('body, main *')) {
        if (e.closest('svg') || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
        const ground = behind(e), ink = over(parse(getComputedStyle(e).color), ground);
        const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) pale.add(e.localName + '.' + e.className + ' ' + ((a + 0.05) / (b + 0.05)).toFixed(1));
    }
    return [...pale];
})()"#;

#[test]
fn the_page_searches_filters_and_reads_in_light_and_dark_and_fetches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let stock = serde_json::from_str(STOCK).unwrap();
    let page = page(dir.path(), "stock", &stock);
    let mut browser = Browser::start();
    browser.before(WATCH);
    browser.looks(1280, 900, "light");
    let url = browser.open(&page);
    is_whole(&mut browser, &url);

    // The keyboard alone: to the search, to the filters, to the first control, which opens.
    let shown = "Array.from(document.querySelectorAll('tbody tr')).filter((r) => !r.hidden).length";
    let focus = "document.activeElement.id || document.activeElement.localName";
    let all = browser.value(shown).as_u64().unwrap();
    assert_eq!(all, 91);
    browser.press("/");
    assert_eq!(browser.value(focus), "words");
    browser.types("anonymous");
    let found = browser.value(shown).as_u64().unwrap();
    assert!(0 < found && found < all, "{found}");
    let count = browser.value("document.getElementById('count').textContent");
    assert_eq!(count, format!("{found} of {all} controls"));
    browser.value("words.value = ''; words.dispatchEvent(new Event('input'))");
    browser.press("Tab");
    assert_eq!(browser.value(focus), "outcome");
    browser.press("ArrowDown");
    browser.value("outcome.value = 'fail'; outcome.dispatchEvent(new Event('change'))");
    let failed = browser.value(shown).as_u64().unwrap();
    let tags = "Array.from(document.querySelectorAll('tbody tr')).filter((r) => !r.hidden)
        .every((r) => r.querySelector('.tag').textContent === 'fail')";
    assert!(
        0 < failed && failed < all && browser.value(tags) == true,
        "{failed}"
    );
    browser.press("Tab");
    assert_eq!(browser.value(focus), "stage");
    browser.value("stage.value = '0'; stage.dispatchEvent(new Event('change'))");
    assert!(browser.value(shown).as_u64().unwrap() < failed);
    browser.press("Tab");
    assert_eq!(browser.value(focus), "summary");
    let ring = browser.value("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(ring, "solid", "one sees where the focus is");
    browser.press("Enter");
    assert_eq!(
        browser.value("document.activeElement.parentElement.open"),
        true
    );
    let commands = "document.querySelectorAll('ol.first > li .cmd').length";
    assert_eq!(browser.value(commands), 5);

    let ground = "getComputedStyle(document.body).backgroundColor";
    let light = browser.value(ground);
    browser.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
    assert_eq!(browser.value(PALE), json!([]), "light");
    browser.looks(1280, 900, "dark");
    assert_ne!(browser.value(ground), light);
    assert_eq!(browser.value(PALE), json!([]), "dark");
    fits(&mut browser);
    is_whole(&mut browser, &url);
}

#[test]
fn no_name_of_a_cluster_becomes_more_than_text() {
    let dir = tempfile::tempdir().unwrap();
    let page = page(dir.path(), "hostile", &hostile());
    let mut browser = Browser::start();
    browser.before(WATCH);
    browser.looks(1280, 900, "light");
    let url = browser.open(&page);
    is_whole(&mut browser, &url);
    // They are there, as they are written, and can be searched for.
    let text = browser.value("document.body.textContent");
    for name in [
        "<script>pwn()</script>",
        "<svg/onload=pwn()>",
        "&lt;script&gt;",
    ] {
        assert!(text.as_str().unwrap().contains(name), "{name}");
    }
    let steers = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
    assert!(!text.as_str().unwrap().contains(steers));
    browser.press("/");
    browser.types("\"><img src=x onerror=pwn()>");
    let shown = "Array.from(document.querySelectorAll('tbody tr')).filter((r) => !r.hidden).length";
    assert!(browser.value(shown).as_u64().unwrap() > 0);
    browser.value("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
    fits(&mut browser);
    is_whole(&mut browser, &url);
}

#[test]
fn junit_is_well_formed_whatever_names_say() {
    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("hostile.json");
    std::fs::write(&saved, hostile().to_string()).unwrap();
    let made = Command::new(gate::binary())
        .args(["assess", "-o", "junit", "--from"])
        .arg(&saved)
        .env("HOME", dir.path())
        .output()
        .unwrap();
    let text = json!(String::from_utf8(made.stdout).unwrap());
    let mut browser = Browser::start();
    let read = format!(
        "(() => {{ const x = new DOMParser().parseFromString({text}, 'application/xml');
            const n = (s) => x.querySelectorAll(s).length;
            const sum = (a) => [...x.querySelectorAll('testsuite')].reduce((t, s) => t + Number(s.getAttribute(a)), 0);
            return [n('parsererror'), x.documentElement.localName, n('testcase'), sum('tests'),
                n('failure') - sum('failures'), n('skipped') - sum('skipped'), n('script, img, b')]; }})()"
    );
    let expected = json!([0, "testsuites", 91, 91, 0, 0, 0]);
    assert_eq!(browser.value(&read), expected);
}

/// Nothing is wider than the window, on a desk and on a phone, however long a name is.
fn fits(browser: &mut Browser) {
    for width in [1280, 390] {
        browser.looks(width, 900, "dark");
        let wide = "[Math.max(0, document.documentElement.scrollWidth - innerWidth), ...Array.from(document.querySelectorAll('main *'))
            .filter((e) => !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 1)
            .slice(0, 5).map((e) => e.localName + '.' + e.className + ' ' + e.textContent.slice(0, 40))]";
        assert_eq!(browser.value(wide), json!([0]), "{width}");
    }
}
