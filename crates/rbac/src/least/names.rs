//! Names that a controller made, which will not come again.

/// What `generateName` draws from: no vowels, so that no words appear, and nothing that looks alike.
const SUFFIX: &str = "bcdfghjklmnpqrstvwxz2456789";

/// Whether a name looks generated: it ends with a random part, as those of pods, Events and Jobs do.
#[must_use]
pub fn was_generated(name: &str) -> bool {
    template(name) != name
}

/// The name with `*` for its generated parts: `web-7d4b9c6f5d-x2x8k` is `web-*`. A name that was not generated is
/// its own template.
#[must_use]
pub fn template(name: &str) -> String {
    // Events have a time in hexadecimal after a dot.
    if let Some((stem, time)) = name.rsplit_once('.')
        && time.len() >= 12
        && is_hex(time)
    {
        return format!("{}.*", template(stem));
    }
    let parts: Vec<&str> = name.split('-').collect();
    let kept = parts.iter().rposition(|part| !is_random(part));
    let kept = kept.map_or(0, |position| position + 1);
    // Letters alone may be a word without vowels, such as `pgsql`, unless more beside them was drawn.
    let drawn = |part: &&str| part.bytes().any(|b| b.is_ascii_digit());
    if kept == 0 || !parts.iter().skip(kept).any(drawn) {
        return name.to_owned();
    }
    let stem: Vec<&str> = parts.into_iter().take(kept).collect();
    format!("{}-*", stem.join("-"))
}

/// Five characters or more as controllers draw them, a hash in hexadecimal, or a number that counts up in
/// time.
fn is_random(part: &str) -> bool {
    let has_digit = part.bytes().any(|b| b.is_ascii_digit());
    let drawn = part.len() >= 5 && part.len() <= 10 && part.chars().all(|c| SUFFIX.contains(c));
    // Longer parts are hashes, which hardly ever have no digit.
    let drawn = drawn && (has_digit || part.len() == 5);
    let hash = part.len() >= 5 && has_digit && is_hex(part);
    drawn || hash
}

fn is_hex(part: &str) -> bool {
    part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_have_templates() {
        let cases = [
            ("web-7d4b9c6f5d-x2x8k", "web-*"),
            ("web-x2x8k", "web-*"),
            ("backup-28712345", "backup-*"),
            ("backup-28712345-lq2xt", "backup-*"),
            ("web-0.17f3a2b4c5d6e7f8", "web-0.*"),
            ("sh.helm.release.v1.shop.v3", "sh.helm.release.v1.shop.v3"),
            ("web-0", "web-0"),
            ("web", "web"),
            ("kube-dns", "kube-dns"),
            ("my-cache", "my-cache"),
            ("oauth2-proxy", "oauth2-proxy"),
            ("db-pgsql", "db-pgsql"),
            ("web-7d4b9c6f5d-xzxqk", "web-*"),
            ("", ""),
            ("-", "-"),
            ("x2x8k", "x2x8k"),
        ];
        for (name, expected) in cases {
            assert_eq!(template(name), expected);
            assert_eq!(was_generated(name), name != expected, "{name}");
        }
    }
}
