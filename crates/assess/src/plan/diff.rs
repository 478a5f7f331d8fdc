//! Unified diffs, as `patch` and `git apply` read them.

use std::fmt::Write as _;

/// Lines of context.
const CONTEXT: usize = 3;
/// Longer texts are shown as a whole taken away and a whole put there: comparing costs the product.
const LINES: usize = 4000;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Keep,
    Remove,
    Add,
}

/// The difference between two texts; empty if there is none. No text stands for no file.
pub fn unified(path: &str, before: Option<&str>, after: Option<&str>) -> String {
    if before == after {
        return String::new();
    }
    let old: Vec<&str> = before.unwrap_or_default().lines().collect();
    let new: Vec<&str> = after.unwrap_or_default().lines().collect();
    let relative = path.trim_start_matches('/');
    let name = |side: &str, text: Option<&str>| match text {
        Some(_) => format!("{side}/{relative}"),
        None => "/dev/null".to_owned(),
    };
    let mut text = format!("--- {}\n+++ {}\n", name("a", before), name("b", after));
    let ops = operations(&old, &new);
    for (start, end) in hunks(&ops) {
        hunk(&mut text, &ops, start, end);
    }
    text
}

/// What to do with each line, in order.
fn operations<'t>(old: &[&'t str], new: &[&'t str]) -> Vec<(Op, &'t str)> {
    let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (
        old.get(head..).unwrap_or(&[]),
        new.get(head..).unwrap_or(&[]),
    );
    let tail = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let a = old_rest.get(..old_rest.len() - tail).unwrap_or(&[]);
    let b = new_rest.get(..new_rest.len() - tail).unwrap_or(&[]);
    let keep = |lines: &[&'t str]| lines.iter().map(|l| (Op::Keep, *l)).collect::<Vec<_>>();
    let mut ops = keep(old.get(..head).unwrap_or(&[]));
    ops.extend(middle(a, b));
    ops.extend(keep(old.get(old.len() - tail..).unwrap_or(&[])));
    ops
}

/// By the longest common subsequence.
fn middle<'t>(a: &[&'t str], b: &[&'t str]) -> Vec<(Op, &'t str)> {
    if a.len() > LINES || b.len() > LINES {
        let gone = a.iter().map(|l| (Op::Remove, *l));
        return gone.chain(b.iter().map(|l| (Op::Add, *l))).collect();
    }
    let width = b.len() + 1;
    let mut table = vec![0_u32; (a.len() + 1) * width];
    let at = |table: &[u32], i: usize, j: usize| table.get(i * width + j).copied().unwrap_or(0);
    for (i, x) in a.iter().enumerate().rev() {
        for (j, y) in b.iter().enumerate().rev() {
            let best = match x == y {
                true => at(&table, i + 1, j + 1) + 1,
                false => at(&table, i + 1, j).max(at(&table, i, j + 1)),
            };
            if let Some(cell) = table.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut ops = Vec::new();
    loop {
        match (a.get(i), b.get(j)) {
            (Some(x), Some(y)) if x == y => {
                ops.push((Op::Keep, *x));
                i += 1;
                j += 1;
            }
            (Some(x), y) if y.is_none() || at(&table, i + 1, j) >= at(&table, i, j + 1) => {
                ops.push((Op::Remove, *x));
                i += 1;
            }
            (_, Some(y)) => {
                ops.push((Op::Add, *y));
                j += 1;
            }
            _ => return ops,
        }
    }
}

/// Ranges of operations that are shown together.
fn hunks(ops: &[(Op, &str)]) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let changed = ops
        .iter()
        .enumerate()
        .filter(|(_, (op, _))| *op != Op::Keep);
    for (index, _) in changed {
        let (start, end) = (
            index.saturating_sub(CONTEXT),
            (index + CONTEXT + 1).min(ops.len()),
        );
        match found.last_mut() {
            Some(last) if start <= last.1 => last.1 = end,
            _ => found.push((start, end)),
        }
    }
    found
}

fn hunk(text: &mut String, ops: &[(Op, &str)], start: usize, end: usize) {
    let count = |range: &[(Op, &str)], not: Op| range.iter().filter(|(op, _)| *op != not).count();
    let before = ops.get(..start).unwrap_or(&[]);
    let shown = ops.get(start..end).unwrap_or(&[]);
    let side = |not: Op| {
        let length = count(shown, not);
        // An empty side begins behind the line before it.
        let first = count(before, not) + usize::from(length > 0);
        format!("{first},{length}")
    };
    let _always = writeln!(text, "@@ -{} +{} @@", side(Op::Add), side(Op::Remove));
    for (op, line) in shown {
        let mark = match op {
            Op::Keep => ' ',
            Op::Remove => '-',
            Op::Add => '+',
        };
        let _always = writeln!(text, "{mark}{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_stand_in_their_context() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n";
        let after = "a\nb\nc\nd\nE\nf\ng\nh\ni\nj\nk\n";
        assert_eq!(
            unified("/etc/x", Some(before), Some(after)),
            "--- a/etc/x\n+++ b/etc/x\n@@ -2,9 +2,10 @@\n b\n c\n d\n-e\n+E\n f\n g\n h\n i\n j\n+k\n"
        );
        assert_eq!(unified("x", Some("a\n"), Some("a\n")), "");
    }

    #[test]
    fn far_changes_are_apart_and_files_come_and_go() {
        let lines = |n: usize| (0..n).map(|i| format!("{i}\n")).collect::<String>();
        let after = lines(40).replace("3\n4\n", "3\nnew\n4\n");
        let text = unified("x", Some(&lines(40)), Some(&after.replace("30\n", "")));
        assert_eq!(text.matches("@@ -").count(), 2, "{text}");
        assert_eq!(
            unified("x", None, Some("a\n")),
            "--- /dev/null\n+++ b/x\n@@ -0,0 +1,1 @@\n+a\n"
        );
        assert_eq!(
            unified("x", Some("a\n"), None),
            "--- a/x\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n"
        );
    }
}
